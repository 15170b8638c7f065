//! What goes on without Redis for requests with an idempotency key.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// The metrics of idempotency keys. Clones share them.
#[derive(Clone, Default)]
pub struct IdempotencyMetrics {
    unclaimed: Counter,
    unconfirmed: Counter,
}

impl IdempotencyMetrics {
    /// Adds them to `registry`.
    pub(super) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("idempotency");
        registry.register(
            "unclaimed",
            "Batches with a key that were published without a claim, for Redis could not be reached",
            self.unclaimed.clone(),
        );
        registry.register(
            "unconfirmed",
            "Stored batches with a key whose claim could not be confirmed: a repeat may be told another batch id",
            self.unconfirmed.clone(),
        );
    }

    /// A batch is published without a claim.
    pub fn unclaimed(&self) {
        self.unclaimed.inc();
    }

    /// A stored batch's claim was not confirmed.
    pub fn unconfirmed(&self) {
        self.unconfirmed.inc();
    }
}
