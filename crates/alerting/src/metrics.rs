//! What is counted of alerts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// How a try to tell a channel ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Try {
    /// The channel's kind.
    pub kind: &'static str,
    /// `delivered`, `retrying` or `failed`.
    pub status: &'static str,
}

/// The metrics. Clones share them.
#[derive(Clone)]
pub struct AlertMetrics {
    /// 1 on the replica that evaluates.
    pub evaluates: Gauge,
    /// Rules that are evaluated.
    pub rules: Gauge,
    /// How much later than planned evaluations of all rules began.
    pub lateness: Histogram,
    /// How long evaluations took, of all rules or of some.
    pub duration: Histogram,
    /// Queries that evaluations asked.
    pub queries: Counter,
    /// Changes of rules.
    pub changes: Counter,
    /// Evaluations that failed.
    pub failures: Counter,
    /// Series that evaluations could not read in time.
    pub unread: Counter,
    /// Tries to tell channels.
    pub tries: Family<Try, Counter>,
}

impl Default for AlertMetrics {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 16));
        Self {
            evaluates: Gauge::default(),
            rules: Gauge::default(),
            lateness: seconds(),
            duration: seconds(),
            queries: Counter::default(),
            changes: Counter::default(),
            failures: Counter::default(),
            unread: Counter::default(),
            tries: Family::default(),
        }
    }
}

impl AlertMetrics {
    /// Adds them to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("tidemark_alerts");
        registry.register("evaluates", "1 on the replica that evaluates rules", self.evaluates.clone());
        registry.register("rules", "Rules that this replica evaluates", self.rules.clone());
        let histograms = [
            (
                "evaluation_lateness",
                "From when all rules were to be evaluated to when that began",
                &self.lateness,
            ),
            ("evaluation_duration", "How long evaluations took", &self.duration),
        ];
        for (name, help, histogram) in histograms {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        }
        registry.register("queries", "Queries that evaluations asked", self.queries.clone());
        registry.register("changes", "Changes of rules", self.changes.clone());
        registry.register(
            "evaluation_failures",
            "Evaluations that failed and are repeated",
            self.failures.clone(),
        );
        registry.register(
            "series_unread",
            "Series that could not be read in time: their rules stay as they are",
            self.unread.clone(),
        );
        registry.register("deliveries", "Tries to tell channels, by kind and status", self.tries.clone());
    }
}
