//! Reads the parts of time series from the cache, or from the store if they are not cached.

use super::batch::Group;
use super::buckets::Range;
use super::cells::{CellPlan, CellRun, into_blocks};
use super::fill::Point;
use super::merge::Partial;
use super::query::{self, Kind};
use super::resolution::Resolution;
use super::series_query::SeriesQuery;
use crate::cache::{Block, BlockRange, MetricRef, NameAndUnit, StorePosition};
use crate::deletions::{DeletionMask, View};
use crate::engine::Engine;
use crate::error::Error;
use crate::store::MetricNameRow;
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Maximum number of metrics of a project whose names are read all at once.
const MAX_NAMES: usize = 2_000;

/// Reads data for one request.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// Engine with the cache and the store.
    pub engine: &'a Engine,
    /// Id of the project.
    pub project: &'a str,
    /// Store, with the deletions that it has not applied.
    pub view: &'a View,
    /// All deletions of the project's metrics.
    pub deletions: &'a DeletionMask,
    /// Position of the store; `None` while it is empty.
    pub position: Option<&'a StorePosition>,
}

/// Metric, kind of aggregates, and length of cells.
type CellKey<'a> = (&'a str, Kind, Resolution);

/// Cells that were read.
#[derive(Default)]
pub struct Cells<'a> {
    blocks: HashMap<CellKey<'a>, BTreeMap<i64, Block>>,
    failed: HashMap<CellKey<'a>, Error>,
}

impl Cells<'_> {
    /// Returns the cells of a metric in ascending order.
    pub fn of<'b>(
        &'b self,
        metric: &'b str,
        kind: Kind,
        plan: &'b CellPlan,
    ) -> Result<impl Iterator<Item = &'b Partial>, Error> {
        let key = move |run: &CellRun| (metric, kind, run.resolution);
        if let Some(error) = plan.runs.iter().find_map(|run| self.failed.get(&key(run))) {
            return Err(*error);
        }
        Ok(plan.runs.iter().flat_map(move |run| {
            let blocks = self.blocks.get(&key(run)).map(|blocks| blocks.range(run.blocks()));
            let cells = blocks.into_iter().flatten().flat_map(|(_, block)| block.iter());
            cells.filter(|cell| run.contains(cell))
        }))
    }
}

impl<'a> Reader<'a> {
    /// Returns whether the store still has deleted points of the metric. Cells would contain them.
    pub fn has_hidden_points(&self, metric: &str) -> bool {
        !self.view.hidden.for_metrics([metric]).is_empty()
    }

