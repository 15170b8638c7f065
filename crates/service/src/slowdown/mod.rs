//! Slows down those who try keys: the answer to a wrong one waits, longer for each that a client tried ([`tries`]).
//!
//! Only the answers to wrong keys wait, never those to valid or revoked ones, wherever they come from. What waiting costs
//! is bounded: so many clients are remembered, so many answers wait at once, and beyond that an answer goes out at once.

pub mod tries;

use crate::client::neighbourhood;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tries::Tries;

/// How many clients are remembered.
const MOST_CLIENTS: usize = 10_000;
/// How many answers wait at once.
const MOST_WAITING: usize = 1_000;

/// Makes the answers to wrong keys wait. Clones share what is remembered.
#[derive(Clone)]
pub struct Slowdown {
    began: Instant,
    tries: Arc<Mutex<Tries>>,
    waiting: Arc<Semaphore>,
    delayed: Counter,
    too_many: Counter,
}

impl Default for Slowdown {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            tries: Arc::new(Mutex::new(Tries::new(MOST_CLIENTS))),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
            delayed: Counter::default(),
            too_many: Counter::default(),
        }
    }
}

impl Slowdown {
    /// Adds its metrics to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "wrong_keys_delayed",
            "Answers to wrong keys that were held back, for their client had tried many",
            self.delayed.clone(),
        );
        registry.register(
            "wrong_keys_undelayed",
            "Answers to wrong keys that went out at once, for too many waited already",
            self.too_many.clone(),
        );
    }

    /// `client` tried a wrong key: returns when it may be told so.
    pub async fn wrong_key(&self, client: IpAddr) {
        let delay = self.note(client);
        if delay.is_zero() {
            return;
        }
        let Ok(_place) = self.waiting.try_acquire() else {
            self.too_many.inc();
            return;
        };
        self.delayed.inc();
        tokio::time::sleep(delay).await;
    }

    fn note(&self, client: IpAddr) -> Duration {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.wrong(neighbourhood(client), self.began.elapsed())
    }

    /// How many answers were held back so far.
    pub fn delayed(&self) -> u64 {
        self.delayed.get()
    }
}
