//! What is held, and the rules by which it is: without I/O, with the clock passed in.

use super::log::{Log, Touch};
use super::{Block, Blocks, Metric, Named, Standing};
use crate::hidden::Hidden;
use crate::series::cells::Resolution;
use crate::series::query::Kind;
use proto::v1::MetricBatch;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many cells are held; about 50 bytes each.
const MOST_CELLS: usize = 1_500_000;
/// What a block counts for beside its cells.
const BLOCK: usize = 4;
/// What a metric counts for beside its blocks.
const HELD: usize = 8;
/// Of so many projects it is known whether their names were read; of more it is forgotten.
const MOST_PROJECTS: usize = 10_000;
/// What is held longer is read again. It is true for as long as only workers write to the store; this is for what
/// operators do to it by hand.
const MAX_AGE: Duration = Duration::from_secs(600);

/// What is held.
#[derive(Debug)]
pub struct Memory {
    /// What is known of the log.
    pub log: Log,
    database: Arc<str>,
    /// Up to where the store had the log when that was looked at last, and when that was.
    stored: Option<(Instant, Vec<i64>)>,
    /// By project and id.
    metrics: HashMap<String, HashMap<String, Held>>,
    /// When the names of all metrics of a project were read.
    named_all: HashMap<String, Instant>,
    weight: usize,
    most: usize,
    /// Counts uses: who was used last is dropped last.
    uses: u64,
}

/// What is held of a metric.
#[derive(Debug, Default)]
struct Held {
    deletions: Hidden,
    blocks: BTreeMap<(Kind, Resolution, i64), (Instant, Block)>,
    named: Option<(Instant, Named)>,
    used: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Log::default(), MOST_CELLS)
    }
}

impl Memory {
    /// Holds nothing yet, and later `most` cells.
    pub fn new(log: Log, most: usize) -> Self {
        let (database, stored) = ("".into(), None);
        let (metrics, named_all) = (HashMap::new(), HashMap::new());
        Self { log, database, stored, metrics, named_all, weight: 0, most, uses: 0 }
    }

    /// How many cells are held, with what blocks count for beside them.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// What is held of `blocks`, in their order.
    pub fn find(
        &mut self,
        at: &Standing,
        metric: &Metric<'_>,
        blocks: &Blocks,
        now: Instant,
    ) -> Vec<Option<Block>> {
        let Some(held) = self.usable(at, metric) else {
            return blocks.numbers.clone().map(|_| None).collect();
        };
        let block = |number| {
            let (kept_at, block) = held.blocks.get(&(blocks.kind, blocks.resolution, number))?;
            (now.duration_since(*kept_at) < MAX_AGE).then(|| block.clone())
        };
        blocks.numbers.clone().map(block).collect()
    }

    /// What a metric is called, if that is held.
    pub fn named(&mut self, at: &Standing, metric: &Metric<'_>, now: Instant) -> Option<Named> {
        let (kept_at, named) = self.usable(at, metric)?.named.as_ref()?;
        (now.duration_since(*kept_at) < MAX_AGE).then(|| named.clone())
    }

    /// Keeps what a reader that stood at `at` before has read: of each metric the blocks from the first of `blocks` on.
    pub fn keep<'a>(
        &mut self,
        at: &Standing,
        blocks: &Blocks,
        read: impl IntoIterator<Item = (Metric<'a>, Vec<Block>)>,
        now: Instant,
    ) {
        let Some(touched) = self.touched(at) else { return };
        for (metric, read) in read {
            let touches = touched.get(&self.log.metric(metric.project, metric.id));
            let length = blocks.resolution.block();
            let untouched = |number: i64| {
                let touches = touches.into_iter().flatten();
                touches.map(|touch| numbers(touch, length)).all(|touched| !touched.contains(&number))
            };
            let kept: Vec<(i64, Block)> =
                (blocks.numbers.start..).zip(read).filter(|(number, _)| untouched(*number)).collect();
            if !kept.is_empty() {
                self.change(&metric, |held| {
                    let key = |number| (blocks.kind, blocks.resolution, number);
                    held.blocks.extend(kept.into_iter().map(|(number, block)| (key(number), (now, block))));
                });
            }
        }
        self.make_room();
    }

    /// Keeps what metrics are called.
    pub fn keep_names<'a>(
        &mut self,
        at: &Standing,
        named: impl IntoIterator<Item = (Metric<'a>, Named)>,
        now: Instant,
    ) {
        let Some(touched) = self.touched(at) else { return };
        for (metric, named) in named {
            let touches = touched.get(&self.log.metric(metric.project, metric.id));
            let stays = |touch: &Touch| self.log.leaves(touch, &named.name, &named.unit);
            if touches.into_iter().flatten().all(stays) {
                self.change(&metric, |held| held.named = Some((now, named)));
            }
        }
        self.make_room();
    }

    /// Whether a reader is to read the names of all metrics of a project: the first that needs one that is not held.
    pub fn first_to_name(&mut self, project: &str, now: Instant) -> bool {
        let recent = |read_at: &Instant| now.duration_since(*read_at) < MAX_AGE;
        if self.named_all.get(project).is_some_and(recent) {
            return false;
        }
        if self.named_all.len() >= MOST_PROJECTS {
            self.named_all.retain(|_, read_at| recent(read_at));
        }
        self.named_all.insert(project.to_owned(), now);
        true
    }

