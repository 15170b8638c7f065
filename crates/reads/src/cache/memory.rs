//! Entries of the cache and the rules for their use. No I/O; the caller passes the time.

use super::changes::{Change, Changes};
use super::{Block, BlockRange, MetricRef, NameAndUnit, StorePosition};
use crate::deletions::DeletionMask;
use crate::series::query::Kind;
use crate::series::resolution::Resolution;
use proto::v1::MetricBatch;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of cached cells; about 50 bytes each.
const MAX_CELLS: usize = 1_500_000;
/// Weight of a block in addition to its cells.
const BLOCK_WEIGHT: usize = 4;
/// Weight of a metric in addition to its blocks.
const METRIC_WEIGHT: usize = 8;
/// Number of projects above which the times at which their names were read are pruned.
const MAX_PROJECTS: usize = 10_000;
/// Maximum age of an entry. Entries stay correct as long as only ingest workers write to the store; the limit
/// covers manual changes by operators.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Entries of the cache.
#[derive(Debug)]
pub struct Memory {
    /// Latest changes by records of the log.
    pub changes: Changes,
    database: Arc<str>,
    /// Newest known offsets of the store, and the time at which they were requested.
    stored: Option<(Instant, Vec<i64>)>,
    /// Entries by project and metric id.
    metrics: HashMap<String, HashMap<String, Entry>>,
    /// Times at which the names of all metrics of a project were last read.
    all_names_read: HashMap<String, Instant>,
    weight: usize,
    max_weight: usize,
    /// Number of uses so far; orders entries by their last use.
    uses: u64,
}

/// Cached data of a metric.
#[derive(Debug, Default)]
struct Entry {
    deletions: DeletionMask,
    blocks: BTreeMap<(Kind, Resolution, i64), (Instant, Block)>,
    name: Option<(Instant, NameAndUnit)>,
    last_use: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Changes::default(), MAX_CELLS)
    }
}

impl Memory {
    /// Creates an empty cache of at most `max_weight` (see [`Self::weight`]).
    pub fn new(changes: Changes, max_weight: usize) -> Self {
        let (database, stored) = ("".into(), None);
        let (metrics, all_names_read) = (HashMap::new(), HashMap::new());
        Self { changes, database, stored, metrics, all_names_read, weight: 0, max_weight, uses: 0 }
    }

    /// Returns the number of cells, plus a fixed weight for each block and metric.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Returns the cached blocks of `blocks`, in their order.
    pub fn lookup(
        &mut self,
        position: &StorePosition,
        metric: &MetricRef<'_>,
        blocks: &BlockRange,
        now: Instant,
    ) -> Vec<Option<Block>> {
        let Some(entry) = self.usable(position, metric) else {
            return blocks.numbers.clone().map(|_| None).collect();
        };
        let block = |number| {
            let (inserted_at, block) = entry.blocks.get(&(blocks.kind, blocks.resolution, number))?;
            (now.duration_since(*inserted_at) < MAX_AGE).then(|| block.clone())
        };
        blocks.numbers.clone().map(block).collect()
    }

    /// Returns the cached name and unit of a metric.
    pub fn name(
        &mut self,
        position: &StorePosition,
        metric: &MetricRef<'_>,
        now: Instant,
    ) -> Option<NameAndUnit> {
        let (inserted_at, name) = self.usable(position, metric)?.name.as_ref()?;
        (now.duration_since(*inserted_at) < MAX_AGE).then(|| name.clone())
    }

    /// Caches the blocks of each metric, starting with the first of `blocks`, except those that changed since
    /// `position`.
    pub fn insert<'a>(
        &mut self,
        position: &StorePosition,
        blocks: &BlockRange,
        read: impl IntoIterator<Item = (MetricRef<'a>, Vec<Block>)>,
        now: Instant,
    ) {
        let Some(changed) = self.changes_since(position) else { return };
        for (metric, read) in read {
            let changes = changed.get(&self.changes.metric_hash(metric.project, metric.id));
            let length = blocks.resolution.block_ms();
            let unchanged = |number: i64| {
                let changes = changes.into_iter().flatten();
                changes.map(|change| block_numbers(change, length)).all(|changed| !changed.contains(&number))
            };
            let valid: Vec<(i64, Block)> =
                (blocks.numbers.start..).zip(read).filter(|(number, _)| unchanged(*number)).collect();
            if !valid.is_empty() {
                self.update(&metric, |entry| {
                    let key = |number| (blocks.kind, blocks.resolution, number);
                    entry.blocks.extend(valid.into_iter().map(|(number, block)| (key(number), (now, block))));
                });
            }
        }
        self.make_room();
    }

    /// Caches names and units of metrics, except those that changed since `position`.
    pub fn insert_names<'a>(
        &mut self,
        position: &StorePosition,
        names: impl IntoIterator<Item = (MetricRef<'a>, NameAndUnit)>,
        now: Instant,
    ) {
        let Some(changed) = self.changes_since(position) else { return };
        for (metric, name) in names {
            let changes = changed.get(&self.changes.metric_hash(metric.project, metric.id));
            let unchanged = |change: &Change| self.changes.preserves_names(change, &name.name, &name.unit);
            if changes.into_iter().flatten().all(unchanged) {
                self.update(&metric, |entry| entry.name = Some((now, name)));
            }
        }
        self.make_room();
    }

