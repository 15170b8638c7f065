//! Answers time series from the store: the one way for a single one and for a dashboard's.
//!
//! The ends of the log, the heads of the chains, the data: in this order, so that the watermark is true. The names come
//! beside the data.

use super::aggregation::Aggregation;
use super::batch::{Asked, Group, groups};
use super::buckets::Interval;
use super::fill::{Point, fill};
use super::merge::{Partial, merge};
use super::question::Question;
use crate::app::App;
use crate::error::Error;
use crate::hidden::View;
use crate::routes::metrics;
use crate::store::NamedRow;
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
    /// How long the buckets are.
    interval: Interval,
    /// How the points of a bucket became one number.
    aggregation: Aggregation,
    /// The zone by whose clock buckets begin.
    timezone: String,
    /// The buckets, ascending.
    pub points: Vec<Point>,
    /// Every point that was accepted with a `receivedAt` up to this is in the answer; 0 promises nothing.
    watermark: i64,
}

/// The series that are asked for of `project`, in their order; an error for each that cannot be answered. Fails as a
/// whole where none could be.
pub async fn series(
    app: &App,
    project: &str,
    asked: &[(String, Question)],
) -> Result<Vec<Result<TimeSeries, Error>>, Error> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let view = app.view(project).await?;
    app.watermarks.refresh().await;
    let heads = app.store.heads(&view.database).await?;
    let watermark = app.watermarks.at(&heads);
    let there = asked.iter().enumerate().map(|(place, (id, question))| {
        let hidden = !view.hidden.among([id.as_str()]).is_empty();
        Asked { place, metric: id, hidden, question }
    });
    let groups = groups(there);
    let ids: Vec<&str> = asked.iter().map(|(id, _)| id.as_str()).collect();
    let (named, read) = tokio::join!(
        app.store.named(&view, project, &ids),
        join_all(groups.iter().map(|group| read(app, &view, project, group)))
    );
    let named = named?;
    let named: HashMap<&str, &NamedRow> = named.iter().map(|row| (row.metric_id.as_str(), row)).collect();
    let mut answered: HashMap<usize, Result<&HashMap<String, Vec<Partial>>, Error>> = HashMap::new();
    for (group, parts) in groups.iter().zip(&read) {
        for member in &group.members {
            answered.insert(*member, parts.as_ref().map_err(Error::clone));
        }
    }

    let answer = |(place, (id, question)): (usize, &(String, Question))| {
        let metric = named.get(id.as_str()).ok_or(Error::NoMetric)?;
        let parts = match answered.remove(&place) {
            Some(parts) => parts?.get(id).cloned().unwrap_or_default(),
            None => Vec::new(),
        };
        let points = merge(parts, question.aggregation);
        Ok(TimeSeries {
            metric_name: metrics::name(id, &metric.newest_name),
            unit: metrics::unit(&metric.newest_unit),
            metric_id: id.clone(),
            interval: question.interval,
            aggregation: question.aggregation,
            timezone: question.timezone.clone(),
            points: fill(&question.starts, points, question.fill),
            watermark,
        })
    };
    Ok(asked.iter().enumerate().map(answer).collect())
}

/// The parts of a group's buckets, by metric.
async fn read(
    app: &App,
    view: &View,
    project: &str,
    group: &Group,
) -> Result<HashMap<String, Vec<Partial>>, Error> {
    let view = view.among(group.metrics.iter().map(String::as_str));
    let sql = group.sql(&view.hidden.mask());
    let rows = app.store.series(&view, (project, &group.metrics), group.kind, &sql).await?;
    let mut parts: HashMap<String, Vec<Partial>> = HashMap::with_capacity(group.metrics.len());
    for row in rows {
        match parts.get_mut(&row.metric_id) {
            Some(parts) => parts.push(row),
            None => {
                parts.insert(row.metric_id.clone(), vec![row]);
            }
        }
    }
    Ok(parts)
}