    /// What the records touch that lie beyond what a reader has, by metric; none if that is not known of them all.
    fn touched(&mut self, at: &Standing) -> Option<HashMap<u64, Vec<Touch>>> {
        self.look_at(at);
        let mut touched: HashMap<u64, Vec<Touch>> = HashMap::new();
        for touch in self.log.beyond(&at.stored)? {
            touched.entry(touch.of()).or_default().push(touch.clone());
        }
        Some(touched)
    }

    /// A record of the log was read, and what is in it; none if that could not be made out.
    pub fn pass(&mut self, partition: i32, offset: i64, batch: Option<&MetricBatch>) {
        let Some(batch) = batch else {
            self.log.pass_unknown(partition, offset);
            return self.clear();
        };
        let touches = self.log.pass(partition, offset, batch);
        let Some(metrics) = self.metrics.get_mut(&batch.project_id) else { return };
        for (metric, touch) in touches {
            let Some(held) = metrics.get_mut(metric) else { continue };
            if held
                .named
                .as_ref()
                .is_some_and(|(_, named)| !self.log.leaves(&touch, &named.name, &named.unit))
            {
                held.named = None;
            }
            for kind in Kind::ALL {
                for resolution in Resolution::ALL {
                    let touched = numbers(&touch, resolution.block());
                    let from = (kind, resolution, *touched.start());
                    let to = (kind, resolution, *touched.end());
                    let keys: Vec<_> = held.blocks.range(from..=to).map(|(key, _)| *key).collect();
                    for key in keys {
                        self.weight -= held.blocks.remove(&key).map_or(0, |(_, block)| weight(&block));
                    }
                }
            }
        }
    }

    /// The log is no longer followed.
    pub fn end(&mut self) {
        self.log.end();
        self.clear();
    }

    /// What is held of a metric that a reader may use who stands there.
    fn usable(&mut self, at: &Standing, metric: &Metric<'_>) -> Option<&Held> {
        self.look_at(at);
        if !self.log.passed(&at.stored) {
            return None;
        }
        self.uses += 1;
        let uses = self.uses;
        let held = self.metrics.get_mut(metric.project)?.get_mut(metric.id)?;
        held.used = uses;
        (held.deletions == metric.deletions).then_some(held)
    }

    /// Changes what is held of a metric: nothing yet, if it was read under other deletions.
    fn change(&mut self, metric: &Metric<'_>, change: impl FnOnce(&mut Held)) {
        self.uses += 1;
        let metrics = self.metrics.entry(metric.project.to_owned()).or_default();
        let before = metrics.get(metric.id).map_or(0, Held::weight);
        let held = metrics.entry(metric.id.to_owned()).or_default();
        if held.deletions != metric.deletions {
            *held = Held { deletions: metric.deletions.clone(), ..Held::default() };
        }
        held.used = self.uses;
        change(held);
        self.weight = self.weight + held.weight() - before;
    }

    /// Another database, or one that has less than it had, is not the store of which something is held.
    fn look_at(&mut self, at: &Standing) {
        if self.database != at.database {
            self.clear();
            (self.database, self.stored) = (at.database.clone(), None);
        }
        if let Some((read_at, stored)) = &self.stored {
            if at.read_at <= *read_at {
                return;
            }
            let has = |number: usize| at.stored.get(number).copied().unwrap_or(-1);
            if stored.iter().enumerate().any(|(number, stored)| has(number) < *stored) {
                self.clear();
            }
        }
        self.stored = Some((at.read_at, at.stored.clone()));
    }

    fn clear(&mut self) {
        self.metrics.clear();
        self.named_all.clear();
        self.weight = 0;
    }

    /// Drops the metrics that were used least lately, an eighth more than must be.
    fn make_room(&mut self) {
        if self.weight <= self.most {
            return;
        }
        let all = self.metrics.values().flat_map(HashMap::values);
        let mut uses: Vec<(u64, usize)> = all.map(|held| (held.used, held.weight())).collect();
        uses.sort_unstable();
        let mut over = self.weight - self.most / 8 * 7;
        let mut dropped = HashSet::new();
        for (used, weight) in uses {
            if over == 0 {
                break;
            }
            dropped.insert(used);
            self.weight -= weight;
            over = over.saturating_sub(weight);
        }
        for metrics in self.metrics.values_mut() {
            metrics.retain(|_, held| !dropped.contains(&held.used));
        }
        self.metrics.retain(|_, metrics| !metrics.is_empty());
    }
}

impl Held {
    fn weight(&self) -> usize {
        HELD + self.blocks.values().map(|(_, block)| weight(block)).sum::<usize>()
    }
}

fn weight(block: &Block) -> usize {
    block.len() + BLOCK
}

/// The blocks of a length that a touch touches.
fn numbers(touch: &Touch, length: i64) -> std::ops::RangeInclusive<i64> {
    touch.times.start().div_euclid(length)..=touch.times.end().div_euclid(length)
}

#[cfg(test)]
mod tests;
