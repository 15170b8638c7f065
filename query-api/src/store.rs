//! ClickHouse: every query that the API asks, with its rows as types.
//!
//! A query of a project waits for its turn ([`crate::scheduler`]); those of alert rules, which are few and of all
//! projects, do not. What clients send is bound as a parameter, never put into the text. Each query has a deadline on
//! both sides: the server ends it (`max_execution_time`), and we stop waiting a moment later if it does not answer at
//! all. Dropping a query's future closes its connection, on which the server ends it too.

use crate::alerts::measure::{self, Part, Seen, Series};
use crate::error::{Error, Unavailable};
use crate::hidden::View;
use crate::metrics::Metrics;
use crate::scheduler::{self, Limits, Scheduler};
use crate::series::buckets::Range;
use crate::series::merge::{Partial, Place};
use crate::series::query::{FIRST_TIME, Kind, LAST_TIME};
use crate::series::rows::{LastRow, QuantilesRow, SumsRow};
use crate::settings::ClickHouse;
use crate::source::{Source, Statement};
use crate::title::title_case;
use clickhouse::{Client, Row, RowOwned, RowRead, query::Query};
use serde::{Deserialize, Serialize};
use service::connections::NoTls;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much later than the server we give up.
const PATIENCE: Duration = Duration::from_millis(500);
/// Heads that were read longer ago are read again.
const HEADS_AGE: Duration = Duration::from_millis(100);
/// How long they are used meanwhile.
const HEADS_MAX_AGE: Duration = Duration::from_millis(500);
/// How long the server may take to say that it is there.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Time series of many buckets are long texts; the server's default is 256 KiB.
const MAX_QUERY_SIZE: &str = "2097152";

/// ClickHouse's "timeout exceeded".
const TIMEOUT_EXCEEDED: u32 = 159;
/// ClickHouse's "unknown table" and "unknown database".
const NOT_THERE: [u32; 2] = [60, 81];

/// Asks ClickHouse. Clones share its connections.
#[derive(Clone)]
pub struct Store {
    client: Client,
    timeout: Duration,
    metrics: Metrics,
    scheduler: Scheduler,
    heads: Arc<KnownHeads>,
}

/// The heads that were read last, and of which database.
#[derive(Default)]
struct KnownHeads {
    known: Mutex<Option<(Arc<str>, Heads)>>,
    /// Held while they are read.
    reading: Arc<tokio::sync::Mutex<()>>,
}

impl KnownHeads {
    fn known(&self) -> MutexGuard<'_, Option<(Arc<str>, Heads)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ends of a store's chains.
#[derive(Debug, Clone)]
pub struct Heads {
    /// When they were asked for.
    pub read_at: Instant,
    /// By partition.
    pub last: Arc<[Head]>,
}

/// What the catalogue knows of a metric.
#[derive(Debug, Clone, PartialEq, Row, Deserialize)]
pub struct MetricRow {
    /// Its id.
    pub metric_id: String,
    /// The newest name that was given, empty if none was.
    pub newest_name: String,
    /// The newest unit that was given, empty if none was.
    pub newest_unit: String,
    /// Received time of the first that was received, Unix milliseconds.
    pub first_seen: i64,
    /// Received time of the last that was received, Unix milliseconds.
    pub last_seen: i64,
    /// The value of the latest by event time.
    pub last_value: f64,
    /// How many points it has.
    pub points: u64,
}

/// What a metric is called.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct NamedRow {
    /// Its id.
    pub metric_id: String,
    /// The newest name that was given, empty if none was.
    pub newest_name: String,
    /// The newest unit that was given, empty if none was.
    pub newest_unit: String,
}

/// One point.
#[derive(Debug, Clone, PartialEq, Row, Deserialize)]
pub struct PointRow {
    /// Its value.
    pub value: f64,
    /// Event time, received time, and its place in the log.
    pub place: Place,
}

/// A sample of one of several metrics.
#[derive(Debug, Clone, Copy, PartialEq, Row, Deserialize)]
pub struct SampleRow {
    /// Which of the metrics.
    pub place: u32,
    /// Event time, Unix milliseconds.
    pub at: i64,
    /// The value.
    pub value: f64,
}

