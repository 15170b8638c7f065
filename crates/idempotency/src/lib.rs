//! Claims on idempotency keys: which batch a client's key stands for, known to all gateways.
//!
//! What is promised, while Redis keeps its memory and for [`LASTS_MS`] after a batch was received:
//! - Of the batches that are offered under one key, one holds the claim at a time.
//! - A claim that was confirmed never changes: whoever asks later is told the same ids.
//! - A claim that was not confirmed is let go by whoever holds it, or may be taken over once its holder's lease is over.
//!   The same body goes on with the same ids, so that every answer to it is equal; another body gets ids of its own, for
//!   nothing was acknowledged.
//!
//! Redis only makes the answers equal. That nothing is stored twice is the ingest worker's doing, from the log alone:
//! whoever cannot reach Redis goes on without a claim.
//!
//! How: Redis keeps a claim and exchanges it if it is the one that the caller has seen (`exchange.lua`, [`store`]).
//! [`protocol`] decides what to exchange it for; it has no clock and no I/O.

#![warn(missing_docs)]

pub mod protocol;
pub mod store;

pub use store::Claims;

use uuid::Uuid;

/// How long a key lasts from when its batch was received, milliseconds.
pub const LASTS_MS: i64 = 24 * 3_600_000;
/// How long a claim is kept after it was last written: longer than keys last.
pub const KEPT_HOURS: u64 = 25;

/// What a client is told of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// UUIDv7.
    pub batch_id: Uuid,
    /// When the gateway had received the request, Unix milliseconds.
    pub received_at_ms: i64,
}

/// A batch under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// What its client is told.
    pub ids: Ids,
    /// SHA-256 of the decoded body.
    pub body_hash: [u8; 32],
    /// How many metrics it holds.
    pub accepted: u32,
}

/// How far a claim has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its holder is about to publish, or is publishing, while its lease lasts.
    Held,
    /// Its holder has ended and does not know whether the log has the batch.
    Unacknowledged,
    /// The log has the batch.
    Confirmed,
}

/// Who made a claim, and how far it has come: no two claims of a key have both in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Names the attempt to publish.
    pub attempt: Uuid,
    /// How far it has come.
    pub state: State,
}

/// A claim on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Who made it, and how far it has come.
    pub version: Version,
    /// What it is for.
    pub batch: Batch,
}

/// A claim as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// None: the key is free.
    pub claim: Option<Claim>,
    /// Milliseconds that are left of its lease, by Redis's clock; 0: it is over.
    pub lease_left_ms: u64,
}

/// What is to become of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is only looked at.
    Look,
    /// If it is `expected`, it becomes `claim`.
    Put {
        /// The version that was seen; none: the key was free.
        expected: Option<Version>,
        /// What it becomes.
        claim: Claim,
    },
    /// If it is this version, the key becomes free.
    Drop(Version),
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchanged {
    /// Whether the change was made.
    pub done: bool,
    /// The claim as it stands now.
    pub seen: Seen,
}

/// Redis cannot be reached. Whether a change was made is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("claims on idempotency keys cannot be reached")]
pub struct Away;

impl Batch {
    /// Whether its key is free again: copies that are received from now on are batches of their own, to the worker too.
    pub fn expired(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.ids.received_at_ms) >= LASTS_MS
    }
}

impl State {
    const ALL: [Self; 3] = [Self::Held, Self::Unacknowledged, Self::Confirmed];

    /// The word for it in Redis.
    fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Unacknowledged => "unacknowledged",
            Self::Confirmed => "confirmed",
        }
    }

    fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}
