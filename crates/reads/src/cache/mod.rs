//! What was read from the store lately, and may be answered again.
//!
//! It holds the cells of time series ([`crate::series::cells`]) by blocks, and the names of metrics. What is answered from
//! it is what the store would answer: not by a guess at how long that stays true, but by the log.
//!
//! - The stream's tail reads every record of the log and tells what it touches: metric and event times. What is held of
//!   that is dropped, before the store has the record.
//! - A reader notes the heads of the store's chains *before* it reads, so what it read holds at least all up to them.
//!   It may be kept unless a record beyond those heads touches it that the tail has already passed: the latest touches
//!   are remembered for that ([`log`]), and who read before the oldest of them keeps nothing.
//! - What is held is used where the tail has passed the heads of the store: every record that the store may have was
//!   looked at then. While it lags, or Kafka is away, readers ask the store.
//!
//! So a held block is exactly what a store at the reader's heads holds of it. Deletions of metrics are no records of this
//! log: what was read under other deletions than the reader's is dropped. A store's generation is a database of its own,
//! and another database means an empty cache.

pub mod log;
pub mod memory;

use crate::hidden::Hidden;
use crate::metrics::Metrics;
use crate::series::cells::Resolution;
use crate::series::merge::Partial;
use crate::series::query::Kind;
use crate::store::Heads;
use memory::Memory;
use proto::v1::MetricBatch;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The cells of one block that have points, ascending.
pub type Block = Arc<Vec<Partial>>;

/// What a reader sees: a store, and up to where it surely has the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The store's database.
    pub database: Arc<str>,
    /// By partition, the last offset that is stored; -1 where there is none.
    pub stored: Vec<i64>,
    /// When that was asked for.
    pub read_at: Instant,
}

impl Standing {
    /// A store of which these heads were read; none while it is empty, when there is nothing to be kept.
    pub fn new(database: &Arc<str>, heads: &Heads) -> Option<Self> {
        let last = heads.last.iter().map(|head| head.partition).max()?;
        let mut stored = vec![-1; usize::try_from(last).ok()? + 1];
        for head in heads.last.iter() {
            *stored.get_mut(usize::try_from(head.partition).ok()?)? = head.last;
        }
        Some(Self { database: database.clone(), stored, read_at: heads.read_at })
    }
}

/// A metric, and what a reader knows of it.
#[derive(Debug, Clone)]
pub struct Metric<'a> {
    /// Its project.
    pub project: &'a str,
    /// Its id.
    pub id: &'a str,
    /// Its deletions.
    pub deletions: Hidden,
}

/// Blocks of a metric, each by its number: its start divided by its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks {
    /// What is known of their cells.
    pub kind: Kind,
    /// How long their cells are.
    pub resolution: Resolution,
    /// The first, and the one after the last.
    pub numbers: Range<i64>,
}

/// What a metric is called: the newest name and unit that were given, empty where none was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The unit.
    pub unit: String,
}

/// The cache of a process. Clones share it.
#[derive(Clone)]
pub struct Cache {
    memory: Arc<Mutex<Memory>>,
    metrics: Metrics,
}

impl Cache {
    /// An empty one.
    pub fn new(metrics: Metrics) -> Self {
        Self { memory: Arc::default(), metrics }
    }

    /// What is held of `blocks`, in their order: nothing where a reader that stands there must ask the store.
    pub fn find(&self, at: &Standing, metric: &Metric<'_>, blocks: &Blocks) -> Vec<Option<Block>> {
        let found = self.memory().find(at, metric, blocks, Instant::now());
        self.metrics.cached(found.iter().filter(|block| block.is_some()).count(), found.len());
        found
    }

    /// Keeps what a reader that stood there before has read: of each metric the blocks from the first of `blocks` on.
    pub fn keep<'a>(
        &self,
        at: &Standing,
        blocks: &Blocks,
        read: impl IntoIterator<Item = (Metric<'a>, Vec<Block>)>,
    ) {
        let mut memory = self.memory();
        memory.keep(at, blocks, read, Instant::now());
        self.metrics.cache_cells.set(i64::try_from(memory.weight()).unwrap_or(i64::MAX));
    }

    /// What a metric is called, if that is held.
    pub fn named(&self, at: &Standing, metric: &Metric<'_>) -> Option<Named> {
        self.memory().named(at, metric, Instant::now())
    }

    /// Whether a reader is to read the names of all metrics of a project: the first that needs one that is not held.
    pub fn first_to_name(&self, project: &str) -> bool {
        self.memory().first_to_name(project, Instant::now())
    }

    /// Keeps what metrics are called.
    pub fn keep_names<'a>(&self, at: &Standing, named: impl IntoIterator<Item = (Metric<'a>, Named)>) {
        self.memory().keep_names(at, named, Instant::now());
    }

    /// The log is followed from these offsets on, by partition.
    pub fn begin(&self, from: &[i64]) {
        self.memory().log.begin(from);
    }

    /// A partition that was not there before is followed from its beginning.
    pub fn add_partition(&self) {
        self.memory().log.add_partition();
    }

    /// A record was read, and what is in it; none if that could not be made out.
    pub fn pass(&self, partition: i32, offset: i64, batch: Option<&MetricBatch>) {
        self.memory().pass(partition, offset, batch);
    }

    /// The log is no longer followed.
    pub fn end(&self) {
        self.memory().end();
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
