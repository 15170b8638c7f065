//! Types of claims and of their changes.

use uuid::Uuid;

/// Lifetime of a key after its batch was received, milliseconds.
pub const KEY_LIFETIME_MS: i64 = 24 * 3_600_000;
/// Retention of a claim after its last change: longer than the lifetime of a key.
pub const RETENTION_HOURS: u64 = 25;

/// Ids that a client receives for its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// UUIDv7.
    pub batch_id: Uuid,
    /// Time at which the gateway received the request, Unix milliseconds.
    pub received_at_ms: i64,
}

/// A batch under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// The ids in the client's answer.
    pub ids: Ids,
    /// SHA-256 of the decoded body.
    pub body_hash: [u8; 32],
    /// Number of metrics.
    pub accepted: u32,
}

/// State of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The holder is about to publish or is publishing, while its lease lasts.
    Held,
    /// The holder has ended without knowing whether the log has the batch.
    Unacknowledged,
    /// The log has the batch.
    Confirmed,
}

/// Identifies a claim of a key at one state: no two claims of a key share both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Id of the attempt to publish.
    pub attempt: Uuid,
    /// State of the claim.
    pub state: State,
}

/// A claim on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Its attempt and state.
    pub version: Version,
    /// The claimed batch.
    pub batch: Batch,
}

/// A claim as Redis reported it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// The claim; none if the key is free.
    pub claim: Option<Claim>,
    /// Remaining milliseconds of its lease by Redis's clock; 0 if it has expired.
    pub lease_left_ms: u64,
}

/// Change of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// No change; the claim is only read.
    Read,
    /// Replaces the claim by `claim` if it is at `expected`.
    Put {
        /// The version that was read; none if the key was free.
        expected: Option<Version>,
        /// The new claim.
        claim: Claim,
    },
    /// Removes the claim if it is at this version.
    Drop(Version),
}

/// Result of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchanged {
    /// True if the change was made.
    pub done: bool,
    /// The claim after the change.
    pub seen: Seen,
}

/// Redis is unavailable. The outcome of the change is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("idempotency claims unavailable: Redis unavailable")]
pub struct Unavailable;

impl Batch {
    /// Returns whether the key's lifetime is over: a copy received from now on is a batch of its own, also for the worker.
    pub fn is_expired(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.ids.received_at_ms) >= KEY_LIFETIME_MS
    }
}

impl State {
    pub(crate) const ALL: [Self; 3] = [Self::Held, Self::Unacknowledged, Self::Confirmed];

    /// Returns the state's name in Redis.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Unacknowledged => "unacknowledged",
            Self::Confirmed => "confirmed",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}
