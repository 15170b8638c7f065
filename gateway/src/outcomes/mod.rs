//! How requests ended, by project, connection and minute: counted in memory ([`tally`]), written to `outcomes.v1` every
//! second and at the end ([`report`]), for people to see what their keys are used for.
//!
//! What is promised: each answered request is counted once. Counts wait here while Kafka is away; memory is bounded, and
//! what no longer fits is counted without its project, never dropped. A process that is killed takes with it what it
//! counted since its last report.

pub mod report;
pub mod tally;

use accounts::keys::Key;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use std::sync::{Arc, Mutex, PoisonError};
use tally::{Event, Snapshot, Tally};

/// Counts how requests end. Clones share the counts.
#[derive(Clone, Default)]
pub struct Outcomes {
    tally: Arc<Mutex<Tally>>,
    unplaced: Counter,
    reports: Counter,
    failures: Counter,
}

impl Outcomes {
    /// Adds its metrics to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("tidemark_gateway_outcomes");
        registry.register(
            "unplaced",
            "Requests counted without their project, for too many different counts are kept already",
            self.unplaced.clone(),
        );
        registry.register("reports", "Reports of counts that Kafka acknowledged", self.reports.clone());
        registry.register(
            "report_failures",
            "Reports of counts that Kafka did not acknowledge; the next ones hold what they said",
            self.failures.clone(),
        );
    }

    /// Counts a request that ended now. `owner`: the key that was given, if it is known whose it is; `address`: the
    /// keyed hash of the client's address; `metrics`: how many were accepted.
    pub fn count(&self, owner: Option<Arc<Key>>, outcome: &'static str, metrics: usize, address: u64) {
        let event = Event { owner, outcome, metrics: metrics as u64, address, at_ms: accounts::now_ms() };
        if !self.with(|tally| tally.count(event)) {
            self.unplaced.inc();
        }
    }

    fn changed(&self) -> Vec<Snapshot> {
        self.with(Tally::changed)
    }

    fn reported(&self, snapshots: &[Snapshot]) {
        self.with(|tally| tally.reported(snapshots));
    }

    fn with<T>(&self, work: impl FnOnce(&mut Tally) -> T) -> T {
        work(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