/// A page of the catalogue.
#[derive(Debug, Clone, Copy, Default)]
pub struct MetricsPage<'a> {
    /// Only this metric.
    pub id: Option<&'a str>,
    /// Only metrics whose id or name contains it, in any case.
    pub search: Option<&'a str>,
    /// Only metrics after this one.
    pub after: Option<&'a str>,
    /// At most so many.
    pub limit: usize,
}

/// The end of a Kafka partition's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Head {
    /// The Kafka partition.
    pub partition: i32,
    /// The last offset that is stored.
    pub last: i64,
}

impl Store {
    /// Asks `server`, each query for at most `timeout`. Fails only where TLS is asked for and cannot be spoken.
    pub fn new(server: &ClickHouse, timeout: Duration, metrics: Metrics) -> Result<Self, NoTls> {
        let seconds = timeout.as_millis().div_ceil(1000).max(1);
        let mut client = service::clickhouse::client(&server.url)?
            .with_setting("max_execution_time", seconds.to_string())
            .with_setting("max_query_size", MAX_QUERY_SIZE)
            .with_setting("cancel_http_readonly_queries_on_client_close", "1");
        if let Some(user) = &server.user {
            client = client.with_user(user);
        }
        if let Some(password) = &server.password {
            client = client.with_password(password.reveal());
        }
        let scheduler = Scheduler::new(Limits::of(4));
        Ok(Self { client, timeout, metrics, scheduler, heads: Arc::default() })
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.scheduler = Scheduler::new(limits);
        self
    }

    /// The same with another setting of the server.
    #[must_use]
    pub fn with_setting(mut self, name: &str, value: &str) -> Self {
        self.client = self.client.with_setting(name, value);
        self
    }

    /// How long a query may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether the server answers.
    pub async fn answers(&self) -> bool {
        let query = self.client.query("SELECT toUInt8(1)").fetch_one::<u8>();
        matches!(tokio::time::timeout(PING_TIMEOUT, query).await, Ok(Ok(1)))
    }

    /// Metrics of a project, by id.
    pub async fn metrics(
        &self,
        view: &View,
        project: &str,
        page: MetricsPage<'_>,
    ) -> Result<Vec<MetricRow>, Error> {
        let view = page.id.map_or_else(|| view.clone(), |id| view.among([id]));
        let mut filter = String::new();
        if page.id.is_some() {
            filter += " AND metric_id = {metric:String}";
        }
        if page.after.is_some() {
            filter += " AND metric_id > {after:String}";
        }
        let having = match page.search {
            // The name that a metric without one has is its id with spaces, in title case.
            Some(_) => {
                "HAVING positionCaseInsensitiveUTF8(metric_id, {search:String}) > 0 OR positionCaseInsensitiveUTF8(\
                 if(newest_name != '', newest_name, replaceRegexpAll(metric_id, '[_.:-]+', ' ')), {search:String}) > 0"
            }
            None => "",
        };
        let columns = format!("{NAMED}, {COUNTED}");
        let sql = of_visible(&view, |only| catalogue(&columns, &format!("{filter}{only}"), having));
        let sql = format!("{sql} ORDER BY metric_id LIMIT {}", page.limit);
        let mut query = self.reading(Source::Catalogue, &view, &sql).param("project", project);
        for (name, value) in [("metric", page.id), ("after", page.after), ("search", page.search)] {
            if let Some(value) = value {
                query = query.param(name, value);
            }
        }
        self.all_of(project, "catalogue", query).await
    }

    /// What those of `ids` are called that the project has.
    pub async fn named(&self, view: &View, project: &str, ids: &[&str]) -> Result<Vec<NamedRow>, Error> {
        let view = view.among(ids.iter().copied());
        let filter = " AND metric_id IN {metrics:Array(String)}";
        let sql = of_visible(&view, |only| catalogue(NAMED, &format!("{filter}{only}"), ""));
        let query =
            self.reading(Source::Catalogue, &view, &sql).param("project", project).param("metrics", ids);
        self.all_of(project, "named", query).await
    }

