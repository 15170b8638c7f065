//! Which records are copies: the ingest worker's rule, over a window.
//!
//! A record that carries an idempotency key is a copy if an earlier one of its partition, which was none itself, has the
//! same key and body and was received less than 24 hours away. The window holds the latest keys; a copy of a record
//! that has left it is taken for the first.

use proto::v1::MetricBatch;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};

const DAY_MS: u64 = 86_400_000;

type Name = [u8; 16];

/// The latest keys.
#[derive(Debug)]
pub struct Seen {
    /// Offset and receipt of those that are no copies.
    firsts: HashMap<Name, Vec<(i64, i64)>>,
    order: VecDeque<Name>,
    most: usize,
}

impl Seen {
    /// A window over `most` keys.
    pub fn new(most: usize) -> Self {
        Self { firsts: HashMap::new(), order: VecDeque::new(), most }
    }

    /// Whether the record is a copy. It may be asked of a record again, and in any order.
    pub fn is_copy(&mut self, partition: i32, offset: i64, batch: &MetricBatch) -> bool {
        if batch.idempotency_key.is_empty() {
            return false;
        }
        let (name, received) = (name(partition, batch), batch.received_at_ms);
        if !self.firsts.contains_key(&name) {
            self.order.push_back(name);
            if self.order.len() > self.most
                && let Some(oldest) = self.order.pop_front()
            {
                self.firsts.remove(&oldest);
            }
        }
        let firsts = self.firsts.entry(name).or_default();
        let near = |(first, at): &(i64, i64)| *first < offset && at.abs_diff(received) < DAY_MS;
        if firsts.iter().any(near) {
            return true;
        }
        if !firsts.contains(&(offset, received)) {
            firsts.push((offset, received));
        }
        false
    }
}

fn name(partition: i32, batch: &MetricBatch) -> Name {
    let mut hash = Sha256::new();
    hash.update(partition.to_le_bytes());
    for part in [batch.project_id.as_bytes(), batch.idempotency_key.as_bytes(), &batch.body_hash] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut name = Name::default();
    name.copy_from_slice(&hash.finalize()[..16]);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(key: &str, hash: u8, received_at_ms: i64) -> MetricBatch {
        MetricBatch {
            idempotency_key: key.to_owned(),
            body_hash: vec![hash; 32],
            received_at_ms,
            ..MetricBatch::default()
        }
    }

    #[test]
    fn a_copy_has_key_and_body_of_an_earlier_record_of_its_partition() {
        let mut seen = Seen::new(100);
        assert!(!seen.is_copy(0, 5, &batch("k", 1, 0)));
        assert!(seen.is_copy(0, 6, &batch("k", 1, 0)));
        assert!(!seen.is_copy(0, 5, &batch("k", 1, 0)), "it is no copy of itself");
        assert!(!seen.is_copy(0, 7, &batch("k", 2, 0)), "another body");
        assert!(!seen.is_copy(0, 8, &batch("l", 1, 0)), "another key");
        assert!(!seen.is_copy(1, 9, &batch("k", 1, 0)), "another partition");
        assert!(!seen.is_copy(0, 10, &batch("", 1, 0)) && !seen.is_copy(0, 11, &batch("", 1, 0)), "no key");
    }

    #[test]
    fn after_a_day_a_key_is_new() {
        let mut seen = Seen::new(100);
        let day = DAY_MS as i64;
        let copies =
            [0, day - 1, day, day + 1].map(|received| seen.is_copy(0, received, &batch("k", 1, received)));
        assert_eq!(copies, [false, true, false, true]);
    }

    #[test]
    fn the_window_forgets_the_oldest() {
        let mut seen = Seen::new(2);
        for (offset, key) in (0..).zip(["a", "b", "c"]) {
            seen.is_copy(0, offset, &batch(key, 1, 0));
        }
        assert!(!seen.is_copy(0, 9, &batch("a", 1, 0)));
        assert!(seen.is_copy(0, 9, &batch("c", 1, 0)));
        assert!(seen.order.len() == 2 && seen.firsts.len() == 2);
    }
}
