//! Deduplication of records by the ingest worker's rule, over a window of keys.
//!
//! A record with an idempotency key is a duplicate if an earlier record of its partition, which is not a
//! duplicate itself, has the same key and body and was received less than 24 hours before or after. The
//! window contains the latest keys; a duplicate of a record that has left the window is not recognised.

use proto::v1::MetricBatch;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};

const DAY_MS: u64 = 86_400_000;

/// Hash of partition, project, idempotency key and body.
type KeyHash = [u8; 16];

/// Window of the latest idempotency keys.
#[derive(Debug)]
pub struct DeduplicationWindow {
    /// Offset and received time of the records that are not duplicates.
    originals: HashMap<KeyHash, Vec<(i64, i64)>>,
    order: VecDeque<KeyHash>,
    capacity: usize,
}

impl DeduplicationWindow {
    /// Creates a window of `capacity` keys.
    pub fn new(capacity: usize) -> Self {
        Self { originals: HashMap::new(), order: VecDeque::new(), capacity }
    }

    /// Returns whether the record is a duplicate. Records may be checked repeatedly and in any order.
    pub fn is_duplicate(&mut self, partition: i32, offset: i64, batch: &MetricBatch) -> bool {
        if batch.idempotency_key.is_empty() {
            return false;
        }
        let (key, received_at) = (key_hash(partition, batch), batch.received_at_ms);
        if !self.originals.contains_key(&key) {
            self.order.push_back(key);
            if self.order.len() > self.capacity
                && let Some(oldest) = self.order.pop_front()
            {
                self.originals.remove(&oldest);
            }
        }
        let originals = self.originals.entry(key).or_default();
        let is_original = |(earlier, at): &(i64, i64)| *earlier < offset && at.abs_diff(received_at) < DAY_MS;
        if originals.iter().any(is_original) {
            return true;
        }
        if !originals.contains(&(offset, received_at)) {
            originals.push((offset, received_at));
        }
        false
    }
}

fn key_hash(partition: i32, batch: &MetricBatch) -> KeyHash {
    let mut hash = Sha256::new();
    hash.update(partition.to_le_bytes());
    for part in [batch.project_id.as_bytes(), batch.idempotency_key.as_bytes(), &batch.body_hash] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut key = KeyHash::default();
    key.copy_from_slice(&hash.finalize()[..16]);
    key
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
    fn duplicate_has_key_and_body_of_an_earlier_record() {
        let mut window = DeduplicationWindow::new(100);
        assert!(!window.is_duplicate(0, 5, &batch("k", 1, 0)));
        assert!(window.is_duplicate(0, 6, &batch("k", 1, 0)));
        assert!(!window.is_duplicate(0, 5, &batch("k", 1, 0)), "not a duplicate of itself");
        assert!(!window.is_duplicate(0, 7, &batch("k", 2, 0)), "another body");
        assert!(!window.is_duplicate(0, 8, &batch("l", 1, 0)), "another key");
        assert!(!window.is_duplicate(1, 9, &batch("k", 1, 0)), "another partition");
        assert!(
            !window.is_duplicate(0, 10, &batch("", 1, 0)) && !window.is_duplicate(0, 11, &batch("", 1, 0)),
            "no key"
        );
    }

    #[test]
    fn key_may_be_reused_after_a_day() {
        let mut window = DeduplicationWindow::new(100);
        let day = DAY_MS as i64;
        let duplicates = [0, day - 1, day, day + 1]
            .map(|received| window.is_duplicate(0, received, &batch("k", 1, received)));
        assert_eq!(duplicates, [false, true, false, true]);
    }

    #[test]
    fn window_evicts_the_oldest_key() {
        let mut window = DeduplicationWindow::new(2);
        for (offset, key) in (0..).zip(["a", "b", "c"]) {
            window.is_duplicate(0, offset, &batch(key, 1, 0));
        }
        assert!(!window.is_duplicate(0, 9, &batch("a", 1, 0)));
        assert!(window.is_duplicate(0, 9, &batch("c", 1, 0)));
        assert!(window.order.len() == 2 && window.originals.len() == 2);
    }
}
