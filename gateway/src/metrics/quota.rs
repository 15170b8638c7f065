//! Metrics of the quota check and of its calls to Redis.

use ::quota::{Event, Observer, OutagePolicy};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLabel {
    policy: &'static str,
}

/// Metrics of the quota check. Clones share their values.
#[derive(Clone, Default)]
pub struct QuotaMetrics {
    calls: Counter,
    asked: Counter,
    reserved: Counter,
    unanswered: Counter,
    without_redis: Counter,
    lost_hours: Counter,
    outage: Gauge,
    policy: Family<PolicyLabel, Gauge>,
}

impl QuotaMetrics {
    /// Registers the metrics in `registry`.
    pub(super) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("quota");
        registry.register("calls", "Calls to Redis that count or refund requests", self.calls.clone());
        registry.register("asked", "Requests that those calls were sent to count", self.asked.clone());
        registry.register(
            "reserved",
            "Quota units that those calls prefetched for later requests",
            self.reserved.clone(),
        );
        registry.register(
            "unanswered_calls",
            "Calls that Redis did not answer: it is unknown what they asked or refunded",
            self.unanswered.clone(),
        );
        registry.register(
            "alone",
            "Requests that were decided without Redis by the outage policy",
            self.without_redis.clone(),
        );
        registry.register(
            "hours_forgotten",
            "Times when Redis had lost the count of a project's current hour",
            self.lost_hours.clone(),
        );
        registry.register("outage", "1 while requests cannot be asked in Redis, else 0", self.outage.clone());
        registry.register(
            "outage_policy",
            "1 for the configured outage policy: open or closed",
            self.policy.clone(),
        );
    }

    /// Exports the configured outage policy.
    pub fn set_policy(&self, policy: OutagePolicy) {
        self.policy.get_or_create(&PolicyLabel { policy: policy.as_str() }).set(1);
    }
}

impl Observer for QuotaMetrics {
    fn observe(&self, event: Event) {
        match event {
            Event::Called(requests) => {
                self.calls.inc();
                self.asked.inc_by(requests);
            }
            Event::Prefetched(units) => {
                self.reserved.inc_by(units);
            }
            Event::CallFailed => {
                self.unanswered.inc();
            }
            Event::Available(reachable) => {
                self.outage.set(i64::from(!reachable));
            }
            Event::DecidedLocally => {
                self.without_redis.inc();
            }
            Event::CountLost => {
                self.lost_hours.inc();
            }
        }
    }
}
