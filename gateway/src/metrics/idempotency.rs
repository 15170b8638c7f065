//! Metrics of requests with an idempotency key that were handled without Redis.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Metrics of idempotency keys. Clones share their values.
#[derive(Clone, Default)]
pub struct IdempotencyMetrics {
    unclaimed: Counter,
    unconfirmed: Counter,
}

impl IdempotencyMetrics {
    /// Registers the metrics in `registry`.
    pub(super) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("idempotency");
        registry.register(
            "unclaimed",
            "Batches with an idempotency key that were published without a claim because Redis was unreachable",
            self.unclaimed.clone(),
        );
        registry.register(
            "unconfirmed",
            "Stored batches with an idempotency key whose claim could not be confirmed: a retry may get another batch id",
            self.unconfirmed.clone(),
        );
    }

    pub fn unclaimed(&self) {
        self.unclaimed.inc();
    }

    pub fn unconfirmed(&self) {
        self.unconfirmed.inc();
    }
}
