//! Idempotency keys: claim the key, publish the batch, confirm the claim, and give retries the first answer
//! again.
//!
//! The crate [`idempotency`](::idempotency) documents the guarantees and makes the decisions; this module
//! calls it, waits and counts. Requests never fail because Redis is unavailable: the batch is then published
//! without a claim, and the worker drops the copy.

mod in_flight;
mod key_lock;

use crate::error::{Reject, Unavailable};
use crate::metrics::IdempotencyMetrics;
use crate::publish::PublishError;
use ::idempotency::protocol::{self, Held, KeyState, PublishOutcome, Step};
use ::idempotency::{self as claims, Batch, Change, Exchanged, Seen};
use in_flight::{Attempt, InFlightAttempts};
pub use key_lock::KeyLock;
use key_lock::KeyLocks;
use service::backoff::{Backoff, jitter};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

/// Intervals at which the claim of another gateway is polled.
const POLL_BACKOFF: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(250));
/// Time added to a lease for the calls to Redis before and after the publish.
const REDIS_MARGIN: Duration = Duration::from_secs(1);

/// Stores the claims on idempotency keys.
pub trait Claims: Clone + Send + Sync + 'static {
    /// Applies `change` to the claim on a project's key, if the claim has the version that the change expects.
    fn exchange(
        &self,
        project_id: &str,
        key: &str,
        change: Change,
    ) -> impl Future<Output = Result<Exchanged, claims::Unavailable>> + Send;
}

impl Claims for claims::Claims {
    fn exchange(
        &self,
        project_id: &str,
        key: &str,
        change: Change,
    ) -> impl Future<Output = Result<Exchanged, claims::Unavailable>> + Send {
        self.exchange(project_id, key, change)
    }
}

/// Returns the lease for a claim whose publish takes at most `publish_timeout`.
pub fn lease_duration(publish_timeout: Duration) -> Duration {
    publish_timeout + REDIS_MARGIN
}

/// Handles idempotency keys. Clones share everything.
#[derive(Clone)]
pub struct Idempotency<C> {
    claims: C,
    /// Maximum time for which a retry waits for the first request.
    max_wait: Duration,
    locks: KeyLocks,
    in_flight: InFlightAttempts,
    metrics: IdempotencyMetrics,
}

/// The result of a request's attempt to claim its key.
pub enum ClaimOutcome {
    /// The request must publish the claim's batch and then settle the claim.
    Claimed(ActiveClaim),
    /// The batch was stored before; the request gets the first answer again.
    AlreadyStored(Batch),
}

/// A claim that this process holds. If it is dropped without being settled, it stays until its lease expires.
pub struct ActiveClaim {
    held: Held,
    _attempt: Attempt,
}

impl ActiveClaim {
    /// Returns the batch to publish.
    pub fn batch(&self) -> Batch {
        self.held.batch
    }
}

impl<C: Claims> Idempotency<C> {
    /// A retry waits up to `max_wait` for the first request. `max_wait` must exceed the lease, so that a
    /// single retry after a crash succeeds.
    pub fn new(claims: C, max_wait: Duration, metrics: IdempotencyMetrics) -> Self {
        Self { claims, max_wait, locks: KeyLocks::default(), in_flight: InFlightAttempts::default(), metrics }
    }

    /// Waits until no other request of this process uses the key.
    pub async fn lock(&self, project_id: &str, key: &str) -> Result<KeyLock, Reject> {
        let lock = self.locks.acquire(format!("{project_id}/{key}"));
        timeout(self.max_wait, lock).await.map_err(|_| Reject::Unavailable(Unavailable::FirstInFlight))
    }

    /// Returns the batch that is stored under the key, after waiting for an attempt in flight.
    pub async fn find_stored(&self, project_id: &str, key: &str) -> Result<Option<Batch>, Reject> {
        let mut budget = WaitBudget::new(self.max_wait);
        loop {
            let Ok(exchanged) = self.claims.exchange(project_id, key, Change::Read).await else {
                return Ok(None);
            };
            match protocol::key_state(&exchanged.seen, service::clock::now_ms()) {
                KeyState::Free => return Ok(None),
                KeyState::Stored(batch) => return Ok(Some(batch)),
                KeyState::InFlight(other) => self.wait(other, &mut budget).await?,
            }
        }
    }

