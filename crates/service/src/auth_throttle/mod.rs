//! Throttling of clients that guess API keys: the more wrong keys a client has tried, the longer the response
//! to the next wrong one is delayed ([`debt`]).
//!
//! Only responses to wrong keys are delayed. Responses to valid and to revoked keys never are, whichever
//! client sends them. The cost is bounded: the number of remembered clients and the number of delayed
//! responses are both limited, and a response over the limit is sent without delay.

pub mod debt;

use crate::client::client_network;
use debt::AttemptDebts;
pub use debt::FREE_ATTEMPTS;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Maximum number of remembered clients.
const MAX_CLIENTS: usize = 10_000;
/// Maximum number of responses that are delayed at the same time.
const MAX_DELAYED: usize = 1_000;

/// Delays responses to wrong keys. Clones share state.
#[derive(Clone)]
pub struct AuthThrottle {
    started: Instant,
    debts: Arc<Mutex<AttemptDebts>>,
    slots: Arc<Semaphore>,
    delayed: Counter,
    undelayed: Counter,
}

impl Default for AuthThrottle {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            debts: Arc::new(Mutex::new(AttemptDebts::new(MAX_CLIENTS))),
            slots: Arc::new(Semaphore::new(MAX_DELAYED)),
            delayed: Counter::default(),
            undelayed: Counter::default(),
        }
    }
}

impl AuthThrottle {
    /// Adds the throttle's metrics to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "wrong_keys_delayed",
            "Responses to wrong keys that were delayed because their client had tried many",
            self.delayed.clone(),
        );
        registry.register(
            "wrong_keys_undelayed",
            "Responses to wrong keys that were sent without their delay because too many were delayed already",
            self.undelayed.clone(),
        );
    }

    /// Records that `client` tried a wrong key, and returns when the response may be sent.
    pub async fn wrong_key(&self, client: IpAddr) {
        let delay = self.record(client);
        if delay.is_zero() {
            return;
        }
        let Ok(_slot) = self.slots.try_acquire() else {
            self.undelayed.inc();
            return;
        };
        self.delayed.inc();
        tokio::time::sleep(delay).await;
    }

    fn record(&self, client: IpAddr) -> Duration {
        let mut debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        debts.add_attempt(client_network(client), self.started.elapsed())
    }

    /// Number of responses delayed so far.
    pub fn delayed(&self) -> u64 {
        self.delayed.get()
    }
}
