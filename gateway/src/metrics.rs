//! The gateway's Prometheus metrics. Each request has exactly one outcome. A request whose client disconnects
//! before the answer is counted as `abandoned`.

mod idempotency;
mod quota;

pub use idempotency::IdempotencyMetrics;
pub use quota::QuotaMetrics;

use crate::error::ErrorCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use service::wire_enum::WireEnum as _;
use std::time::Instant;

/// `accepted`, `replayed`, an error code, or `abandoned`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CauseLabel {
    cause: &'static str,
}

/// The gateway's metrics. Clones share their values.
#[derive(Clone)]
pub struct Metrics {
    requests: Family<OutcomeLabel, Counter>,
    in_flight: Gauge,
    request_seconds: Histogram,
    metrics_accepted: Counter,
    /// Body bytes as sent.
    pub body_wire_bytes: Counter,
    /// Body bytes after decoding `Content-Encoding`.
    pub body_decoded_bytes: Counter,
    /// Time from passing a record to the producer until its acknowledgement or failure.
    pub publish_seconds: Histogram,
    publish_failures: Family<CauseLabel, Counter>,
    pub quota: QuotaMetrics,
    pub idempotency: IdempotencyMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        // Buckets from 100 µs to 26 s.
        let seconds = || Histogram::new(exponential_buckets(0.0001, 2.0, 19));
        Self {
            requests: Family::default(),
            in_flight: Gauge::default(),
            request_seconds: seconds(),
            metrics_accepted: Counter::default(),
            body_wire_bytes: Counter::default(),
            body_decoded_bytes: Counter::default(),
            publish_seconds: seconds(),
            publish_failures: Family::default(),
            quota: QuotaMetrics::default(),
            idempotency: IdempotencyMetrics::default(),
        }
    }
}

impl Metrics {
    /// Registers the metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("tidemark_gateway");
        registry.register(
            "requests",
            "Requests by outcome: accepted, replayed, an error code, or abandoned by the client",
            self.requests.clone(),
        );
        registry.register("requests_in_flight", "Requests in flight", self.in_flight.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to its answer",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        registry.register("metrics_accepted", "Metrics in accepted requests", self.metrics_accepted.clone());
        registry.register_with_unit(
            "body_wire",
            "Body bytes as sent",
            Unit::Bytes,
            self.body_wire_bytes.clone(),
        );
        registry.register_with_unit(
            "body_decoded",
            "Body bytes after content decoding",
            Unit::Bytes,
            self.body_decoded_bytes.clone(),
        );
        registry.register_with_unit(
            "publish_duration",
            "Time from passing a record to the Kafka producer to its acknowledgement or failure",
            Unit::Seconds,
            self.publish_seconds.clone(),
        );
        registry.register(
            "publish_failures",
            "Records that were not acknowledged, by cause: not_connected, queue_full, refused, timed_out, failed",
            self.publish_failures.clone(),
        );
        self.quota.register(registry);
        self.idempotency.register(registry);
    }

    /// Counts a request as in flight until the recorder is dropped.
    pub fn request_started(&self) -> OutcomeRecorder<'_> {
        self.in_flight.inc();
        OutcomeRecorder { metrics: self, started: Instant::now(), outcome: "abandoned" }
    }

    pub fn publish_failed(&self, cause: &'static str) {
        self.publish_failures.get_or_create(&CauseLabel { cause }).inc();
    }
}

/// Records a request's duration and outcome when it is dropped. The outcome is `abandoned` unless another one
/// was set.
#[must_use]
pub struct OutcomeRecorder<'a> {
    metrics: &'a Metrics,
    started: Instant,
    outcome: &'static str,
}

impl OutcomeRecorder<'_> {
    /// Records a stored batch of `metrics` metrics.
    pub fn accepted(mut self, metrics: usize) {
        self.metrics.metrics_accepted.inc_by(metrics as u64);
        self.outcome = "accepted";
    }

    /// Records a request that got the answer of an earlier one.
    pub fn replayed(mut self) {
        self.outcome = "replayed";
    }

    pub fn rejected(mut self, code: ErrorCode) {
        self.outcome = code.as_str();
    }
}

impl Drop for OutcomeRecorder<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        self.metrics.request_seconds.observe(self.started.elapsed().as_secs_f64());
        self.metrics.requests.get_or_create(&OutcomeLabel { outcome: self.outcome }).inc();
    }
}
