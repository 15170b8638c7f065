//! Prometheus metrics of the worker.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Labels of a Kafka partition that is written to one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PartitionLabels {
    pub(crate) generation: u32,
    pub(crate) partition: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GenerationLabel {
    generation: u32,
}

/// The worker's metrics.
pub struct Metrics {
    /// Blocks whose marker was read after the insert.
    pub(crate) blocks: Counter,
    pub(crate) samples: Counter,
    pub(crate) block_samples: Histogram,
    pub(crate) insert_seconds: Histogram,
    pub(crate) newest_point_age_seconds: Histogram,
    pub(crate) unclear_inserts: Counter,
    pub(crate) retries: Counter,
    pub(crate) repeats: Counter,
    pub(crate) dead_letters: Family<PartitionLabels, Counter>,
    lag: Family<PartitionLabels, Gauge>,
    refused: Family<PartitionLabels, Gauge>,
    owned: Family<GenerationLabel, Gauge>,
    deletions_open: Family<GenerationLabel, Gauge>,
    /// Offset after the last stored record, by partition.
    next: Mutex<HashMap<PartitionLabels, i64>>,
    /// Holds while ClickHouse and Kafka answer.
    reachable: service::health::Condition,
}

impl Metrics {
    /// Registers the metrics. `reachable` is the readiness condition that ClickHouse and Kafka answer.
    pub fn new(registry: &mut Registry, reachable: service::health::Condition) -> Self {
        reachable.set(true);
        let registry = registry.sub_registry_with_prefix("ingest");
        let metrics = Self {
            blocks: Counter::default(),
            samples: Counter::default(),
            block_samples: Histogram::new(exponential_buckets(1.0, 4.0, 10)),
            insert_seconds: Histogram::new(exponential_buckets(0.002, 2.0, 14)),
            newest_point_age_seconds: Histogram::new(exponential_buckets(0.01, 2.0, 16)),
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
        registry.register("block_samples", "Metrics in a stored block", metrics.block_samples.clone());
        let seconds = Unit::Seconds;
        registry.register_with_unit(
            "insert",
            "Duration of inserts, whatever their outcome",
            seconds.clone(),
            metrics.insert_seconds.clone(),
        );
        registry.register_with_unit(
            "newest_point_age",
            "Time from the receipt of the newest point of a block until it can be queried",
            seconds,
            metrics.newest_point_age_seconds.clone(),
        );
        registry.register(
            "unclear_inserts",
            "Inserts whose outcome was unknown and had to be read from the table",
            metrics.unclear_inserts.clone(),
        );
        registry.register(
            "retries",
            "Failed requests to ClickHouse or Kafka that were retried",
            metrics.retries.clone(),
        );
        registry.register(
            "repeats",
            "Records dropped because they are stored already: repeated idempotency keys, retried dead letters",
            metrics.repeats.clone(),
        );
        registry.register(
            "dead_letters",
            "Records that could not be stored and were written to the dead-letter topic",
            metrics.dead_letters.clone(),
        );
        registry.register("lag_records", "Records in Kafka that are not stored yet", metrics.lag.clone());
        registry.register(
            "partition_refused",
            "1 while the worker refuses to write to the partition, because data is missing or a check failed",
            metrics.refused.clone(),
        );
        registry.register("partitions", "Partitions that this worker owns", metrics.owned.clone());
        registry.register(
            "deletions_open",
            "Deletions that are not applied yet, reported by the worker that applies them",
            metrics.deletions_open.clone(),
        );
        metrics
    }

    /// Sets the number of partitions that the worker owns in `generation`.
    pub(crate) fn set_owned_partitions(&self, generation: u32, partitions: usize) {
        let partitions = i64::try_from(partitions).unwrap_or(i64::MAX);
        self.owned.get_or_create(&GenerationLabel { generation }).set(partitions);
    }

    /// Sets the number of deletions that `generation` has not applied.
    pub(crate) fn set_pending_deletions(&self, generation: u32, pending: usize) {
        let pending = i64::try_from(pending).unwrap_or(i64::MAX);
        self.deletions_open.get_or_create(&GenerationLabel { generation }).set(pending);
    }

    /// Removes the metrics of a generation that is no longer written.
    pub(crate) fn forget_generation(&self, generation: u32) {
        self.deletions_open.remove(&GenerationLabel { generation });
        self.owned.remove(&GenerationLabel { generation });
    }

    /// Records that everything before `next` is stored.
    pub(crate) fn set_next_offset(&self, partition: PartitionLabels, next: i64) {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, next);
    }

    /// Updates the lag from the ends of the log, which were read just now.
    pub(crate) fn set_log_ends(&self, generation: u32, ends: impl IntoIterator<Item = (i32, i64)>) {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        for (partition, end) in ends {
            let labels = PartitionLabels { generation, partition };
            if let Some(next) = next.get(&labels) {
                self.lag.get_or_create(&labels).set((end - next).max(0));
            }
        }
    }

    pub(crate) fn set_refused(&self, partition: PartitionLabels, refused: bool) {
        self.refused.get_or_create(&partition).set(i64::from(refused));
    }

    /// Removes the metrics of a partition that this worker no longer owns.
    pub(crate) fn forget_partition(&self, partition: PartitionLabels) {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
        self.lag.remove(&partition);
        self.refused.remove(&partition);
    }

    /// Records whether the last request to ClickHouse or Kafka succeeded.
    pub(crate) fn set_reachable(&self, reachable: bool) {
        self.reachable.set(reachable);
    }
}
