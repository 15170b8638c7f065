//! Prometheus metrics of the usage consumer.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

pub struct Metrics {
    pub rows: Counter,
    pub retries: Counter,
    pub dead_letters: Counter,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("usage");
        let (rows, retries, dead_letters) = (Counter::default(), Counter::default(), Counter::default());
        registry.register("rows", "Rows of request counts that were stored", rows.clone());
        registry.register(
            "retries",
            "Failed requests to ClickHouse or Kafka that were retried",
            retries.clone(),
        );
        registry.register(
            "dead_letters",
            "Records of outcomes that could not be stored and were written to the dead-letter topic",
            dead_letters.clone(),
        );
        Self { rows, retries, dead_letters }
    }
}
