//! Client of ClickHouse, with a typed row for each query.
//!
//! A query of a project waits for a slot ([`crate::scheduler`]). Queries of alert rules, which are few and
//! cover all projects, do not. Values that clients send are bound as parameters and never become part of the
//! SQL text. Each query has a deadline on both sides: the server cancels it (`max_execution_time`), and the
//! client gives up slightly later if the server does not answer. Dropping the future of a query closes its
//! connection, which makes the server cancel the query too.

mod catalogue;
mod heads;
mod windows;

pub use catalogue::{MetricNameRow, MetricRow, MetricsPage};
pub use heads::{Head, Heads};

use crate::deletions::View;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::scheduler::{Limits, Scheduler, Slot};
use crate::series::buckets::{FIRST_TIME, LAST_TIME, Range};
use crate::series::merge::{Partial, PointPosition};
use crate::series::query::Kind;
use crate::series::rows::{LastRow, QuantilesRow, SumsRow};
use crate::source::{Source, Statement};
use clickhouse::{Client, Row, RowOwned, RowRead, query::Query};
use heads::HeadsCache;
use serde::Deserialize;
use service::clickhouse::Server;
use service::connections::TlsError;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time after the server's deadline at which the client gives up.
const CLIENT_GRACE: Duration = Duration::from_millis(500);
/// Timeout of a reachability check.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Statements for time series with many buckets are long; the server's default limit is 256 KiB.
const MAX_QUERY_SIZE: &str = "2097152";

/// ClickHouse error "timeout exceeded".
const TIMEOUT_EXCEEDED: u32 = 159;
/// ClickHouse errors "unknown table" and "unknown database".
const UNKNOWN_TABLE: [u32; 2] = [60, 81];

/// Client of ClickHouse. Clones share connections, slots and cached heads.
#[derive(Clone)]
pub struct Store {
    client: Client,
    timeout: Duration,
    metrics: Metrics,
    scheduler: Scheduler,
    heads: Arc<HeadsCache>,
}

/// Row of a point.
#[derive(Debug, Clone, PartialEq, Row, Deserialize)]
pub struct PointRow {
    /// Value of the point.
    pub value: f64,
    /// Event time, received time, and position in the log.
    pub position: PointPosition,
}

/// Row of a sample of one of several metrics.
#[derive(Debug, Clone, Copy, PartialEq, Row, Deserialize)]
pub struct SampleRow {
    /// Index of the metric among the requested ones.
    pub series_index: u32,
    /// Event time, Unix milliseconds.
    pub at: i64,
    /// Value of the sample.
    pub value: f64,
}

impl Store {
    /// Creates a client of `server` whose queries take at most `timeout`. Fails only if TLS is configured and
    /// cannot be set up.
    pub fn new(server: &Server, timeout: Duration, metrics: Metrics) -> Result<Self, TlsError> {
        let seconds = timeout.as_millis().div_ceil(1000).max(1);
        let client = service::clickhouse::client(server)?
            .with_setting("max_execution_time", seconds.to_string())
            .with_setting("max_query_size", MAX_QUERY_SIZE)
            .with_setting("cancel_http_readonly_queries_on_client_close", "1");
        let scheduler = Scheduler::new(Limits::for_slots(4));
        Ok(Self { client, timeout, metrics, scheduler, heads: Arc::default() })
    }

