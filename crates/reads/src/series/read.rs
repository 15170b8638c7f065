//! Reads time series from the cache and the store, for single series and dashboards alike.
//!
//! The order of reads is: ends of the log, heads of the chains, data. It makes the watermark correct, and
//! ensures that cached data contains every record up to those heads. The names are read concurrently with the
//! data.

use super::aggregation::Aggregation;
use super::batch::{SeriesRequest, groups};
use super::buckets::Interval;
use super::cells::CellPlan;
use super::fill::{Point, fill};
use super::gather::Reader;
use super::merge::{Partial, merge};
use super::query::Kind;
use super::series_query::SeriesQuery;
use crate::cache::StorePosition;
use crate::display_name;
use crate::engine::Engine;
use crate::error::Error;
use futures::future::join_all;
use serde::Serialize;
use std::collections::HashMap;
use utoipa::ToSchema;

/// The points of a metric in buckets.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimeSeries {
    /// The metric's id.
    metric_id: String,
    /// The newest name that was sent; the id in title case if none was.
    metric_name: String,
    /// The newest unit that was sent; `null` if none was.
    #[schema(required)]
    unit: Option<String>,
    /// Length of the buckets.
    interval: Interval,
    /// Aggregation of the points of a bucket.
    aggregation: Aggregation,
    /// Time zone in which buckets begin.
    timezone: String,
    /// Buckets in ascending order.
    pub points: Vec<Point>,
    /// Every point that was accepted with a `receivedAt` up to this time is in the answer; 0 promises nothing.
    watermark: i64,
}

/// Reads time series of `project`, given by metric id and query, in their order. Each series that cannot be
/// read has its own error. Fails as a whole if the store, its deletions, its heads or the names cannot be
/// read.
pub async fn series(
    engine: &Engine,
    project: &str,
    requests: &[(String, SeriesQuery)],
) -> Result<Vec<Result<TimeSeries, Error>>, Error> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let (view, deletions) = engine.view_and_deletions(project).await?;
    engine.watermarks.refresh().await;
    let heads = engine.store.heads(&view.database).await?;
    let watermark = engine.watermarks.for_heads(&heads.last);
    let position = StorePosition::new(&view.database, &heads);
    let reader = Reader { engine, project, view: &view, deletions: &deletions, position: position.as_ref() };
    let plan = |(id, query): &(String, SeriesQuery)| {
        if reader.has_hidden_points(id) { None } else { CellPlan::new(query) }
    };
    let plans: Vec<Option<CellPlan>> = requests.iter().map(plan).collect();
    let groups = groups(requests.iter().zip(&plans).enumerate().map(|(index, ((id, query), plan))| {
        SeriesRequest { index, metric: id, hidden: reader.has_hidden_points(id), query, cells: plan.as_ref() }
    }));
    let cell_plans = requests.iter().zip(&plans).filter_map(|((id, query), plan)| {
        plan.as_ref().map(|plan| (id.as_str(), Kind::of(query.aggregation), plan))
    });
    let (names, cells, read) = tokio::join!(
        reader.names(requests.iter().map(|(id, _)| id.as_str())),
        reader.cells(cell_plans.collect()),
        join_all(groups.iter().map(|group| reader.group(group)))
    );
    let names = names?;
    let mut raw_parts: HashMap<usize, Result<&[Partial], Error>> = HashMap::new();
    for (group, read) in groups.iter().zip(&read) {
        for (member, metric) in &group.members {
            let parts = read.as_ref().map(|read| read.get(*metric).map_or(&[][..], Vec::as_slice));
            raw_parts.insert(*member, parts.map_err(Error::clone));
        }
    }

    let answer =
        async |(index, ((id, query), plan)): (usize, (&(String, SeriesQuery), &Option<CellPlan>))| {
            let name = names.get(id.as_str()).ok_or(Error::UnknownMetric)?;
            let raw = raw_parts.get(&index).cloned().unwrap_or(Ok(&[]))?;
            let mut parts: Vec<&Partial> = raw.iter().collect();
            if let Some(plan) = plan {
                parts.extend(cells.of(id, Kind::of(query.aggregation), plan)?);
                if !raw.is_empty() {
                    parts.sort_by_key(|part| part.bucket);
                }
            }
            let mut points = merge(&query.starts, parts, query.aggregation);
            reader.fill_overflowed(id, query, &mut points).await?;
            Ok(TimeSeries {
                metric_name: display_name::name(id, &name.name),
                unit: display_name::unit(&name.unit),
                metric_id: id.clone(),
                interval: query.interval,
                aggregation: query.aggregation,
                timezone: query.timezone.clone(),
                points: fill(&query.starts, points, query.fill),
                watermark,
            })
        };
    Ok(join_all(requests.iter().zip(&plans).enumerate().map(answer)).await)
}