    /// Claims the key for `offered`, or returns the batch that is stored under it, after waiting for an
    /// attempt in flight.
    pub async fn claim(&self, project_id: &str, key: &str, offered: Batch) -> Result<ClaimOutcome, Reject> {
        let mut budget = WaitBudget::new(self.max_wait);
        // Assume that the key is free: mostly it was looked up a moment ago.
        let mut seen = Seen::default();
        loop {
            let attempt = Uuid::new_v4();
            match protocol::next_step(&seen, attempt, offered) {
                Step::Take(change, held) => {
                    // Registered before the claim becomes visible, so that every waiter sees the end of the
                    // attempt.
                    let claim = ActiveClaim { held, _attempt: self.in_flight.begin(attempt) };
                    match self.claims.exchange(project_id, key, change).await {
                        Ok(Exchanged { done: false, seen: now }) => seen = now,
                        Ok(_) => return Ok(ClaimOutcome::Claimed(claim)),
                        Err(claims::Unavailable) => {
                            self.metrics.unclaimed();
                            return Ok(ClaimOutcome::Claimed(claim));
                        }
                    }
                }
                Step::Wait(other) => {
                    self.wait(other, &mut budget).await?;
                    let exchanged = self.claims.exchange(project_id, key, Change::Read).await;
                    // If Redis is unavailable, assume a free key: the next step then continues without a
                    // claim.
                    seen = exchanged.map(|exchanged| exchanged.seen).unwrap_or_default();
                }
                Step::Replay(batch) => return Ok(ClaimOutcome::AlreadyStored(batch)),
                Step::Reused => return Err(Reject::IdempotencyKeyReused),
            }
        }
    }

    /// Records the end of the publish in the claim, and wakes the retries that wait for it.
    pub async fn settle(&self, project_id: &str, key: &str, claim: ActiveClaim, end: PublishOutcome) {
        let change = protocol::settle(&claim.held, end);
        let settled = self.claims.exchange(project_id, key, change).await;
        if end == PublishOutcome::Acknowledged && !settled.is_ok_and(|exchanged| exchanged.done) {
            // The stored data stays correct: a retry publishes the batch again, and the worker drops the copy.
            self.metrics.unconfirmed();
        }
    }

    async fn wait(&self, other: protocol::InFlight, budget: &mut WaitBudget) -> Result<(), Reject> {
        let left = budget.left().ok_or(Reject::Unavailable(Unavailable::FirstInFlight))?;
        let lease = Duration::from_millis(other.lease_left_ms.saturating_add(1));
        match self.in_flight.end_of(other.attempt) {
            Some(end) => {
                let _ = timeout(left.min(lease), end.cancelled()).await;
            }
            None => sleep(left.min(lease).min(budget.next_poll_interval())).await,
        }
        Ok(())
    }
}

/// Maps the result of a publish to what it means for the claim.
pub fn publish_end(published: Result<(), PublishError>) -> PublishOutcome {
    match published {
        Ok(()) => PublishOutcome::Acknowledged,
        Err(error) if error.definitely_not_sent() => PublishOutcome::NotSent,
        Err(_) => PublishOutcome::Unknown,
    }
}

/// Remaining time to wait, and the growing interval between polls.
struct WaitBudget {
    deadline: Instant,
    polls: u32,
}

impl WaitBudget {
    fn new(max_wait: Duration) -> Self {
        Self { deadline: Instant::now() + max_wait, polls: 0 }
    }

    /// Returns `None` once the time is up.
    fn left(&self) -> Option<Duration> {
        Some(self.deadline.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    fn next_poll_interval(&mut self) -> Duration {
        self.polls = self.polls.saturating_add(1);
        POLL_BACKOFF.delay(self.polls, jitter())
    }
}
