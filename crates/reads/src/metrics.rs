//! Prometheus metrics of reads.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Instant;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Query {
    query: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cached {
    outcome: &'static str,
}

/// The metrics. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    query_seconds: Family<Query, Histogram>,
    cached: Family<Cached, Counter>,
    /// Number of cells in the cache.
    pub cache_cells: Gauge,
    /// Milliseconds between now and the watermark of the last answer.
    pub watermark_age_ms: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        // 1 ms to 33 s.
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 16));
        Self {
            query_seconds: Family::new_with_constructor(seconds),
            cached: Family::default(),
            cache_cells: Gauge::default(),
            watermark_age_ms: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("tidemark_query");
        registry.register_with_unit(
            "clickhouse_duration",
            "Duration of ClickHouse queries, by query and outcome",
            Unit::Seconds,
            self.query_seconds.clone(),
        );
        registry.register(
            "cache_blocks",
            "Blocks of time series looked up in the cache, by outcome",
            self.cached.clone(),
        );
        registry.register(
            "cache_cells",
            "Hours and minutes of series held in the cache",
            self.cache_cells.clone(),
        );
        registry.register(
            "watermark_age_milliseconds",
            "Age of the watermark of the last answer",
            self.watermark_age_ms.clone(),
        );
    }

    /// Counts cache lookups of blocks, of which `hits` found the block.
    pub fn record_lookups(&self, hits: usize, lookups: usize) {
        for (outcome, blocks) in [("hit", hits), ("miss", lookups - hits)] {
            self.cached.get_or_create(&Cached { outcome }).inc_by(blocks as u64);
        }
    }

    /// Records the duration of a query that began at `started`.
    pub fn record_query(&self, query: &'static str, outcome: &'static str, started: Instant) {
        let labels = Query { query, outcome };
        self.query_seconds.get_or_create(&labels).observe(started.elapsed().as_secs_f64());
    }
}
