//! Cache of data that was recently read from the store.
//!
//! It holds the cells of time series ([`crate::series::cells`]) in blocks, and the names of metrics. A cached
//! answer equals the answer of the store. Entries are invalidated by the records of the log, not by a guessed
//! lifetime:
//!
//! - The stream's tail reads every record of the log and reports which metrics and event times it changes.
//!   The affected entries are dropped before the store has the record.
//! - A reader notes the heads of the store's chains *before* it reads, so its data contains at least every
//!   record up to them. The data may be cached unless the tail has already read a record beyond those heads
//!   that changes it. The latest changes are kept for this check ([`changes`]); data that was read before the
//!   oldest of them is not cached.
//! - Entries are used only if the tail has passed the heads of the store: then it has read every record that
//!   the store may contain. While the tail lags, or Kafka is unavailable, readers query the store.
//!
//! Consequently a cached block is exactly what a store at the reader's heads contains. Deletions of metrics
//! are not records of this log: an entry that was read under other deletions than the reader's is dropped.
//! Each generation of the store is a database of its own, and a change of database empties the cache.

pub mod changes;
pub mod memory;

use crate::deletions::DeletionMask;
use crate::metrics::Metrics;
use crate::series::merge::Partial;
use crate::series::query::Kind;
use crate::series::resolution::Resolution;
use crate::store::Heads;
use memory::Memory;
use proto::v1::MetricBatch;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Cells of one block that have points, in ascending order.
pub type Block = Arc<Vec<Partial>>;

/// Store that a reader reads, and the offsets up to which it certainly contains the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePosition {
    /// The store's database.
    pub database: Arc<str>,
    /// Last stored offset of each partition; -1 if the partition has none.
    pub stored: Vec<i64>,
    /// Time at which the offsets were requested.
    pub read_at: Instant,
}

impl StorePosition {
    /// Returns the position of a store with these heads; `None` if it is empty, because then there is nothing
    /// to cache.
    pub fn new(database: &Arc<str>, heads: &Heads) -> Option<Self> {
        let last = heads.last.iter().map(|head| head.partition).max()?;
        let mut stored = vec![-1; usize::try_from(last).ok()? + 1];
        for head in heads.last.iter() {
            *stored.get_mut(usize::try_from(head.partition).ok()?)? = head.last;
        }
        Some(Self { database: database.clone(), stored, read_at: heads.read_at })
    }
}

/// Metric, with the deletions that the reader knows of.
#[derive(Debug, Clone)]
pub struct MetricRef<'a> {
    /// Id of the project.
    pub project: &'a str,
    /// Id of the metric.
    pub id: &'a str,
    /// Deletions of the metric, whether the store has applied them or not.
    pub deletions: DeletionMask,
}

/// Consecutive blocks of a metric. The number of a block is its start divided by its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRange {
    /// Kind of aggregates in the cells.
    pub kind: Kind,
    /// Length of the cells.
    pub resolution: Resolution,
    /// Numbers of the blocks.
    pub numbers: Range<i64>,
}

/// Newest name and unit that were sent for a metric; empty if none was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAndUnit {
    /// The name.
    pub name: String,
    /// The unit.
    pub unit: String,
}

/// Cache of a process. Clones share the entries.
#[derive(Clone)]
pub struct Cache {
    memory: Arc<Mutex<Memory>>,
    metrics: Metrics,
}

impl Cache {
    /// Creates an empty cache.
    pub fn new(metrics: Metrics) -> Self {
        Self { memory: Arc::default(), metrics }
    }

    /// Returns the cached blocks of `blocks`, in their order; `None` for each block that the reader must read
    /// from the store.
    pub fn lookup(
        &self,
        position: &StorePosition,
        metric: &MetricRef<'_>,
        blocks: &BlockRange,
    ) -> Vec<Option<Block>> {
        let found = self.memory().lookup(position, metric, blocks, Instant::now());
        self.metrics.record_lookups(found.iter().filter(|block| block.is_some()).count(), found.len());
        found
    }

    /// Caches the blocks of each metric that were read from the store, starting with the first of `blocks`.
    /// `position` was taken before they were read.
    pub fn insert<'a>(
        &self,
        position: &StorePosition,
        blocks: &BlockRange,
        read: impl IntoIterator<Item = (MetricRef<'a>, Vec<Block>)>,
    ) {
        let mut memory = self.memory();
        memory.insert(position, blocks, read, Instant::now());
        self.metrics.cache_cells.set(i64::try_from(memory.weight()).unwrap_or(i64::MAX));
    }

    /// Returns the cached name and unit of a metric.
    pub fn name(&self, position: &StorePosition, metric: &MetricRef<'_>) -> Option<NameAndUnit> {
        self.memory().name(position, metric, Instant::now())
    }

    /// Returns whether the caller should read the names of all metrics of a project. It is true for the first
    /// reader that misses a name, and again once the names may be outdated.
    pub fn claim_reading_all_names(&self, project: &str) -> bool {
        self.memory().claim_reading_all_names(project, Instant::now())
    }

    /// Caches names and units of metrics. `position` was taken before they were read.
    pub fn insert_names<'a>(
        &self,
        position: &StorePosition,
        names: impl IntoIterator<Item = (MetricRef<'a>, NameAndUnit)>,
    ) {
        self.memory().insert_names(position, names, Instant::now());
    }

    /// Starts following the log. `from`: first offset of each partition that the tail reads.
    pub fn start_following(&self, from: &[i64]) {
        self.memory().changes.start(from);
    }

    /// Follows a partition that was added to the topic, from its first offset.
    pub fn add_partition(&self) {
        self.memory().changes.add_partition();
    }

    /// Invalidates the entries that a record of the log changes. `batch`: `None` if the record could not be
    /// decoded.
    pub fn apply_record(&self, partition: i32, offset: i64, batch: Option<&MetricBatch>) {
        self.memory().apply_record(partition, offset, batch);
    }

    /// Empties the cache, because the log is no longer followed.
    pub fn stop_following(&self) {
        self.memory().stop_following();
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
