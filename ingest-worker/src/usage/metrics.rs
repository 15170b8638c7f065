//! What is measured of the way of outcomes into the table.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// The metrics.
pub struct Metrics {
    /// States of counts that were stored.
    pub rows: Counter,
    /// Attempts that failed and were repeated.
    pub retries: Counter,
    /// Records that could not be stored.
    pub dead_letters: Counter,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("usage");
        let (rows, retries, dead_letters) = (Counter::default(), Counter::default(), Counter::default());
        registry.register("rows", "States of counts of requests that were stored", rows.clone());
        registry.register("retries", "Failed attempts that were repeated", retries.clone());
        registry.register(
            "dead_letters",
            "Records of outcomes that could not be stored and were kept aside",
            dead_letters.clone(),
        );
        Self { rows, retries, dead_letters }
    }
}
