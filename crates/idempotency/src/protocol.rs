//! What to do about a claim: decisions without clock and I/O.
//!
//! A request looks ([`standing`]); with its body at hand it asks what is [next](next) until it holds the claim or is told
//! that another one settled the matter; it publishes; it [settles](settle) its claim.

use super::{Batch, Change, Claim, Seen, State, Version};
use uuid::Uuid;

/// How a key stands before the body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody is at work under it, and nothing was acknowledged.
    Free,
    /// An attempt is under way.
    UnderWay(UnderWay),
    /// This batch was stored under it.
    Stored(Batch),
}

/// An attempt of somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderWay {
    /// Its name.
    pub attempt: Uuid,
    /// Milliseconds after which it is over, whatever became of it.
    pub lease_left_ms: u64,
}

/// What a request does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Try to get the claim. If the change is made, it is held.
    Take(Change, Held),
    /// Wait for another attempt, then look again.
    Wait(UnderWay),
    /// This was stored already: the first answer again.
    Replay(Batch),
    /// Another body was stored under the key.
    Reused,
}

/// A claim in the hands of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The attempt's name.
    pub attempt: Uuid,
    /// What is to be published: as it was offered, with the ids of an earlier attempt where there was one.
    pub batch: Batch,
    /// An earlier attempt with this body ended without an acknowledgement: the log may have the batch already.
    pub inherited: bool,
}

/// How a publish ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The log has the batch.
    Acknowledged,
    /// Surely nothing was sent.
    NotSent,
    /// The log may have the batch.
    Unknown,
}

/// How the key stands at `now_ms`, Unix milliseconds.
pub fn standing(seen: &Seen, now_ms: i64) -> Standing {
    let Some(Claim { version, batch }) = seen.claim else { return Standing::Free };
    match version.state {
        State::Confirmed if batch.expired(now_ms) => Standing::Free,
        State::Confirmed => Standing::Stored(batch),
        State::Held if seen.lease_left_ms > 0 => {
            Standing::UnderWay(UnderWay { attempt: version.attempt, lease_left_ms: seen.lease_left_ms })
        }
        State::Held | State::Unacknowledged => Standing::Free,
    }
}

/// What the attempt `attempt` does next to get `offered` stored, which was received just now.
pub fn next(seen: &Seen, attempt: Uuid, offered: Batch) -> Step {
    let now_ms = offered.ids.received_at_ms;
    let same_body = |batch: &Batch| batch.body_hash == offered.body_hash;
    match standing(seen, now_ms) {
        Standing::Stored(batch) if same_body(&batch) => Step::Replay(batch),
        Standing::Stored(_) => Step::Reused,
        // Also with another body: whether the key is taken is known only when the attempt has ended.
        Standing::UnderWay(under_way) => Step::Wait(under_way),
        Standing::Free => {
            let earlier = seen.claim.map(|claim| claim.batch);
            let earlier = earlier.filter(|batch| same_body(batch) && !batch.expired(now_ms));
            let held = Held { attempt, batch: earlier.unwrap_or(offered), inherited: earlier.is_some() };
            let expected = seen.claim.map(|claim| claim.version);
            Step::Take(Change::Put { expected, claim: held.claim(State::Held) }, held)
        }
    }
}

/// What becomes of the claim when the publish has ended.
pub fn settle(held: &Held, end: End) -> Change {
    let expected = Version { attempt: held.attempt, state: State::Held };
    let replaced = |state| Change::Put { expected: Some(expected), claim: held.claim(state) };
    match end {
        End::Acknowledged => replaced(State::Confirmed),
        End::Unknown => replaced(State::Unacknowledged),
        // What the earlier attempt sent may be in the log: its ids must not be forgotten.
        End::NotSent if held.inherited => replaced(State::Unacknowledged),
        End::NotSent => Change::Drop(expected),
    }
}

impl Held {
    fn claim(&self, state: State) -> Claim {
        Claim { version: Version { attempt: self.attempt, state }, batch: self.batch }
    }
}

#[cfg(test)]
pub(super) mod tests;
