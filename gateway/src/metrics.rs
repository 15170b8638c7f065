//! What the gateway counts. Each request has one outcome; one that nobody waits for any more is `abandoned`.

mod idempotency;
mod quota;

pub use idempotency::IdempotencyMetrics;
pub use quota::QuotaMetrics;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Instant;

/// The label of requests: `accepted`, `replayed`, an error code, or `abandoned`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    outcome: &'static str,
}

/// The label of failed publishes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CauseLabel {
    cause: &'static str,
}

/// The gateway's metrics. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    requests: Family<OutcomeLabel, Counter>,
    in_flight: Gauge,
    request_seconds: Histogram,
    metrics_accepted: Counter,
    /// Bytes of bodies as they were sent.
    pub body_wire_bytes: Counter,
    /// Bytes of bodies after their encoding was undone.
    pub body_decoded_bytes: Counter,
    /// From handing a record to the producer until its acknowledgement or failure.
    pub publish_seconds: Histogram,
    publish_failures: Family<CauseLabel, Counter>,
    /// How requests are counted against quotas.
    pub quota: QuotaMetrics,
    /// What goes on without Redis for requests with an idempotency key.
    pub idempotency: IdempotencyMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        // 100 µs to 26 s.
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
    /// Adds them to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("tidemark_gateway");
        registry.register(
            "requests",
            "Requests by outcome: accepted, replayed, an error code, or abandoned by the client",
            self.requests.clone(),
        );
        registry.register("requests_in_flight", "Requests under way", self.in_flight.clone());
        registry.register_with_unit(
            "request_duration",
            "From a request's head to its answer",
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
            "From handing a record to the Kafka producer to its acknowledgement or failure",
            Unit::Seconds,
            self.publish_seconds.clone(),
        );
        registry.register(
            "publish_failures",
            "Records without acknowledgement by cause: not_connected, queue_full, refused, timed_out, failed",
            self.publish_failures.clone(),
        );
        self.quota.register(registry);
        self.idempotency.register(registry);
    }

    /// A request begins.
    pub fn begin(&self) -> Outcome<'_> {
        self.in_flight.inc();
        Outcome { metrics: self, began: Instant::now(), outcome: "abandoned" }
    }

    /// A record was not acknowledged.
    pub fn publish_failed(&self, cause: &'static str) {
        self.publish_failures.get_or_create(&CauseLabel { cause }).inc();
    }
}

/// A request's outcome, counted once, when it is known or the request is dropped.
#[must_use]
pub struct Outcome<'a> {
    metrics: &'a Metrics,
    began: Instant,
    outcome: &'static str,
}

impl Outcome<'_> {
    /// The batch was stored.
    pub fn accepted(mut self, metrics: usize) {
        self.metrics.metrics_accepted.inc_by(metrics as u64);
        self.outcome = "accepted";
    }

    /// A batch that was stored before was answered again.
    pub fn replayed(mut self) {
        self.outcome = "replayed";
    }

    /// The request was refused.
    pub fn refused(mut self, code: &'static str) {
        self.outcome = code;
    }
}

impl Drop for Outcome<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        self.metrics.request_seconds.observe(self.began.elapsed().as_secs_f64());
        self.metrics.requests.get_or_create(&OutcomeLabel { outcome: self.outcome }).inc();
    }
}
