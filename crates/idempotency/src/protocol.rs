//! The claim protocol: decisions without a clock and without I/O.
//!
//! A request first reads the state of its key ([`key_state`]). With its body at hand it takes the [next step](next_step)
//! until it holds the claim or another request has settled the key. Then it publishes and [settles](settle) its claim.

use super::model::{Batch, Change, Claim, Seen, State, Version};
use uuid::Uuid;

/// State of a key, before the body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// No attempt is in flight, and nothing was acknowledged.
    Free,
    /// An attempt is in flight.
    InFlight(InFlight),
    /// This batch was stored under the key.
    Stored(Batch),
}

/// An attempt of another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    /// Its id.
    pub attempt: Uuid,
    /// Milliseconds after which it has certainly ended.
    pub lease_left_ms: u64,
}

/// Next step of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Try to acquire the claim. It is held if the change is made.
    Take(Change, Held),
    /// Wait for another attempt, then read the claim again.
    Wait(InFlight),
    /// The batch is stored: repeat the first answer.
    Replay(Batch),
    /// The key stands for another body.
    Reused,
}

/// A claim that a request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Id of the attempt.
    pub attempt: Uuid,
    /// The batch to publish: the offered one, with the ids of an earlier attempt if there was one.
    pub batch: Batch,
    /// True if an earlier attempt with this body ended without acknowledgement: the log may already have the batch.
    pub inherited: bool,
}

/// Outcome of publishing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishOutcome {
    /// The log has the batch.
    Acknowledged,
    /// Nothing was sent.
    NotSent,
    /// The log may have the batch.
    Unknown,
}

/// Returns the state of the key at `now_ms`, Unix milliseconds.
pub fn key_state(seen: &Seen, now_ms: i64) -> KeyState {
    let Some(Claim { version, batch }) = seen.claim else { return KeyState::Free };
    match version.state {
        State::Confirmed if batch.is_expired(now_ms) => KeyState::Free,
        State::Confirmed => KeyState::Stored(batch),
        State::Held if seen.lease_left_ms > 0 => {
            KeyState::InFlight(InFlight { attempt: version.attempt, lease_left_ms: seen.lease_left_ms })
        }
        State::Held | State::Unacknowledged => KeyState::Free,
    }
}

/// Returns the next step of `attempt`, which has just received `offered`.
pub fn next_step(seen: &Seen, attempt: Uuid, offered: Batch) -> Step {
    let now_ms = offered.ids.received_at_ms;
    let same_body = |batch: &Batch| batch.body_hash == offered.body_hash;
    match key_state(seen, now_ms) {
        KeyState::Stored(batch) if same_body(&batch) => Step::Replay(batch),
        KeyState::Stored(_) => Step::Reused,
        // Also with another body: only the end of the attempt shows whether the key is used.
        KeyState::InFlight(other) => Step::Wait(other),
        KeyState::Free => {
            let earlier = seen.claim.map(|claim| claim.batch);
            let earlier = earlier.filter(|batch| same_body(batch) && !batch.is_expired(now_ms));
            let held = Held { attempt, batch: earlier.unwrap_or(offered), inherited: earlier.is_some() };
            let expected = seen.claim.map(|claim| claim.version);
            Step::Take(Change::Put { expected, claim: held.claim(State::Held) }, held)
        }
    }
}

/// Returns the change of the claim after publishing.
pub fn settle(held: &Held, outcome: PublishOutcome) -> Change {
    let expected = Version { attempt: held.attempt, state: State::Held };
    let replaced = |state| Change::Put { expected: Some(expected), claim: held.claim(state) };
    match outcome {
        PublishOutcome::Acknowledged => replaced(State::Confirmed),
        PublishOutcome::Unknown => replaced(State::Unacknowledged),
        // The earlier attempt's batch may be in the log, so its ids must be kept.
        PublishOutcome::NotSent if held.inherited => replaced(State::Unacknowledged),
        PublishOutcome::NotSent => Change::Drop(expected),
    }
}

impl Held {
    fn claim(&self, state: State) -> Claim {
        Claim { version: Version { attempt: self.attempt, state }, batch: self.batch }
    }
}

#[cfg(test)]
pub(super) mod tests;
