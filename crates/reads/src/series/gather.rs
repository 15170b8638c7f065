//! What time series are made of, from the cache where it is held there, else from the store.

use super::batch::Group;
use super::buckets::Range;
use super::cells::{Cut, Piece, Resolution, into_blocks};
use super::fill::Point;
use super::merge::Partial;
use super::query::{self, Kind};
use super::question::Question;
use crate::cache::{Block, Blocks, Metric, Named, Standing};
use crate::engine::Engine;
use crate::error::Error;
use crate::hidden::{Hidden, View};
use crate::store::NamedRow;
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The names of projects with more metrics are not read all at once.
const MOST_NAMES: usize = 2_000;

/// One that reads for a request.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// What it asks.
    pub engine: &'a Engine,
    /// Whose metrics it reads.
    pub project: &'a str,
    /// The store, and what of it is hidden.
    pub view: &'a View,
    /// All deletions of the project's metrics.
    pub deletions: &'a Hidden,
    /// Up to where the store has the log; none while it is empty.
    pub standing: Option<&'a Standing>,
}

/// The same cells of a metric.
type Key<'a> = (&'a str, Kind, Resolution);

/// Cells that were asked for.
#[derive(Default)]
pub struct Cells<'a> {
    blocks: HashMap<Key<'a>, BTreeMap<i64, Block>>,
    failed: HashMap<Key<'a>, Error>,
}

impl Cells<'_> {
    /// Those of a metric that it was cut into, ascending.
    pub fn of<'b>(
        &'b self,
        metric: &'b str,
        kind: Kind,
        cut: &'b Cut,
    ) -> Result<impl Iterator<Item = &'b Partial>, Error> {
        let key = move |piece: &Piece| (metric, kind, piece.resolution);
        if let Some(error) = cut.pieces.iter().find_map(|piece| self.failed.get(&key(piece))) {
            return Err(*error);
        }
        Ok(cut.pieces.iter().flat_map(move |piece| {
            let blocks = self.blocks.get(&key(piece)).map(|blocks| blocks.range(piece.blocks()));
            let cells = blocks.into_iter().flatten().flat_map(|(_, block)| block.iter());
            cells.filter(|cell| piece.has(cell))
        }))
    }
}

impl<'a> Reader<'a> {
    /// Whether points of the metric are hidden that the store still has: no cell is right then.
    pub fn hides(&self, metric: &str) -> bool {
        !self.view.hidden.among([metric]).is_empty()
    }

