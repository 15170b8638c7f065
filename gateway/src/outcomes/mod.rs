//! Counts request outcomes by project, connection and minute for the usage reports. Counts are kept in memory
//! ([`tally`]) and written to `outcomes.v1` every second and at shutdown ([`report`]).
//!
//! Guarantees: each answered request is counted once. While Kafka is unavailable, counts wait in memory.
//! Memory is bounded; beyond the bound, requests are counted without their project but never dropped. A
//! process that is killed loses the counts since its last report.

pub mod report;
pub mod tally;

use control::keys::Key;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use std::sync::{Arc, Mutex, PoisonError};
use tally::{Event, Snapshot, Tally};

/// Counts request outcomes. Clones share the counts.
#[derive(Clone, Default)]
pub struct Outcomes {
    tally: Arc<Mutex<Tally>>,
    without_project: Counter,
    reports: Counter,
    failures: Counter,
}

impl Outcomes {
    /// Registers the metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("tidemark_gateway_outcomes");
        registry.register(
            "unplaced",
            "Requests counted without their project because the maximum number of counts was reached",
            self.without_project.clone(),
        );
        registry.register("reports", "Outcome reports that Kafka acknowledged", self.reports.clone());
        registry.register(
            "report_failures",
            "Outcome reports that Kafka did not acknowledge; later reports include their counts",
            self.failures.clone(),
        );
    }

    /// Counts a request that ended now. `key` is the key to which the request is attributed, `metrics` the
    /// number of accepted metrics, and `address` the keyed hash of the client's address.
    pub fn count(&self, key: Option<Arc<Key>>, outcome: &'static str, metrics: usize, address: u64) {
        let event = Event { key, outcome, metrics: metrics as u64, address, at_ms: service::clock::now_ms() };
        if !self.with_tally(|tally| tally.count(event)) {
            self.without_project.inc();
        }
    }

    fn unreported(&self) -> Vec<Snapshot> {
        self.with_tally(|tally| tally.unreported())
    }

    fn mark_reported(&self, snapshots: &[Snapshot]) {
        self.with_tally(|tally| tally.mark_reported(snapshots));
    }

    fn with_tally<T>(&self, work: impl FnOnce(&mut Tally) -> T) -> T {
        work(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