    /// What all metrics of a project are called; none if it has more than `most`. Nothing may be hidden from `view`.
    pub async fn named_all(
        &self,
        view: &View,
        project: &str,
        most: usize,
    ) -> Result<Option<Vec<NamedRow>>, Error> {
        let sql = format!("{} LIMIT {}", catalogue(NAMED, "", ""), most + 1);
        let query = self.reading(Source::Catalogue, view, &sql).param("project", project);
        // Of a project with more than that the server stops to read.
        let query = query
            .with_setting("max_rows_to_group_by", (most + 1).to_string())
            .with_setting("group_by_overflow_mode", "break");
        let rows: Vec<NamedRow> = self.all_of(project, "named_all", query).await?;
        Ok((rows.len() <= most).then_some(rows))
    }

    /// The metric `id`.
    pub async fn metric(&self, view: &View, project: &str, id: &str) -> Result<MetricRow, Error> {
        let page = MetricsPage { id: Some(id), limit: 1, ..MetricsPage::default() };
        self.metrics(view, project, page).await?.pop().ok_or(Error::NoMetric)
    }

    /// Points of a metric in `range`, newest first, from before `before` on.
    pub async fn points(
        &self,
        view: &View,
        (project, metric): (&str, &str),
        range: Range,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Vec<PointRow>, Error> {
        let (start, end) = (range.start.max(FIRST_TIME), range.end.min(LAST_TIME));
        if start >= end {
            return Ok(Vec::new());
        }
        let earlier = before.map_or_else(String::new, |(time, received_at, partition, offset, index)| {
            format!(
                " AND (time, received_at, partition, offset, index) < (fromUnixTimestamp64Milli({time}, 'UTC'), \
                 fromUnixTimestamp64Milli({received_at}, 'UTC'), toInt32({partition}), toInt64({offset}), toUInt16({index})) \
                 AND time <= fromUnixTimestamp64Milli({time}, 'UTC')"
            )
        });
        let view = view.among([metric]);
        let mask = view.hidden.mask();
        let sql = format!(
            "SELECT value, (time, received_at, partition, offset, index) AS place FROM samples \
             WHERE kind = 'sample' AND project_id = {{project:String}} AND metric_id = {{metric:String}} \
             AND idempotency_key = '' AND time >= fromUnixTimestamp64Milli({start}, 'UTC') \
             AND time < fromUnixTimestamp64Milli({end}, 'UTC'){earlier}{mask} \
             ORDER BY time DESC, received_at DESC, partition DESC, offset DESC, index DESC LIMIT {limit}"
        );
        let query = self.reading(Source::Rows, &view, &sql).param("project", project).param("metric", metric);
        self.all_of(project, "points", query).await
    }

    /// The buckets or cells of metrics, by a statement with the columns of `kind`, whose text has the mask of what is hidden
    /// in `view`: of each metric in their order, ascending.
    pub async fn series(
        &self,
        view: &View,
        (project, metrics): (&str, &[&str]),
        kind: Kind,
        statement: &Statement,
    ) -> Result<Vec<Vec<Partial>>, Error> {
        let query = self
            .reading(statement.source, view, &statement.text)
            .param("project", project)
            .param("metrics", metrics);
        let mut series = vec![Vec::new(); metrics.len()];
        match kind {
            Kind::Sums => self.partials::<SumsRow>(project, query, &mut series).await?,
            Kind::Last => self.partials::<LastRow>(project, query, &mut series).await?,
            Kind::Quantiles => self.partials::<QuantilesRow>(project, query, &mut series).await?,
        }
        for parts in &mut series {
            parts.sort_unstable_by_key(|part| part.bucket);
        }
        Ok(series)
    }

    /// Puts each row's part where its metric's are.
    async fn partials<T: RowOwned + RowRead + Into<(u32, Partial)>>(
        &self,
        project: &str,
        query: Query,
        series: &mut [Vec<Partial>],
    ) -> Result<(), Error> {
        let read = async {
            let mut rows = query.fetch::<T>()?;
            while let Some(row) = rows.next().await? {
                let (place, part) = row.into();
                if let Some(parts) = series.get_mut(place as usize) {
                    parts.push(part);
                }
            }
            Ok(())
        };
        let _place = self.scheduler.enter(project).await?;
        self.timed("series", &[], read).await
    }

    /// A place for reading what is not read by project, though one project asked for it.
    pub async fn place(&self, project: &str) -> Result<scheduler::Place, Error> {
        self.scheduler.enter(project).await
    }

    /// Parts of the windows of `series`, by a statement of [`crate::alerts::measure`] whose text has the mask of what is
    /// hidden in `view`.
    pub async fn windows(
        &self,
        view: &View,
        statement: &Statement,
        series: &[&Series],
    ) -> Result<Vec<Part>, Error> {
        let query = self.reading(statement.source, view, &statement.text).param("series", series);
        self.all("windows", query).await
    }

    /// The newest names and units that came with the points of `series` in the 30 days before `now_ms`: no rule looks
    /// further back, and a series may be long.
    pub async fn names(
        &self,
        seen: &Seen,
        series: &HashSet<Series>,
        now_ms: i64,
    ) -> Result<HashMap<Series, (String, String)>, Error> {
        const DAYS_MS: i64 = 30 * 24 * 3_600_000;
        let (start, end) = (now_ms - DAYS_MS, now_ms + 1);
        let mut names = HashMap::new();
        for (view, series) in seen.apart(series) {
            let mask = view.hidden.mask();
            let sql = format!(
                "SELECT project_id, metric_id, \
                argMaxIf(metric_name, (received_at, partition, offset, index), notEmpty(metric_name)) AS newest_name, \
                argMaxIf(unit, (received_at, partition, offset, index), notEmpty(unit)) AS newest_unit \
                FROM samples WHERE kind = 'sample' AND (project_id, metric_id) IN {{series:Array(Tuple(String, String))}} \
                AND time >= fromUnixTimestamp64Milli({start}, 'UTC') AND time < fromUnixTimestamp64Milli({end}, 'UTC'){mask} \
                GROUP BY project_id, metric_id"
            );
            for chunk in series.chunks(measure::SERIES) {
                let query = self.reading(Source::Rows, &view, &sql).param("series", chunk);
                let rows: Vec<(String, String, String, String)> = self.all("names", query).await?;
                for (project_id, metric_id, name, unit) in rows {
                    let series = (project_id, metric_id);
                    let name = if name.is_empty() { title_case(&series.1) } else { name };
                    names.insert(series, (name, unit));
                }
            }
        }
        Ok(names)
    }

    /// Event times and values of at most `limit` points of a metric in `range`, oldest first.
    pub async fn values(
        &self,
        view: &View,
        (project, metric): (&str, &str),
        range: Range,
        limit: usize,
    ) -> Result<Vec<(i64, f64)>, Error> {
        let mask = view.hidden.mask();
        let (start, end) = (range.start.max(FIRST_TIME), range.end.min(LAST_TIME));
        let sql = format!(
            "SELECT toUnixTimestamp64Milli(time) AS at, value FROM samples \
             WHERE kind = 'sample' AND project_id = {{project:String}} AND metric_id = {{metric:String}} \
             AND idempotency_key = '' AND time >= fromUnixTimestamp64Milli({start}, 'UTC') \
             AND time < fromUnixTimestamp64Milli({end}, 'UTC'){mask} ORDER BY time LIMIT {limit}"
        );
        let query = self.reading(Source::Rows, view, &sql).param("project", project).param("metric", metric);
        self.all_of(project, "values", query).await
    }

    /// Ids of the project's metrics, ascending; with `hours` only of those with points in the hours that it touches.
    pub async fn metric_ids(
        &self,
        view: &View,
        project: &str,
        hours: Option<Range>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        const HOUR_MS: i64 = 3_600_000;
        let filter = match hours.map(|range| (range.start.max(FIRST_TIME), range.end.min(LAST_TIME))) {
            None => String::new(),
            Some((start, end)) if start >= end => return Ok(Vec::new()),
            Some((start, end)) => format!(
                " AND toStartOfHour(time) >= toDateTime({}, 'UTC') AND toStartOfHour(time) < toDateTime({}, 'UTC')",
                start.div_euclid(HOUR_MS) * 3600,
                (end + HOUR_MS - 1).div_euclid(HOUR_MS) * 3600,
            ),
        };
        let ids = |only: &str| {
            format!(
                "SELECT metric_id FROM samples WHERE kind = 'sample' AND project_id = {{project:String}}{filter}{only} \
                 GROUP BY kind, project_id, metric_id"
            )
        };
        let sql = format!("{} ORDER BY metric_id LIMIT {limit}", of_visible(view, ids));
        let source = if filter.is_empty() { Source::Catalogue } else { Source::Hours };
        let query = self.reading(source, view, &sql).param("project", project);
        self.all_of(project, "metric_ids", query).await
    }

    /// The samples of metrics `after < time <= until` (Unix milliseconds), each with its metric's place in `ids`: by
    /// place and time, those of one moment in the order in which they count. Gives `limit` of them at most.
    pub async fn samples(
        &self,
        view: &View,
        (project, ids): (&str, &[&str]),
        (after, until): (i64, i64),
        limit: usize,
        mut take: impl FnMut(SampleRow),
    ) -> Result<(), Error> {
        let (after, until) = (after.max(FIRST_TIME - 1), until.min(LAST_TIME - 1));
        if after >= until || ids.is_empty() {
            return Ok(());
        }
        let view = view.among(ids.iter().copied());
        let mask = view.hidden.mask();
        let sql = format!(
            "SELECT toUInt32(transform(metric_id, {{ids:Array(String)}}, range({}), 0)) AS place, \
             toUnixTimestamp64Milli(samples.time) AS at, value FROM samples \
             WHERE kind = 'sample' AND project_id = {{project:String}} AND metric_id IN {{ids:Array(String)}} \
             AND idempotency_key = '' AND time > fromUnixTimestamp64Milli({after}, 'UTC') \
             AND time <= fromUnixTimestamp64Milli({until}, 'UTC'){mask} \
             ORDER BY metric_id, time, received_at, partition, offset, index LIMIT {limit}",
            ids.len()
        );
        let query = self.reading(Source::Rows, &view, &sql).param("project", project).param("ids", ids);
        let read = async {
            let mut rows = query.fetch::<SampleRow>()?;
            while let Some(row) = rows.next().await? {
                take(row);
            }
            Ok(())
        };
        let _place = self.scheduler.enter(project).await?;
        self.timed("samples", &[], read).await
    }

    /// The ends of all chains: one question for all who ask together. What is read after it holds at least what they cover.
    ///
    /// Those that were read a moment ago are given while newer ones are fetched: what they promise is true, only less.
    pub async fn heads(&self, database: &Arc<str>) -> Result<Heads, Error> {
        let known = self.known_heads(database);
        if let Some(heads) = known.filter(|heads| heads.read_at.elapsed() < HEADS_MAX_AGE) {
            if heads.read_at.elapsed() >= HEADS_AGE
                && let Ok(turn) = self.heads.reading.clone().try_lock_owned()
            {
                let (store, database) = (self.clone(), database.clone());
                tokio::spawn(async move {
                    let _turn = turn;
                    // Whoever needs them asks again, and is told what is wrong.
                    let _ = store.read_heads(&database).await;
                });
            }
            return Ok(heads);
        }
        let _turn = self.heads.reading.lock().await;
        match self.known_heads(database).filter(|heads| heads.read_at.elapsed() < HEADS_AGE) {
            Some(heads) => Ok(heads),
            None => self.read_heads(database).await,
        }
    }

    async fn read_heads(&self, database: &Arc<str>) -> Result<Heads, Error> {
        const SQL: &str = "SELECT partition, max(last_offset) AS last FROM samples WHERE kind = 'marker' GROUP BY kind, partition";
        let read_at = Instant::now();
        let last: Vec<Head> =
            self.all("heads", self.reading(Source::Chain, &View::of(database), SQL)).await?;
        let heads = Heads { read_at, last: last.into() };
        *self.heads.known() = Some((database.clone(), heads.clone()));
        Ok(heads)
    }

    fn known_heads(&self, database: &Arc<str>) -> Option<Heads> {
        let known = self.heads.known();
        known.as_ref().filter(|(of, _)| of == database).map(|(_, heads)| heads.clone())
    }

    /// The rows of a statement with the parameter `project`, of tables that are made when they are first needed: none if
    /// they are not there.
    pub async fn rows_if_there<T: RowOwned + RowRead>(
        &self,
        name: &'static str,
        database: &str,
        sql: &str,
        project: &str,
    ) -> Result<Vec<T>, Error> {
        let query = self.query(&View::of(database), sql).param("project", project);
        self.timed(name, &NOT_THERE, query.fetch_all::<T>()).await
    }

    /// A statement about samples.
    fn reading(&self, source: Source, view: &View, sql: &str) -> Query {
        source.hint(self.query(view, sql))
    }

    /// `?` marks nothing in our texts.
    fn query(&self, view: &View, sql: &str) -> Query {
        view.hidden.bind(self.client.clone().with_database(&*view.database).query_raw(sql))
    }

    /// The rows of a query of `project`, as soon as it is its turn.
    async fn all_of<T: RowOwned + RowRead>(
        &self,
        project: &str,
        name: &'static str,
        query: Query,
    ) -> Result<Vec<T>, Error> {
        let _place = self.scheduler.enter(project).await?;
        self.all(name, query).await
    }

    async fn all<T: RowOwned + RowRead>(&self, name: &'static str, query: Query) -> Result<Vec<T>, Error> {
        self.timed(name, &[], query.fetch_all::<T>()).await
    }

    /// What `read` gives; nothing where the server's error is one of `as_nothing`.
    async fn timed<T: Default>(
        &self,
        name: &'static str,
        as_nothing: &[u32],
        read: impl Future<Output = clickhouse::error::Result<T>>,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        let result = tokio::time::timeout(self.timeout + PATIENCE, read).await;
        let (outcome, result) = match result {
            Ok(Ok(rows)) => ("ok", Ok(rows)),
            Err(_) => ("timeout", Err(Error::QueryTimeout)),
            Ok(Err(error)) if server_code(&error) == Some(TIMEOUT_EXCEEDED) => {
                ("timeout", Err(Error::QueryTimeout))
            }
            Ok(Err(error)) if server_code(&error).is_some_and(|code| as_nothing.contains(&code)) => {
                ("none", Ok(T::default()))
            }
            Ok(Err(error)) => {
                tracing::warn!(query = name, %error, "a query failed");
                ("error", Err(Error::Unavailable(Unavailable::Query)))
            }
        };
        self.metrics.query(name, outcome, begun);
        result
    }
}

/// The statement that `of` makes of metrics of which nothing is hidden, and the one of the others, in one: what it is
/// given is to be added to its conditions. So only the others are read from raw rows.
fn of_visible(view: &View, of: impl Fn(&str) -> String) -> String {
    if view.hidden.is_empty() {
        return of("");
    }
    format!(
        "SELECT * FROM ({} UNION ALL {})",
        of(" AND metric_id NOT IN {hidden:Array(String)}"),
        of(&format!(" AND metric_id IN {{hidden:Array(String)}}{}", view.hidden.mask()))
    )
}

/// The columns of [`NamedRow`].
const NAMED: &str = "metric_id, \
    argMaxIf(metric_name, (received_at, partition, offset, index), notEmpty(metric_name)) AS newest_name, \
    argMaxIf(unit, (received_at, partition, offset, index), notEmpty(unit)) AS newest_unit";
/// What [`MetricRow`] has beside them.
const COUNTED: &str = "toUnixTimestamp64Milli(min(received_at)) AS first_seen, \
    toUnixTimestamp64Milli(max(received_at)) AS last_seen, \
    argMax(value, (time, received_at, partition, offset, index)) AS last_value, count() AS points";

/// What the catalogue knows of the metrics of the parameter `project` that `filter` lets pass.
fn catalogue(columns: &str, filter: &str, rest: &str) -> String {
    format!(
        "SELECT {columns} FROM samples WHERE kind = 'sample' AND project_id = {{project:String}}{filter} \
         GROUP BY kind, project_id, metric_id {rest}"
    )
}

/// The number of a server's error.
fn server_code(error: &clickhouse::error::Error) -> Option<u32> {
    let clickhouse::error::Error::BadResponse(text) = error else { return None };
    service::clickhouse::error_code(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_error_code_is_read_from_its_text() {
        let code = |text: &str| server_code(&clickhouse::error::Error::BadResponse(text.to_owned()));
        assert_eq!(code("Code: 159. DB::Exception: Timeout exceeded"), Some(159));
        assert_eq!(code("502 Bad Gateway"), None);
    }
}