    /// Returns whether the caller should read the names of all metrics of a project, and notes that it does.
    pub fn claim_reading_all_names(&mut self, project: &str, now: Instant) -> bool {
        let recent = |read_at: &Instant| now.duration_since(*read_at) < MAX_AGE;
        if self.all_names_read.get(project).is_some_and(recent) {
            return false;
        }
        if self.all_names_read.len() >= MAX_PROJECTS {
            self.all_names_read.retain(|_, read_at| recent(read_at));
        }
        self.all_names_read.insert(project.to_owned(), now);
        true
    }

    /// Returns the changes after `position` by hash of their metric; `None` if some of them are no longer kept.
    fn changes_since(&mut self, position: &StorePosition) -> Option<HashMap<u64, Vec<Change>>> {
        self.update_position(position);
        let mut changed: HashMap<u64, Vec<Change>> = HashMap::new();
        for change in self.changes.after(&position.stored)? {
            changed.entry(change.metric()).or_default().push(change.clone());
        }
        Some(changed)
    }

    /// Invalidates the entries that a record of the log changes. `batch`: `None` if the record could not be
    /// decoded.
    pub fn apply_record(&mut self, partition: i32, offset: i64, batch: Option<&MetricBatch>) {
        let Some(batch) = batch else {
            self.changes.add_undecodable(partition, offset);
            return self.clear();
        };
        let changes = self.changes.add(partition, offset, batch);
        let Some(metrics) = self.metrics.get_mut(&batch.project_id) else { return };
        for (metric, change) in changes {
            let Some(entry) = metrics.get_mut(metric) else { continue };
            if entry
                .name
                .as_ref()
                .is_some_and(|(_, name)| !self.changes.preserves_names(&change, &name.name, &name.unit))
            {
                entry.name = None;
            }
            for kind in Kind::ALL {
                for resolution in Resolution::ALL {
                    let changed = block_numbers(&change, resolution.block_ms());
                    let from = (kind, resolution, *changed.start());
                    let to = (kind, resolution, *changed.end());
                    let keys: Vec<_> = entry.blocks.range(from..=to).map(|(key, _)| *key).collect();
                    for key in keys {
                        self.weight -= entry.blocks.remove(&key).map_or(0, |(_, block)| weight(&block));
                    }
                }
            }
        }
    }

    /// Empties the cache, because the log is no longer followed.
    pub fn stop_following(&mut self) {
        self.changes.stop();
        self.clear();
    }

    /// Returns the entry of a metric if a reader at `position` may use it.
    fn usable(&mut self, position: &StorePosition, metric: &MetricRef<'_>) -> Option<&Entry> {
        self.update_position(position);
        if !self.changes.has_passed(&position.stored) {
            return None;
        }
        self.uses += 1;
        let uses = self.uses;
        let entry = self.metrics.get_mut(metric.project)?.get_mut(metric.id)?;
        entry.last_use = uses;
        (entry.deletions == metric.deletions).then_some(entry)
    }

    /// Updates the entry of a metric, and empties it first if it was read under other deletions.
    fn update(&mut self, metric: &MetricRef<'_>, update: impl FnOnce(&mut Entry)) {
        self.uses += 1;
        let metrics = self.metrics.entry(metric.project.to_owned()).or_default();
        let before = metrics.get(metric.id).map_or(0, Entry::weight);
        let entry = metrics.entry(metric.id.to_owned()).or_default();
        if entry.deletions != metric.deletions {
            *entry = Entry { deletions: metric.deletions.clone(), ..Entry::default() };
        }
        entry.last_use = self.uses;
        update(entry);
        self.weight = self.weight + entry.weight() - before;
    }

    /// Notes the position of the store. Empties the cache if the database is another one, or has lost records.
    fn update_position(&mut self, position: &StorePosition) {
        if self.database != position.database {
            self.clear();
            (self.database, self.stored) = (position.database.clone(), None);
        }
        if let Some((read_at, stored)) = &self.stored {
            if position.read_at <= *read_at {
                return;
            }
            let now_stored = |number: usize| position.stored.get(number).copied().unwrap_or(-1);
            if stored.iter().enumerate().any(|(number, stored)| now_stored(number) < *stored) {
                self.clear();
            }
        }
        self.stored = Some((position.read_at, position.stored.clone()));
    }

    fn clear(&mut self) {
        self.metrics.clear();
        self.all_names_read.clear();
        self.weight = 0;
    }

    /// Drops the least recently used metrics until the cache is at most seven eighths full.
    fn make_room(&mut self) {
        if self.weight <= self.max_weight {
            return;
        }
        let all = self.metrics.values().flat_map(HashMap::values);
        let mut uses: Vec<(u64, usize)> = all.map(|entry| (entry.last_use, entry.weight())).collect();
        uses.sort_unstable();
        let mut excess = self.weight - self.max_weight / 8 * 7;
        let mut dropped = HashSet::new();
        for (last_use, weight) in uses {
            if excess == 0 {
                break;
            }
            dropped.insert(last_use);
            self.weight -= weight;
            excess = excess.saturating_sub(weight);
        }
        for metrics in self.metrics.values_mut() {
            metrics.retain(|_, entry| !dropped.contains(&entry.last_use));
        }
        self.metrics.retain(|_, metrics| !metrics.is_empty());
    }
}

impl Entry {
    fn weight(&self) -> usize {
        METRIC_WEIGHT + self.blocks.values().map(|(_, block)| weight(block)).sum::<usize>()
    }
}

fn weight(block: &Block) -> usize {
    block.len() + BLOCK_WEIGHT
}

/// Returns the numbers of the blocks of `length` milliseconds that a change affects.
fn block_numbers(change: &Change, length: i64) -> std::ops::RangeInclusive<i64> {
    change.times.start().div_euclid(length)..=change.times.end().div_euclid(length)
}

#[cfg(test)]
mod tests;