    /// The cells of each metric.
    pub async fn cells(&self, wanted: Vec<(&'a str, Kind, &Cut)>) -> Cells<'a> {
        let mut cells = Cells::default();
        let mut missing: BTreeMap<Key<'a>, BTreeSet<i64>> = BTreeMap::new();
        let pieces = wanted
            .into_iter()
            .flat_map(|(metric, kind, cut)| cut.pieces.iter().map(move |piece| (metric, kind, piece)));
        for (metric, kind, piece) in pieces {
            let key = (metric, kind, piece.resolution);
            let blocks = Blocks { kind, resolution: piece.resolution, numbers: piece.blocks() };
            let found = match self.standing {
                Some(at) => self.engine.cache.find(at, &self.metric(metric), &blocks),
                None => blocks.numbers.clone().map(|_| None).collect(),
            };
            for (number, block) in blocks.numbers.zip(found) {
                match block {
                    Some(block) => _ = cells.blocks.entry(key).or_default().insert(number, block),
                    None => _ = missing.entry(key).or_default().insert(number),
                }
            }
        }
        // What misses the same is read together.
        let mut reads: BTreeMap<(Kind, Resolution, i64, i64), Vec<&str>> = BTreeMap::new();
        for ((metric, kind, resolution), numbers) in &missing {
            for run in runs(numbers) {
                reads.entry((*kind, *resolution, run.start, run.end)).or_default().push(metric);
            }
        }
        let read = reads.iter().map(async |((kind, resolution, first, end), metrics)| {
            let blocks = Blocks { kind: *kind, resolution: *resolution, numbers: *first..*end };
            let read = self.read(&blocks, metrics).await;
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

    /// Blocks of metrics, in their order, from the store; they are kept.
    async fn read(&self, blocks: &Blocks, metrics: &[&str]) -> Result<Vec<Vec<Block>>, Error> {
        let Blocks { kind, resolution, numbers } = blocks;
        let length = resolution.block();
        let range = Range { start: numbers.start * length, end: numbers.end * length };
        let statement = query::cells(range, *resolution, *kind);
        let view = View::of(&self.view.database);
        let read = self.engine.store.series(&view, (self.project, metrics), *kind, &statement).await?;
        let read: Vec<Vec<Block>> =
            read.into_iter().map(|cells| into_blocks(cells, *resolution, numbers.clone())).collect();
        if let Some(at) = self.standing {
            let of_metrics = metrics.iter().map(|metric| self.metric(metric));
            self.engine.cache.keep(at, blocks, of_metrics.zip(read.iter().cloned()));
        }
        Ok(read)
    }

    /// The parts of a group's buckets, of each of its metrics.
    pub async fn group(&self, group: &Group) -> Result<Vec<Vec<Partial>>, Error> {
        let metrics: Vec<&str> = group.metrics.iter().map(String::as_str).collect();
        let view = self.view.among(metrics.iter().copied());
        let statement = group.statement(&view.hidden.mask());
        self.engine.store.series(&view, (self.project, &metrics), group.kind, &statement).await
    }

    /// Gives buckets their average or quantile that have none, because a double holds it but not their sum, or not the
    /// difference of two values that it lies between. Few metrics have such values, so their points are read once more.
    pub async fn overflown(
        &self,
        metric: &str,
        question: &Question,
        points: &mut [Point],
    ) -> Result<(), Error> {
        if !question.aggregation.is_within_values() || points.iter().all(|point| point.value.is_some()) {
            return Ok(());
        }
        let view = self.view.among([metric]);
        let kind = Kind::of(question.aggregation);
        let statement = query::scaled(question.range, &question.starts, kind, &view.hidden.mask());
        let read = self.engine.store.series(&view, (self.project, &[metric]), kind, &statement).await?;
        for part in read.into_iter().flatten() {
            let place = points.binary_search_by_key(&part.bucket, |point| point.timestamp);
            if let Ok(place) = place
                && points[place].value.is_none()
            {
                let value = part.scaled_value(question.aggregation);
                points[place] = Point { timestamp: part.bucket, value, count: part.points };
            }
        }
        Ok(())
    }

    /// What those of `metrics` are called that the project has.
    pub async fn names(
        &self,
        metrics: impl Iterator<Item = &'a str>,
    ) -> Result<HashMap<&'a str, Named>, Error> {
        let mut names = HashMap::new();
        let mut missing = BTreeSet::new();
        for metric in metrics {
            let held = self.standing.filter(|_| !self.hides(metric));
            match held.and_then(|at| self.engine.cache.named(at, &self.metric(metric))) {
                Some(named) => _ = names.insert(metric, named),
                None => _ = missing.insert(metric),
            }
        }
        if missing.is_empty() {
            return Ok(names);
        }
        let missing: Vec<&str> = missing.into_iter().collect();
        let rows = self.read_names(&missing).await?;
        let mut read: HashMap<String, Named> = rows
            .into_iter()
            .map(|row| (row.metric_id, Named { name: row.newest_name, unit: row.newest_unit }))
            .collect();
        if let Some(at) = self.standing {
            let kept = read.iter().filter(|(metric, _)| !self.hides(metric));
            self.engine
                .cache
                .keep_names(at, kept.map(|(metric, named)| (self.metric(metric), named.clone())));
        }
        names.extend(missing.into_iter().filter_map(|metric| Some((metric, read.remove(metric)?))));
        Ok(names)
    }

    /// The names of these metrics at least: those of a whole project cost hardly more than one, and who asks for one
    /// metric asks for others soon.
    async fn read_names(&self, missing: &[&str]) -> Result<Vec<NamedRow>, Error> {
        let Reader { engine, project, view, .. } = *self;
        if self.standing.is_some()
            && view.hidden.is_empty()
            && engine.cache.first_to_name(project)
            && let Some(all) = engine.store.named_all(view, project, MOST_NAMES).await?
        {
            return Ok(all);
        }
        engine.store.named(view, project, missing).await
    }

    fn metric<'m>(&'m self, id: &'m str) -> Metric<'m> {
        Metric { project: self.project, id, deletions: self.deletions.among([id]) }
    }
}

/// The numbers as runs, where a few that lie between are read again rather than asked around.
fn runs(numbers: &BTreeSet<i64>) -> Vec<std::ops::Range<i64>> {
    const BETWEEN: i64 = 3;
    let mut runs: Vec<std::ops::Range<i64>> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(run) if number - run.end <= BETWEEN => run.end = number + 1,
            _ => runs.push(*number..number + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_gap_is_read_over_and_a_long_one_is_not() {
        let runs = |numbers: &[i64]| -> Vec<(i64, i64)> {
            runs(&numbers.iter().copied().collect()).into_iter().map(|run| (run.start, run.end)).collect()
        };
        assert_eq!(runs(&[]), []);
        assert_eq!(runs(&[5, 6, 9]), [(5, 10)]);
        assert_eq!(runs(&[1, 2, 8, 30, 31]), [(1, 3), (8, 9), (30, 32)]);
    }
}
