//! Which metrics a project has, and what they are called.

use super::Store;
use crate::error::Error;
use crate::hidden::View;
use crate::series::buckets::Range;
use crate::series::query::{FIRST_TIME, LAST_TIME};
use crate::source::Source;
use clickhouse::Row;
use serde::Deserialize;

/// The columns of [`NamedRow`].
const NAMED: &str = "metric_id, \
    argMaxIf(metric_name, (received_at, partition, offset, index), notEmpty(metric_name)) AS newest_name, \
    argMaxIf(unit, (received_at, partition, offset, index), notEmpty(unit)) AS newest_unit";
/// What [`MetricRow`] has beside them.
const COUNTED: &str = "toUnixTimestamp64Milli(min(received_at)) AS first_seen, \
    toUnixTimestamp64Milli(max(received_at)) AS last_seen, \
    argMax(value, (time, received_at, partition, offset, index)) AS last_value, count() AS points";

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

impl Store {
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
        self.metrics(view, project, page).await?.pop().ok_or(Error::UnknownMetric)
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

/// What the catalogue knows of the metrics of the parameter `project` that `filter` lets pass.
fn catalogue(columns: &str, filter: &str, rest: &str) -> String {
    format!(
        "SELECT {columns} FROM samples WHERE kind = 'sample' AND project_id = {{project:String}}{filter} \
         GROUP BY kind, project_id, metric_id {rest}"
    )
}
