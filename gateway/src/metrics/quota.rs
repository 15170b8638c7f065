//! How requests are counted against quotas, and what Redis does about it.

use accounts::quota::{Notice, Observer, Outage};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The label of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLabel {
    policy: &'static str,
}

/// The metrics of the quota check. Clones share them.
#[derive(Clone, Default)]
pub struct QuotaMetrics {
    calls: Counter,
    counted: Counter,
    reserved: Counter,
    unanswered: Counter,
    alone: Counter,
    forgotten: Counter,
    outage: Gauge,
    policy: Family<PolicyLabel, Gauge>,
}

impl QuotaMetrics {
    /// Adds them to `registry`.
    pub(super) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("quota");
        registry.register("calls", "Calls to Redis that count or give back", self.calls.clone());
        registry.register("asked", "Requests that those calls were to count", self.counted.clone());
        registry.register(
            "reserved",
            "Numbers that those calls took ahead, for requests to come",
            self.reserved.clone(),
        );
        registry.register(
            "unanswered_calls",
            "Calls without an answer: what they counted or gave back is unknown",
            self.unanswered.clone(),
        );
        registry.register(
            "alone",
            "Requests that were decided without Redis, as the policy for outages says",
            self.alone.clone(),
        );
        registry.register(
            "hours_forgotten",
            "How often Redis had lost its count of a project's running hour",
            self.forgotten.clone(),
        );
        registry.register("outage", "1 while requests cannot be counted in Redis", self.outage.clone());
        registry.register(
            "outage_policy",
            "1 for the policy that is set: open or closed",
            self.policy.clone(),
        );
    }

    /// The policy that is set.
    pub fn policy(&self, outage: Outage) {
        self.policy.get_or_create(&PolicyLabel { policy: outage.word() }).set(1);
    }
}

impl Observer for QuotaMetrics {
    fn notice(&self, notice: Notice) {
        match notice {
            Notice::Called(requests) => {
                self.calls.inc();
                self.counted.inc_by(requests);
            }
            Notice::Reserved(numbers) => {
                self.reserved.inc_by(numbers);
            }
            Notice::Unanswered => {
                self.unanswered.inc();
            }
            Notice::Reachable(reachable) => {
                self.outage.set(i64::from(!reachable));
            }
            Notice::Alone => {
                self.alone.inc();
            }
            Notice::Forgotten => {
                self.forgotten.inc();
            }
        }
    }
}
