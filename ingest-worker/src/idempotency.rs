//! Which records are repeats of one that is stored: a pure function of the log.
//!
//! A record with an idempotency key is dropped if an earlier *stored* record of its partition has the same project, key
//! and body hash, received less than 24 hours away. A retried dead letter carries its *origin*, the offset that the
//! record stood at first; it is dropped if that record is stored, from there or from another retry. Whatever the blocks
//! are, whoever makes them, after a crash or on a rebuild: the same records fall away. For by the time a block that
//! begins at `h + 1` is made, all that stands before it is stored for good, and its receipts tell of it; what others may
//! have stored from `h + 1` on does not count ([`Receipts`] are asked for below the block's beginning).

use std::collections::{BTreeSet, HashMap, HashSet};

#[cfg(test)]
mod tests;

/// Received less than this apart, equal records are one.
const WINDOW_MS: u64 = accounts::claims::LASTS_MS.unsigned_abs();

/// What an idempotent request is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Keyed {
    /// The project.
    pub project_id: String,
    /// The client's key.
    pub key: String,
    /// SHA-256 of the body, hexadecimal.
    pub body_hash: String,
}

/// What decides whether a record is a repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The record's offset.
    pub offset: i64,
    /// Unix milliseconds.
    pub received_at_ms: i64,
    /// If it had an idempotency key.
    pub keyed: Option<Keyed>,
    /// The offset of the record that it repeats, in the same partition, if it is a retried dead letter.
    pub origin: Option<i64>,
}

/// What must be known of the blocks before, to decide on a block.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Projects and keys.
    pub keys: BTreeSet<(String, String)>,
    /// Origins: each stands for receipts of its retries, and for the record that stood there first.
    pub origins: BTreeSet<i64>,
}

impl Wanted {
    /// What `claims` need.
    pub fn by<'a>(claims: impl IntoIterator<Item = &'a Claim>) -> Self {
        let mut wanted = Self::default();
        for claim in claims {
            wanted.origins.extend(claim.origin);
            wanted.keys.extend(claim.keyed.iter().map(|keyed| (keyed.project_id.clone(), keyed.key.clone())));
        }
        wanted
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.origins.is_empty()
    }
}

/// What is stored, as far as it matters to one block.
#[derive(Debug, Default)]
pub struct Receipts {
    received_at_ms: HashMap<Keyed, Vec<i64>>,
    places: HashSet<i64>,
}

impl Receipts {
    /// A record of this identity is stored.
    pub fn keyed(&mut self, keyed: Keyed, received_at_ms: i64) {
        self.received_at_ms.entry(keyed).or_default().push(received_at_ms);
    }

    /// The record that stood at `offset` first is stored.
    pub fn place(&mut self, offset: i64) {
        self.places.insert(offset);
    }

    /// What these and the others tell.
    pub fn and(mut self, others: Self) -> Self {
        for (keyed, received_at_ms) in others.received_at_ms {
            self.received_at_ms.entry(keyed).or_default().extend(received_at_ms);
        }
        self.places.extend(others.places);
        self
    }

    /// Whether the record is to be stored. If so, it counts from here on; so records are asked about in the log's order.
    pub fn admit(&mut self, claim: Claim) -> bool {
        let Claim { offset, received_at_ms, keyed, origin } = claim;
        let again = origin.is_some_and(|origin| self.places.contains(&origin));
        let earlier = keyed.as_ref().and_then(|keyed| self.received_at_ms.get(keyed));
        let repeats =
            |earlier: &Vec<i64>| earlier.iter().any(|earlier| earlier.abs_diff(received_at_ms) < WINDOW_MS);
        if again || earlier.is_some_and(repeats) {
            return false;
        }
        self.places.insert(offset);
        self.places.extend(origin);
        if let Some(keyed) = keyed {
            self.keyed(keyed, received_at_ms);
        }
        true
    }
}
