//! Idempotency keys: claim, publish, confirm, and the first answer again for whoever repeats.
//!
//! [`accounts::claims`] says what is promised and decides; this is the shell that asks, waits and counts. It never makes
//! a request fail for want of Redis: without a claim the batch is published all the same, and the worker drops the copy.

mod turns;
mod under_way;

use crate::error::{Reject, Unavailable};
use crate::metrics::IdempotencyMetrics;
use crate::publish::NotPublished;
use accounts::claims::protocol::{self, End, Held, Standing, Step};
use accounts::claims::{self, Away, Batch, Change, Exchanged, Seen};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
pub use turns::Turn;
use turns::Turns;
use under_way::{Attempt, UnderWay};
use uuid::Uuid;

/// Between two looks at an attempt of another gateway, at first and at most.
const LOOK_FIRST: Duration = Duration::from_millis(20);
const LOOK_LAST: Duration = Duration::from_millis(250);
/// How much longer than a publish a claim is held at most: for Redis, before and after.
const REDIS: Duration = Duration::from_secs(1);

/// Where it is known which batch a key stands for.
pub trait Claims: Clone + Send + Sync + 'static {
    /// Makes `change` to the claim on a project's key, if it is as the change expects.
    fn exchange(
        &self,
        project_id: &str,
        key: &str,
        change: Change,
    ) -> impl Future<Output = Result<Exchanged, Away>> + Send;
}

impl Claims for claims::Claims {
    fn exchange(
        &self,
        project_id: &str,
        key: &str,
        change: Change,
    ) -> impl Future<Output = Result<Exchanged, Away>> + Send {
        self.exchange(project_id, key, change)
    }
}

/// How long a claim is held at most by one whose publish takes no longer than `publish`.
pub fn lease(publish: Duration) -> Duration {
    publish + REDIS
}

/// What is done with keys. Clones share everything.
#[derive(Clone)]
pub struct Idempotency<C> {
    claims: C,
    /// How long a repeat waits for the first.
    patience: Duration,
    turns: Turns,
    under_way: UnderWay,
    metrics: IdempotencyMetrics,
}

/// What became of a request's wish to publish.
pub enum Wish {
    /// It is to publish this, and then to settle it.
    Granted(Claimed),
    /// This was stored before: the first answer again.
    Replay(Batch),
}

/// A claim of this process. Dropped without being settled it stays as it is until its lease is over.
pub struct Claimed {
    held: Held,
    _attempt: Attempt,
}

impl Claimed {
    /// What is to be published.
    pub fn batch(&self) -> Batch {
        self.held.batch
    }
}

impl<C: Claims> Idempotency<C> {
    /// A repeat waits for the first one for up to `patience`; longer than any lease, so that a single repeat after a
    /// crash succeeds.
    pub fn new(claims: C, patience: Duration, metrics: IdempotencyMetrics) -> Self {
        Self { claims, patience, turns: Turns::default(), under_way: UnderWay::default(), metrics }
    }

    /// Waits while another request of this process has the turn.
    pub async fn turn(&self, project_id: &str, key: &str) -> Result<Turn, Reject> {
        let turn = self.turns.take(format!("{project_id}/{key}"));
        timeout(self.patience, turn).await.map_err(|_| Reject::Unavailable(Unavailable::UnderWay))
    }

    /// What was stored under the key; waits for an attempt that is under way.
    pub async fn stored(&self, project_id: &str, key: &str) -> Result<Option<Batch>, Reject> {
        let mut patience = Patience::new(self.patience);
        loop {
            let Ok(looked) = self.claims.exchange(project_id, key, Change::Look).await else {
                return Ok(None);
            };
            match protocol::standing(&looked.seen, accounts::now_ms()) {
                Standing::Free => return Ok(None),
                Standing::Stored(batch) => return Ok(Some(batch)),
                Standing::UnderWay(other) => self.wait(other, &mut patience).await?,
            }
        }
    }

    /// Gets the claim for `offered`, or what was stored before it; waits for an attempt that is under way.
    pub async fn claim(&self, project_id: &str, key: &str, offered: Batch) -> Result<Wish, Reject> {
        let mut patience = Patience::new(self.patience);
        // Mostly it was looked at a moment ago and is free.
        let mut seen = Seen::default();
        loop {
            let attempt = Uuid::new_v4();
            match protocol::next(&seen, attempt, offered) {
                Step::Take(change, held) => {
                    // Before anybody can see the claim, so that nobody misses its end.
                    let claimed = Claimed { held, _attempt: self.under_way.begin(attempt) };
                    match self.claims.exchange(project_id, key, change).await {
                        Ok(Exchanged { done: false, seen: now }) => seen = now,
                        Ok(_) => return Ok(Wish::Granted(claimed)),
                        Err(Away) => {
                            self.metrics.unclaimed();
                            return Ok(Wish::Granted(claimed));
                        }
                    }
                }
                Step::Wait(other) => {
                    self.wait(other, &mut patience).await?;
                    let looked = self.claims.exchange(project_id, key, Change::Look).await;
                    // Without Redis the next step is to go on without a claim.
                    seen = looked.map(|looked| looked.seen).unwrap_or_default();
                }
                Step::Replay(batch) => return Ok(Wish::Replay(batch)),
                Step::Reused => return Err(Reject::IdempotencyKeyReused),
            }
        }
    }

    /// Says how the publish ended, and wakes those who wait for it.
    pub async fn settle(&self, project_id: &str, key: &str, claimed: Claimed, end: End) {
        let change = protocol::settle(&claimed.held, end);
        let settled = self.claims.exchange(project_id, key, change).await;
        if end == End::Acknowledged && !settled.is_ok_and(|exchanged| exchanged.done) {
            // The data is right all the same: a repeat publishes the batch again, and the worker drops the copy.
            self.metrics.unconfirmed();
        }
    }

    async fn wait(&self, other: protocol::UnderWay, patience: &mut Patience) -> Result<(), Reject> {
        let left = patience.left().ok_or(Reject::Unavailable(Unavailable::UnderWay))?;
        let lease = Duration::from_millis(other.lease_left_ms.saturating_add(1));
        match self.under_way.end_of(other.attempt) {
            Some(end) => {
                let _ = timeout(left.min(lease), end.cancelled()).await;
            }
            None => sleep(left.min(lease).min(patience.pause())).await,
        }
        Ok(())
    }
}

/// What a publish's end means for its claim.
pub fn end(published: Result<(), NotPublished>) -> End {
    match published {
        Ok(()) => End::Acknowledged,
        Err(error) if error.surely_not_sent() => End::NotSent,
        Err(_) => End::Unknown,
    }
}

/// How long somebody waits, looking less and less often.
struct Patience {
    until: Instant,
    pause: Duration,
}

impl Patience {
    fn new(patience: Duration) -> Self {
        Self { until: Instant::now() + patience, pause: LOOK_FIRST }
    }

    /// None once it has run out.
    fn left(&self) -> Option<Duration> {
        Some(self.until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    fn pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LOOK_LAST);
        pause
    }
}
