//! Answers time series from the cache and the store: the one way for a single one and for a dashboard's.
//!
//! The ends of the log, the heads of the chains, the data: in this order, so that the watermark is true, and what is kept
//! is what those heads cover. The names come beside the data.

use super::aggregation::Aggregation;
use super::batch::{Asked, groups};
use super::buckets::Interval;
use super::cells::Cut;
use super::fill::{Point, fill};
use super::gather::Reader;
use super::merge::{Partial, merge};
use super::query::Kind;
use super::question::Question;
use crate::cache::Standing;
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
    engine: &Engine,
    project: &str,
    asked: &[(String, Question)],
) -> Result<Vec<Result<TimeSeries, Error>>, Error> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let (view, deletions) = engine.view_and_deletions(project).await?;
    engine.watermarks.refresh().await;
    let heads = engine.store.heads(&view.database).await?;
    let watermark = engine.watermarks.at(&heads.last);
    let standing = Standing::new(&view.database, &heads);
    let reader = Reader { engine, project, view: &view, deletions: &deletions, standing: standing.as_ref() };
    let cut = |(id, question): &(String, Question)| if reader.hides(id) { None } else { Cut::new(question) };
    let cuts: Vec<Option<Cut>> = asked.iter().map(cut).collect();
    let groups = groups(asked.iter().zip(&cuts).enumerate().map(|(place, ((id, question), cut))| Asked {
        place,
        metric: id,
        hidden: reader.hides(id),
        question,
        cut: cut.as_ref(),
    }));
    let cut = asked.iter().zip(&cuts).filter_map(|((id, question), cut)| {
        cut.as_ref().map(|cut| (id.as_str(), Kind::of(question.aggregation), cut))
    });
    let (names, cells, read) = tokio::join!(
        reader.names(asked.iter().map(|(id, _)| id.as_str())),
        reader.cells(cut.collect()),
        join_all(groups.iter().map(|group| reader.group(group)))
    );
    let names = names?;
    let mut read_raw: HashMap<usize, Result<&[Partial], Error>> = HashMap::new();
    for (group, read) in groups.iter().zip(&read) {
        for (member, metric) in &group.members {
            let parts = read.as_ref().map(|read| read.get(*metric).map_or(&[][..], Vec::as_slice));
            read_raw.insert(*member, parts.map_err(Error::clone));
        }
    }

    let answer = async |(place, ((id, question), cut)): (usize, (&(String, Question), &Option<Cut>))| {
        let named = names.get(id.as_str()).ok_or(Error::UnknownMetric)?;
        let raw = read_raw.get(&place).cloned().unwrap_or(Ok(&[]))?;
        let mut parts: Vec<&Partial> = raw.iter().collect();
        if let Some(cut) = cut {
            parts.extend(cells.of(id, Kind::of(question.aggregation), cut)?);
            if !raw.is_empty() {
                parts.sort_by_key(|part| part.bucket);
            }
        }
        let mut points = merge(&question.starts, parts, question.aggregation);
        reader.overflown(id, question, &mut points).await?;
        Ok(TimeSeries {
            metric_name: display_name::name(id, &named.name),
            unit: display_name::unit(&named.unit),
            metric_id: id.clone(),
            interval: question.interval,
            aggregation: question.aggregation,
            timezone: question.timezone.clone(),
            points: fill(&question.starts, points, question.fill),
            watermark,
        })
    };
    Ok(join_all(asked.iter().zip(&cuts).enumerate().map(answer)).await)
}
