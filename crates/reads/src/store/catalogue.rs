//! Queries of the catalogue: the metrics of a project, with names and statistics.

use super::Store;
use crate::deletions::View;
use crate::error::Error;
use crate::series::buckets::{FIRST_TIME, LAST_TIME, Range};
use crate::source::Source;
use clickhouse::Row;
use serde::Deserialize;

/// Columns of [`MetricNameRow`].
const NAME_COLUMNS: &str = "metric_id, \
    argMaxIf(metric_name, (received_at, partition, offset, index), notEmpty(metric_name)) AS newest_name, \
    argMaxIf(unit, (received_at, partition, offset, index), notEmpty(unit)) AS newest_unit";
/// Additional columns of [`MetricRow`].
const STATISTICS_COLUMNS: &str = "toUnixTimestamp64Milli(min(received_at)) AS first_seen, \
    toUnixTimestamp64Milli(max(received_at)) AS last_seen, \
    argMax(value, (time, received_at, partition, offset, index)) AS last_value, count() AS points";

/// Catalogue row of a metric.
#[derive(Debug, Clone, PartialEq, Row, Deserialize)]
pub struct MetricRow {
    /// Metric id.
    pub metric_id: String,
    /// Newest name that was sent; empty if none was.
    pub newest_name: String,
    /// Newest unit that was sent; empty if none was.
    pub newest_unit: String,
    /// Earliest received time, Unix milliseconds.
    pub first_seen: i64,
    /// Latest received time, Unix milliseconds.
    pub last_seen: i64,
    /// Value of the latest point by event time.
    pub last_value: f64,
    /// Number of points.
    pub points: u64,
}

/// Row of a metric's name and unit.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct MetricNameRow {
    /// Metric id.
    pub metric_id: String,
    /// Newest name that was sent; empty if none was.
    pub newest_name: String,
    /// Newest unit that was sent; empty if none was.
    pub newest_unit: String,
}

/// Filter and size of a catalogue page.
#[derive(Debug, Clone, Copy, Default)]
pub struct MetricsPage<'a> {
    /// Only this metric.
    pub id: Option<&'a str>,
    /// Only metrics whose id or name contains this text, ignoring case.
    pub search: Option<&'a str>,
    /// Only metrics with an id after this one.
    pub after: Option<&'a str>,
    /// Maximum number of metrics.
    pub limit: usize,
}

impl Store {
    /// Reads metrics of a project, ordered by id.
    pub async fn metrics(
        &self,
        view: &View,
        project: &str,
        page: MetricsPage<'_>,
    ) -> Result<Vec<MetricRow>, Error> {
        let view = page.id.map_or_else(|| view.clone(), |id| view.for_metrics([id]));
        let mut filter = String::new();
        if page.id.is_some() {
            filter += " AND metric_id = {metric:String}";
        }
        if page.after.is_some() {
            filter += " AND metric_id > {after:String}";
        }
        let having = match page.search {
            // A metric without a name is displayed with its id in title case, with spaces as separators.
            Some(_) => {
                "HAVING positionCaseInsensitiveUTF8(metric_id, {search:String}) > 0 OR positionCaseInsensitiveUTF8(\
                 if(newest_name != '', newest_name, replaceRegexpAll(metric_id, '[_.:-]+', ' ')), {search:String}) > 0"
            }
            None => "",
        };
        let columns = format!("{NAME_COLUMNS}, {STATISTICS_COLUMNS}");
        let sql = visible(&view, |condition| catalogue(&columns, &format!("{filter}{condition}"), having));
        let sql = format!("{sql} ORDER BY metric_id LIMIT {}", page.limit);
        let mut query = self.samples_query(Source::Catalogue, &view, &sql).param("project", project);
        for (name, value) in [("metric", page.id), ("after", page.after), ("search", page.search)] {
            if let Some(value) = value {
                query = query.param(name, value);
            }
        }
        self.fetch_in_slot(project, "catalogue", query).await
    }

    /// Reads the names and units of the metrics `ids`. Metrics that the project does not have are left out.
    pub async fn metric_names(
        &self,
        view: &View,
        project: &str,
        ids: &[&str],
    ) -> Result<Vec<MetricNameRow>, Error> {
        let view = view.for_metrics(ids.iter().copied());
        let filter = " AND metric_id IN {metrics:Array(String)}";
        let sql = visible(&view, |condition| catalogue(NAME_COLUMNS, &format!("{filter}{condition}"), ""));
        let query = self
            .samples_query(Source::Catalogue, &view, &sql)
            .param("project", project)
            .param("metrics", ids);
        self.fetch_in_slot(project, "named", query).await
    }

    /// Reads the names and units of all metrics of a project; `None` if it has more than `limit`. `view` must
    /// have no deletions.
    pub async fn all_metric_names(
        &self,
        view: &View,
        project: &str,
        limit: usize,
    ) -> Result<Option<Vec<MetricNameRow>>, Error> {
        let sql = format!("{} LIMIT {}", catalogue(NAME_COLUMNS, "", ""), limit + 1);
        let query = self.samples_query(Source::Catalogue, view, &sql).param("project", project);
        // Makes the server stop early for a project with more metrics.
        let query = query
            .with_setting("max_rows_to_group_by", (limit + 1).to_string())
            .with_setting("group_by_overflow_mode", "break");
        let rows: Vec<MetricNameRow> = self.fetch_in_slot(project, "named_all", query).await?;
        Ok((rows.len() <= limit).then_some(rows))
    }

    /// Reads the catalogue row of a metric.
    pub async fn metric(&self, view: &View, project: &str, id: &str) -> Result<MetricRow, Error> {
        let page = MetricsPage { id: Some(id), limit: 1, ..MetricsPage::default() };
        self.metrics(view, project, page).await?.pop().ok_or(Error::UnknownMetric)
    }

    /// Reads ids of the project's metrics in ascending order; with `hours`, only of metrics with points in
    /// the hours that the range overlaps.
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
        let ids = |condition: &str| {
            format!(
                "SELECT metric_id FROM samples WHERE kind = 'sample' AND project_id = {{project:String}}{filter}{condition} \
                 GROUP BY kind, project_id, metric_id"
            )
        };
        let sql = format!("{} ORDER BY metric_id LIMIT {limit}", visible(view, ids));
        let source = if filter.is_empty() { Source::Catalogue } else { Source::Hours };
        let query = self.samples_query(source, view, &sql).param("project", project);
        self.fetch_in_slot(project, "metric_ids", query).await
    }
}

/// Returns a statement that excludes deleted points. `statement` adds the condition that it gets to its own
/// ones. It is used twice, for metrics without and with deletions, so that only the latter are read from raw
/// rows.
fn visible(view: &View, statement: impl Fn(&str) -> String) -> String {
    if view.hidden.is_empty() {
        return statement("");
    }
    format!(
        "SELECT * FROM ({} UNION ALL {})",
        statement(" AND metric_id NOT IN {hidden:Array(String)}"),
        statement(&format!(" AND metric_id IN {{hidden:Array(String)}}{}", view.hidden.condition()))
    )
}

/// Returns the statement for the metrics of the parameter `project` that match `filter`.
fn catalogue(columns: &str, filter: &str, rest: &str) -> String {
    format!(
        "SELECT {columns} FROM samples WHERE kind = 'sample' AND project_id = {{project:String}}{filter} \
         GROUP BY kind, project_id, metric_id {rest}"
    )
}