    /// Reads the cells of the plan of each metric.
    pub async fn cells(&self, plans: Vec<(&'a str, Kind, &CellPlan)>) -> Cells<'a> {
        let mut cells = Cells::default();
        let mut missing: BTreeMap<CellKey<'a>, BTreeSet<i64>> = BTreeMap::new();
        let runs_of_cells = plans
            .into_iter()
            .flat_map(|(metric, kind, plan)| plan.runs.iter().map(move |run| (metric, kind, run)));
        for (metric, kind, run) in runs_of_cells {
            let key = (metric, kind, run.resolution);
            let blocks = BlockRange { kind, resolution: run.resolution, numbers: run.blocks() };
            let found = match self.position {
                Some(position) => self.engine.cache.lookup(position, &self.metric(metric), &blocks),
                None => blocks.numbers.clone().map(|_| None).collect(),
            };
            for (number, block) in blocks.numbers.zip(found) {
                match block {
                    Some(block) => _ = cells.blocks.entry(key).or_default().insert(number, block),
                    None => _ = missing.entry(key).or_default().insert(number),
                }
            }
        }
        // One statement reads all metrics that miss the same blocks.
        let mut reads: BTreeMap<(Kind, Resolution, i64, i64), Vec<&str>> = BTreeMap::new();
        for ((metric, kind, resolution), numbers) in &missing {
            for run in runs(numbers) {
                reads.entry((*kind, *resolution, run.start, run.end)).or_default().push(metric);
            }
        }
        let read = reads.iter().map(async |((kind, resolution, first, end), metrics)| {
            let blocks = BlockRange { kind: *kind, resolution: *resolution, numbers: *first..*end };
            let read = self.read_blocks(&blocks, metrics).await;
            (blocks, metrics, read)
        });
        for (blocks, metrics, read) in join_all(read).await {
            let key = |metric| (metric, blocks.kind, blocks.resolution);
            match read {
                Ok(read) => {
                    for (metric, read) in metrics.iter().copied().zip(read) {
                        let of_metric = cells.blocks.entry(key(metric)).or_default();
                        of_metric.extend(blocks.numbers.clone().zip(read));
                    }
                }
                Err(error) => {
                    cells.failed.extend(metrics.iter().map(|metric| (key(metric), error)));
                }
            }
        }
        cells
    }

    /// Reads blocks of each metric from the store and caches them.
    async fn read_blocks(&self, blocks: &BlockRange, metrics: &[&str]) -> Result<Vec<Vec<Block>>, Error> {
        let BlockRange { kind, resolution, numbers } = blocks;
        let length = resolution.block_ms();
        let range = Range { start: numbers.start * length, end: numbers.end * length };
        let statement = query::cells(range, *resolution, *kind);
        let view = View::unmasked(&self.view.database);
        let read = self.engine.store.series(&view, (self.project, metrics), *kind, &statement).await?;
        let read: Vec<Vec<Block>> =
            read.into_iter().map(|cells| into_blocks(cells, *resolution, numbers.clone())).collect();
        if let Some(position) = self.position {
            let of_metrics = metrics.iter().map(|metric| self.metric(metric));
            self.engine.cache.insert(position, blocks, of_metrics.zip(read.iter().cloned()));
        }
        Ok(read)
    }

    /// Reads the parts of the buckets of each metric of a group.
    pub async fn group(&self, group: &Group) -> Result<Vec<Vec<Partial>>, Error> {
        let metrics: Vec<&str> = group.metrics.iter().map(String::as_str).collect();
        let view = self.view.for_metrics(metrics.iter().copied());
        let statement = group.statement(&view.hidden.condition());
        self.engine.store.series(&view, (self.project, &metrics), group.kind, &statement).await
    }

    /// Computes averages and quantiles that are missing because an intermediate sum or difference overflowed.
    /// Few metrics have such values, so their points are read once more, scaled.
    pub async fn fill_overflowed(
        &self,
        metric: &str,
        query: &SeriesQuery,
        points: &mut [Point],
    ) -> Result<(), Error> {
        if !query.aggregation.is_within_values() || points.iter().all(|point| point.value.is_some()) {
            return Ok(());
        }
        let view = self.view.for_metrics([metric]);
        let kind = Kind::of(query.aggregation);
        let statement = query::scaled(query.range, &query.starts, kind, &view.hidden.condition());
        let read = self.engine.store.series(&view, (self.project, &[metric]), kind, &statement).await?;
        for part in read.into_iter().flatten() {
            let index = points.binary_search_by_key(&part.bucket, |point| point.timestamp);
            if let Ok(index) = index
                && points[index].value.is_none()
            {
                let value = part.scaled_value(query.aggregation);
                points[index] = Point { timestamp: part.bucket, value, count: part.points };
            }
        }
        Ok(())
    }

    /// Reads the names and units of `metrics`. Metrics that the project does not have are left out.
    pub async fn names(
        &self,
        metrics: impl Iterator<Item = &'a str>,
    ) -> Result<HashMap<&'a str, NameAndUnit>, Error> {
        let mut names = HashMap::new();
        let mut missing = BTreeSet::new();
        for metric in metrics {
            let position = self.position.filter(|_| !self.has_hidden_points(metric));
            match position.and_then(|position| self.engine.cache.name(position, &self.metric(metric))) {
                Some(name) => _ = names.insert(metric, name),
                None => _ = missing.insert(metric),
            }
        }
        if missing.is_empty() {
            return Ok(names);
        }
        let missing: Vec<&str> = missing.into_iter().collect();
        let rows = self.read_names(&missing).await?;
        let mut read: HashMap<String, NameAndUnit> = rows
            .into_iter()
            .map(|row| (row.metric_id, NameAndUnit { name: row.newest_name, unit: row.newest_unit }))
            .collect();
        if let Some(position) = self.position {
            let cacheable = read.iter().filter(|(metric, _)| !self.has_hidden_points(metric));
            self.engine
                .cache
                .insert_names(position, cacheable.map(|(metric, name)| (self.metric(metric), name.clone())));
        }
        names.extend(missing.into_iter().filter_map(|metric| Some((metric, read.remove(metric)?))));
        Ok(names)
    }

    /// Reads the names of at least these metrics. The names of a whole project cost hardly more than one, and
    /// requests for other metrics are likely to follow.
    async fn read_names(&self, missing: &[&str]) -> Result<Vec<MetricNameRow>, Error> {
        let Reader { engine, project, view, .. } = *self;
        if self.position.is_some()
            && view.hidden.is_empty()
            && engine.cache.claim_reading_all_names(project)
            && let Some(all) = engine.store.all_metric_names(view, project, MAX_NAMES).await?
        {
            return Ok(all);
        }
        engine.store.metric_names(view, project, missing).await
    }

    fn metric<'m>(&'m self, id: &'m str) -> MetricRef<'m> {
        MetricRef { project: self.project, id, deletions: self.deletions.for_metrics([id]) }
    }
}

/// Groups block numbers into runs. Gaps of up to three blocks are included, because reading cached blocks
/// again is cheaper than another statement.
fn runs(numbers: &BTreeSet<i64>) -> Vec<std::ops::Range<i64>> {
    const MAX_GAP: i64 = 3;
    let mut runs: Vec<std::ops::Range<i64>> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(run) if number - run.end <= MAX_GAP => run.end = number + 1,
            _ => runs.push(*number..number + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_gap_is_read_again_and_long_gap_is_not() {
        let runs = |numbers: &[i64]| -> Vec<(i64, i64)> {
            runs(&numbers.iter().copied().collect()).into_iter().map(|run| (run.start, run.end)).collect()
        };
        assert_eq!(runs(&[]), []);
        assert_eq!(runs(&[5, 6, 9]), [(5, 10)]);
        assert_eq!(runs(&[1, 2, 8, 30, 31]), [(1, 3), (8, 9), (30, 32)]);
    }
}
