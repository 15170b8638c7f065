//! Prometheus metrics of alerts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Labels of delivery attempts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DeliveryLabels {
    /// Kind of the channel.
    pub kind: &'static str,
    /// `delivered`, `retrying` or `failed`.
    pub status: &'static str,
}

/// The metrics. Clones share them.
#[derive(Clone)]
pub struct AlertMetrics {
    /// 1 on the replica that evaluates rules.
    pub evaluates: Gauge,
    /// Number of active rules.
    pub rules: Gauge,
    /// Delay between the planned and the actual start of evaluations of all rules.
    pub lateness: Histogram,
    /// Duration of evaluations, of all rules or of some.
    pub duration: Histogram,
    /// Number of queries of evaluations.
    pub queries: Counter,
    /// Number of transitions.
    pub changes: Counter,
    /// Number of failed evaluations.
    pub failures: Counter,
    /// Number of series that evaluations could not read in time.
    pub unread: Counter,
    /// Number of delivery attempts.
    pub deliveries: Family<DeliveryLabels, Counter>,
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
            deliveries: Family::default(),
        }
    }
}

impl AlertMetrics {
    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("tidemark_alerts");
        registry.register("evaluates", "1 on the replica that evaluates rules", self.evaluates.clone());
        registry.register("rules", "Rules that this replica evaluates", self.rules.clone());
        let histograms = [
            (
                "evaluation_lateness",
                "Delay between the planned and the actual start of an evaluation of all rules",
                &self.lateness,
            ),
            ("evaluation_duration", "Duration of evaluations", &self.duration),
        ];
        for (name, help, histogram) in histograms {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        }
        registry.register("queries", "ClickHouse queries of evaluations", self.queries.clone());
        registry.register("changes", "State transitions of rules", self.changes.clone());
        registry.register(
            "evaluation_failures",
            "Evaluations that failed and were retried",
            self.failures.clone(),
        );
        registry.register(
            "series_unread",
            "Series that could not be read in time; their rules keep their states",
            self.unread.clone(),
        );
        registry.register(
            "deliveries",
            "Delivery attempts by channel kind and status",
            self.deliveries.clone(),
        );
    }
}
