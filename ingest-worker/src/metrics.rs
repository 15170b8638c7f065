//! What the worker measures.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Names a Kafka partition on its way into one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Way {
    /// The generation's number.
    pub generation: u32,
    /// The partition.
    pub partition: i32,
}

/// Names a generation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GenerationLabel {
    generation: u32,
}

/// The worker's metrics.
pub struct Metrics {
    /// Blocks that the chain shows.
    pub blocks: Counter,
    /// Metrics in them.
    pub samples: Counter,
    /// Metrics a block.
    pub block_rows: Histogram,
    /// How long an insert takes, however it ends.
    pub insert_seconds: Histogram,
    /// Age of the newest point of a block when it was found stored: from its receipt to being queryable.
    pub newest_age_seconds: Histogram,
    /// Inserts whose outcome had to be looked up.
    pub unclear_inserts: Counter,
    /// Attempts to reach ClickHouse or Kafka that failed and were repeated.
    pub retries: Counter,
    /// Records that were dropped because they are stored already.
    pub repeats: Counter,
    /// Records that could not be stored.
    pub dead_letters: Family<Way, Counter>,
    lag: Family<Way, Gauge>,
    refused: Family<Way, Gauge>,
    owned: Family<GenerationLabel, Gauge>,
    deletions_open: Family<GenerationLabel, Gauge>,
    next: Mutex<HashMap<Way, i64>>,
    reachable: service::health::Condition,
}

impl Metrics {
    /// Registers them. `reachable` is the condition that ClickHouse answers.
    pub fn new(registry: &mut Registry, reachable: service::health::Condition) -> Self {
        reachable.set(true);
        let registry = registry.sub_registry_with_prefix("ingest");
        let metrics = Self {
            blocks: Counter::default(),
            samples: Counter::default(),
            block_rows: Histogram::new(exponential_buckets(1.0, 4.0, 10)),
            insert_seconds: Histogram::new(exponential_buckets(0.002, 2.0, 14)),
            newest_age_seconds: Histogram::new(exponential_buckets(0.01, 2.0, 16)),
            unclear_inserts: Counter::default(),
            retries: Counter::default(),
            repeats: Counter::default(),
            dead_letters: Family::default(),
            lag: Family::default(),
            refused: Family::default(),
            owned: Family::default(),
            deletions_open: Family::default(),
            next: Mutex::default(),
            reachable,
        };
        registry.register("blocks", "Blocks stored", metrics.blocks.clone());
        registry.register("samples", "Metrics stored", metrics.samples.clone());
        registry.register("block_samples", "Metrics in a stored block", metrics.block_rows.clone());
        let seconds = Unit::Seconds;
        registry.register_with_unit(
            "insert",
            "Duration of inserts, however they ended",
            seconds.clone(),
            metrics.insert_seconds.clone(),
        );
        registry.register_with_unit(
            "newest_point_age",
            "From the receipt of a block's newest point to its being queryable",
            seconds,
            metrics.newest_age_seconds.clone(),
        );
        registry.register(
            "unclear_inserts",
            "Inserts whose outcome had to be looked up",
            metrics.unclear_inserts.clone(),
        );
        registry.register("retries", "Failed attempts that were repeated", metrics.retries.clone());
        registry.register(
            "repeats",
            "Records that were dropped because they are stored already: repeated idempotency keys, retried dead letters",
            metrics.repeats.clone(),
        );
        registry.register(
            "dead_letters",
            "Records that could not be stored and were kept aside",
            metrics.dead_letters.clone(),
        );
        registry.register("lag_records", "Records in Kafka that are not stored yet", metrics.lag.clone());
        registry.register(
            "partition_refused",
            "1 while a partition is refused because something is missing or unacceptable",
            metrics.refused.clone(),
        );
        registry.register("partitions", "Partitions that this worker looks after", metrics.owned.clone());
        registry.register(
            "deletions_open",
            "Deletions that are not applied yet, told by the worker that carries them out",
            metrics.deletions_open.clone(),
        );
        metrics
    }

    /// How many partitions the worker looks after for `generation`.
    pub fn owned(&self, generation: u32, partitions: usize) {
        let partitions = i64::try_from(partitions).unwrap_or(i64::MAX);
        self.owned.get_or_create(&GenerationLabel { generation }).set(partitions);
    }

    /// How many deletions are open for `generation`.
    pub fn deletions(&self, generation: u32, open: usize) {
        let open = i64::try_from(open).unwrap_or(i64::MAX);
        self.deletions_open.get_or_create(&GenerationLabel { generation }).set(open);
    }

    /// `generation` is not fed any more.
    pub fn forget_generation(&self, generation: u32) {
        self.deletions_open.remove(&GenerationLabel { generation });
        self.owned.remove(&GenerationLabel { generation });
    }

    /// Everything before `next` is stored.
    pub fn next_offset(&self, way: Way, next: i64) {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).insert(way, next);
    }

    /// The log's ends as they were just read for `generation`.
    pub fn log_ends(&self, generation: u32, ends: impl IntoIterator<Item = (i32, i64)>) {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        for (partition, end) in ends {
            let way = Way { generation, partition };
            if let Some(next) = next.get(&way) {
                self.lag.get_or_create(&way).set((end - next).max(0));
            }
        }
    }

    /// Whether the partition is refused.
    pub fn refused(&self, way: Way, refused: bool) {
        self.refused.get_or_create(&way).set(i64::from(refused));
    }

    /// The partition is another worker's now.
    pub fn forget(&self, way: Way) {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).remove(&way);
        self.lag.remove(&way);
        self.refused.remove(&way);
    }

    /// Whether ClickHouse and Kafka answered the last time that they were asked.
    pub fn store_reachable(&self, reachable: bool) {
        self.reachable.set(reachable);
    }
}
