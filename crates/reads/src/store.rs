//! ClickHouse: every query that the API asks, with its rows as types.
//!
//! A query of a project waits for its turn ([`crate::scheduler`]); those of alert rules, which are few and of all
//! projects, do not. What clients send is bound as a parameter, never put into the text. Each query has a deadline on
//! both sides: the server ends it (`max_execution_time`), and we stop waiting a moment later if it does not answer at
//! all. Dropping a query's future closes its connection, on which the server ends it too.

mod catalogue;
mod heads;
mod windows;

pub use catalogue::{MetricRow, MetricsPage, NamedRow};
pub use heads::{Head, Heads};

use crate::error::Error;
use crate::hidden::View;
use crate::metrics::Metrics;
use crate::scheduler::{self, Limits, Scheduler};
use crate::series::buckets::Range;
use crate::series::merge::{Partial, Place};
use crate::series::query::{FIRST_TIME, Kind, LAST_TIME};
use crate::series::rows::{LastRow, QuantilesRow, SumsRow};
use crate::source::{Source, Statement};
use clickhouse::{Client, Row, RowOwned, RowRead, query::Query};
use heads::KnownHeads;
use serde::Deserialize;
use service::clickhouse::Server;
use service::connections::TlsError;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much later than the server we give up.
const PATIENCE: Duration = Duration::from_millis(500);
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

impl Store {
    /// Asks `server`, each query for at most `timeout`. Fails only where TLS is asked for and cannot be spoken.
    pub fn new(server: &Server, timeout: Duration, metrics: Metrics) -> Result<Self, TlsError> {
        let seconds = timeout.as_millis().div_ceil(1000).max(1);
        let client = service::clickhouse::client(server)?
            .with_setting("max_execution_time", seconds.to_string())
            .with_setting("max_query_size", MAX_QUERY_SIZE)
            .with_setting("cancel_http_readonly_queries_on_client_close", "1");
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
        let _place = self.scheduler.enter(project).await?;
        let mut series = self.parts_of("series", query, kind, metrics.len()).await?;
        for parts in &mut series {
            parts.sort_unstable_by_key(|part| part.bucket);
        }
        Ok(series)
    }

    /// Reads rows with the columns of `kind` and groups them by their place, for `count` places.
    async fn parts_of(
        &self,
        name: &'static str,
        query: Query,
        kind: Kind,
        count: usize,
    ) -> Result<Vec<Vec<Partial>>, Error> {
        let mut parts = vec![Vec::new(); count];
        match kind {
            Kind::Sums => self.partials::<SumsRow>(name, query, &mut parts).await?,
            Kind::Last => self.partials::<LastRow>(name, query, &mut parts).await?,
            Kind::Quantiles => self.partials::<QuantilesRow>(name, query, &mut parts).await?,
        }
        Ok(parts)
    }

    /// Puts each row's part where its metric's are.
    async fn partials<T: RowOwned + RowRead + Into<(u32, Partial)>>(
        &self,
        name: &'static str,
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
        self.timed(name, &[], read).await
    }

    /// A place for reading what is not read by project, though one project asked for it.
    pub async fn place(&self, project: &str) -> Result<scheduler::Place, Error> {
        self.scheduler.enter(project).await
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
                ("error", Err(Error::QueryFailed))
            }
        };
        self.metrics.query(name, outcome, begun);
        result
    }
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