    /// Replaces the limits of the scheduler.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.scheduler = Scheduler::new(limits);
        self
    }

    /// Adds a ClickHouse setting to every query.
    #[must_use]
    pub fn with_setting(mut self, name: &str, value: &str) -> Self {
        self.client = self.client.with_setting(name, value);
        self
    }

    /// Returns the maximum duration of a query.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns whether the server answers.
    pub async fn is_reachable(&self) -> bool {
        let query = self.client.query("SELECT toUInt8(1)").fetch_one::<u8>();
        matches!(tokio::time::timeout(PING_TIMEOUT, query).await, Ok(Ok(1)))
    }

    /// Reads at most `limit` points of a metric in `range`, newest first, starting with the newest one before
    /// `before`.
    pub async fn points(
        &self,
        view: &View,
        (project, metric): (&str, &str),
        range: Range,
        before: Option<PointPosition>,
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
        let view = view.for_metrics([metric]);
        let mask = view.hidden.condition();
        let sql = format!(
            "SELECT value, (time, received_at, partition, offset, index) AS position FROM samples \
             WHERE kind = 'sample' AND project_id = {{project:String}} AND metric_id = {{metric:String}} \
             AND idempotency_key = '' AND time >= fromUnixTimestamp64Milli({start}, 'UTC') \
             AND time < fromUnixTimestamp64Milli({end}, 'UTC'){earlier}{mask} \
             ORDER BY time DESC, received_at DESC, partition DESC, offset DESC, index DESC LIMIT {limit}"
        );
        let query =
            self.samples_query(Source::Rows, &view, &sql).param("project", project).param("metric", metric);
        self.fetch_in_slot(project, "points", query).await
    }

    /// Reads the buckets or cells of each metric in ascending order. `statement` has the columns of `kind`,
    /// and contains the condition of the deletions of `view`.
    pub async fn series(
        &self,
        view: &View,
        (project, metrics): (&str, &[&str]),
        kind: Kind,
        statement: &Statement,
    ) -> Result<Vec<Vec<Partial>>, Error> {
        let query = self
            .samples_query(statement.source, view, &statement.text)
            .param("project", project)
            .param("metrics", metrics);
        let _slot = self.scheduler.acquire(project).await?;
        let mut series = self.fetch_parts("series", query, kind, metrics.len()).await?;
        for parts in &mut series {
            parts.sort_unstable_by_key(|part| part.bucket);
        }
        Ok(series)
    }

    /// Reads rows with the columns of `kind` and groups them by series index. `count`: number of series.
    async fn fetch_parts(
        &self,
        name: &'static str,
        query: Query,
        kind: Kind,
        count: usize,
    ) -> Result<Vec<Vec<Partial>>, Error> {
        let mut parts = vec![Vec::new(); count];
        match kind {
            Kind::Sums => self.fetch_rows::<SumsRow>(name, query, &mut parts).await?,
            Kind::Last => self.fetch_rows::<LastRow>(name, query, &mut parts).await?,
            Kind::Quantiles => self.fetch_rows::<QuantilesRow>(name, query, &mut parts).await?,
        }
        Ok(parts)
    }

    /// Reads rows of one type and appends each part to its series.
    async fn fetch_rows<T: RowOwned + RowRead + Into<(u32, Partial)>>(
        &self,
        name: &'static str,
        query: Query,
        series: &mut [Vec<Partial>],
    ) -> Result<(), Error> {
        let read = async {
            let mut rows = query.fetch::<T>()?;
            while let Some(row) = rows.next().await? {
                let (series_index, part) = row.into();
                if let Some(parts) = series.get_mut(series_index as usize) {
                    parts.push(part);
                }
            }
            Ok(())
        };
        self.timed(name, &[], read).await
    }

    /// Waits for a slot of a project, for queries that do not take one themselves.
    pub async fn acquire_slot(&self, project: &str) -> Result<Slot, Error> {
        self.scheduler.acquire(project).await
    }

    /// Reads event times and values of at most `limit` points of a metric in `range`, oldest first.
    pub async fn values(
        &self,
        view: &View,
        (project, metric): (&str, &str),
        range: Range,
        limit: usize,
    ) -> Result<Vec<(i64, f64)>, Error> {
        let mask = view.hidden.condition();
        let (start, end) = (range.start.max(FIRST_TIME), range.end.min(LAST_TIME));
        let sql = format!(
            "SELECT toUnixTimestamp64Milli(time) AS at, value FROM samples \
             WHERE kind = 'sample' AND project_id = {{project:String}} AND metric_id = {{metric:String}} \
             AND idempotency_key = '' AND time >= fromUnixTimestamp64Milli({start}, 'UTC') \
             AND time < fromUnixTimestamp64Milli({end}, 'UTC'){mask} ORDER BY time LIMIT {limit}"
        );
        let query =
            self.samples_query(Source::Rows, view, &sql).param("project", project).param("metric", metric);
        self.fetch_in_slot(project, "values", query).await
    }

    /// Passes at most `limit` samples of metrics with `after < time <= until` (Unix milliseconds) to `take`.
    /// Samples are ordered by metric id, event time, and position.
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
        let view = view.for_metrics(ids.iter().copied());
        let mask = view.hidden.condition();
        let sql = format!(
            "SELECT toUInt32(transform(metric_id, {{ids:Array(String)}}, range({}), 0)) AS series_index, \
             toUnixTimestamp64Milli(samples.time) AS at, value FROM samples \
             WHERE kind = 'sample' AND project_id = {{project:String}} AND metric_id IN {{ids:Array(String)}} \
             AND idempotency_key = '' AND time > fromUnixTimestamp64Milli({after}, 'UTC') \
             AND time <= fromUnixTimestamp64Milli({until}, 'UTC'){mask} \
             ORDER BY metric_id, time, received_at, partition, offset, index LIMIT {limit}",
            ids.len()
        );
        let query = self.samples_query(Source::Rows, &view, &sql).param("project", project).param("ids", ids);
        let read = async {
            let mut rows = query.fetch::<SampleRow>()?;
            while let Some(row) = rows.next().await? {
                take(row);
            }
            Ok(())
        };
        let _slot = self.scheduler.acquire(project).await?;
        self.timed("samples", &[], read).await
    }

    /// Reads the rows of a statement with the parameter `project`. Returns no rows if a table does not exist,
    /// because some tables are created when they are first needed.
    pub async fn rows_or_empty<T: RowOwned + RowRead>(
        &self,
        name: &'static str,
        database: &str,
        sql: &str,
        project: &str,
    ) -> Result<Vec<T>, Error> {
        let query = self.query(&View::unmasked(database), sql).param("project", project);
        self.timed(name, &UNKNOWN_TABLE, query.fetch_all::<T>()).await
    }

    /// Creates a query of samples from `source`.
    fn samples_query(&self, source: Source, view: &View, sql: &str) -> Query {
        source.hint(self.query(view, sql))
    }

    /// Creates a query in the database of `view`, with the parameters of its deletions bound. `?` in `sql` is
    /// not a placeholder.
    fn query(&self, view: &View, sql: &str) -> Query {
        view.hidden.bind(self.client.clone().with_database(&*view.database).query_raw(sql))
    }

    /// Waits for a slot of `project` and reads all rows of a query.
    async fn fetch_in_slot<T: RowOwned + RowRead>(
        &self,
        project: &str,
        name: &'static str,
        query: Query,
    ) -> Result<Vec<T>, Error> {
        let _slot = self.scheduler.acquire(project).await?;
        self.fetch_all(name, query).await
    }

    async fn fetch_all<T: RowOwned + RowRead>(
        &self,
        name: &'static str,
        query: Query,
    ) -> Result<Vec<T>, Error> {
        self.timed(name, &[], query.fetch_all::<T>()).await
    }

    /// Runs `read` with a timeout, and records its duration and outcome. Returns the default if the server's
    /// error is one of `tolerated`.
    async fn timed<T: Default>(
        &self,
        name: &'static str,
        tolerated: &[u32],
        read: impl Future<Output = clickhouse::error::Result<T>>,
    ) -> Result<T, Error> {
        let started = Instant::now();
        let result = tokio::time::timeout(self.timeout + CLIENT_GRACE, read).await;
        let (outcome, result) = match result {
            Ok(Ok(rows)) => ("ok", Ok(rows)),
            Err(_) => ("timeout", Err(Error::QueryTimeout)),
            Ok(Err(error)) if server_code(&error) == Some(TIMEOUT_EXCEEDED) => {
                ("timeout", Err(Error::QueryTimeout))
            }
            Ok(Err(error)) if server_code(&error).is_some_and(|code| tolerated.contains(&code)) => {
                ("none", Ok(T::default()))
            }
            Ok(Err(error)) => {
                tracing::warn!(query = name, %error, "ClickHouse query failed");
                ("error", Err(Error::QueryFailed))
            }
        };
        self.metrics.record_query(name, outcome, started);
        result
    }
}

/// Returns the ClickHouse error code.
fn server_code(error: &clickhouse::error::Error) -> Option<u32> {
    let clickhouse::error::Error::BadResponse(text) = error else { return None };
    service::clickhouse::error_code(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_error_code_is_parsed_from_the_text() {
        let code = |text: &str| server_code(&clickhouse::error::Error::BadResponse(text.to_owned()));
        assert_eq!(code("Code: 159. DB::Exception: Timeout exceeded"), Some(159));
        assert_eq!(code("502 Bad Gateway"), None);
    }
}
