//! Decides which records repeat a stored record: a pure function of the log.
//!
//! - A record with an idempotency key is a repeat if an earlier *stored* record of its partition has the same project,
//!   key and body hash, and the two were received less than 24 hours apart.
//! - A retried dead letter carries its *origin*, the offset at which the record stood first. It is a repeat if that
//!   record is stored, from its origin or from another retry.
//!
//! The same records are dropped wherever blocks begin and end, whichever worker builds them, after a crash and in a
//! rebuild. The reason: when a block that begins at `h + 1` is built, everything before it is stored permanently, and its
//! receipts are in the table. Records that another worker may have stored from `h + 1` on do not count, because receipts
//! are looked up below the beginning of the block only.

use std::collections::{BTreeSet, HashMap, HashSet};

#[cfg(test)]
mod tests;

/// Equal requests that were received less than this apart are repeats.
const WINDOW_MS: u64 = idempotency::KEY_LIFETIME_MS.unsigned_abs();

/// A request with an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyedRequest {
    pub project_id: String,
    pub key: String,
    /// SHA-256 of the body, hexadecimal.
    pub body_hash: String,
}

/// The properties of a record that decide whether it is a repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub offset: i64,
    pub received_at_ms: i64,
    /// Present if the request had an idempotency key.
    pub keyed: Option<KeyedRequest>,
    /// Offset of the record that this one repeats, in the same partition, if it is a retried dead letter.
    pub origin: Option<i64>,
}

/// The receipts that a block needs from the blocks before it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReceiptQuery {
    /// Pairs of project and idempotency key.
    pub keys: BTreeSet<(String, String)>,
    /// Origins. Each asks for the receipts of its retries, and for the record that stood there first.
    pub origins: BTreeSet<i64>,
}

impl ReceiptQuery {
    pub fn for_candidates<'a>(candidates: impl IntoIterator<Item = &'a Candidate>) -> Self {
        let mut query = Self::default();
        for candidate in candidates {
            query.origins.extend(candidate.origin);
            let keys = candidate.keyed.iter().map(|keyed| (keyed.project_id.clone(), keyed.key.clone()));
            query.keys.extend(keys);
        }
        query
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.origins.is_empty()
    }
}

/// The stored records that matter to one block.
#[derive(Debug, Default)]
pub struct Receipts {
    received_at_ms: HashMap<KeyedRequest, Vec<i64>>,
    stored_offsets: HashSet<i64>,
}

impl Receipts {
    /// Adds a stored record that had an idempotency key.
    pub fn add_keyed(&mut self, keyed: KeyedRequest, received_at_ms: i64) {
        self.received_at_ms.entry(keyed).or_default().push(received_at_ms);
    }

    /// Adds the offset at which a stored record stood first.
    pub fn add_offset(&mut self, offset: i64) {
        self.stored_offsets.insert(offset);
    }

    /// Returns the union of both.
    pub fn merge(mut self, others: Self) -> Self {
        for (keyed, received_at_ms) in others.received_at_ms {
            self.received_at_ms.entry(keyed).or_default().extend(received_at_ms);
        }
        self.stored_offsets.extend(others.stored_offsets);
        self
    }

    /// Returns whether the record is to be stored, and counts it as stored if so. Must be called in offset order.
    pub fn admit(&mut self, candidate: Candidate) -> bool {
        let Candidate { offset, received_at_ms, keyed, origin } = candidate;
        let origin_stored = origin.is_some_and(|origin| self.stored_offsets.contains(&origin));
        let earlier = keyed.as_ref().and_then(|keyed| self.received_at_ms.get(keyed));
        let in_window =
            |earlier: &Vec<i64>| earlier.iter().any(|earlier| earlier.abs_diff(received_at_ms) < WINDOW_MS);
        if origin_stored || earlier.is_some_and(in_window) {
            return false;
        }
        self.stored_offsets.insert(offset);
        self.stored_offsets.extend(origin);
        if let Some(keyed) = keyed {
            self.add_keyed(keyed, received_at_ms);
        }
        true
    }
}
