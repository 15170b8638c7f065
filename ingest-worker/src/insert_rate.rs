//! Bounds the number of inserts per second that the engine receives from all workers together: ten to twenty.
//!
//! An insert costs the engine about the same whether there is one per second or twenty, and each creates a part that must
//! be merged. So the gathering time of a block grows with the number of busy partitions: 60 ms if one partition is busy,
//! longer if there are more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Gathering time per busy partition: 1 s / 60 ms is about sixteen inserts per second.
const GATHER_TIME_PER_PARTITION: Duration = Duration::from_millis(60);
const MAX_GATHER_TIME: Duration = Duration::from_secs(2);
/// A partition is busy if it had a block within this time.
const BUSY_WINDOW: Duration = Duration::from_secs(2);

/// Insert rate of the partitions of one worker for one generation. Clones share it.
#[derive(Clone, Default)]
pub struct InsertRate {
    generation: u32,
    /// Time of the last block by generation and partition, over all generations, because they share the engine.
    busy: Arc<Mutex<HashMap<(u32, i32), Instant>>>,
    topic_partitions: Arc<AtomicI64>,
    owned_partitions: Arc<AtomicI64>,
}

impl InsertRate {
    /// Returns the insert rate of another generation, which shares the engine with this one.
    pub fn for_generation(&self, generation: u32) -> Self {
        Self { generation, busy: self.busy.clone(), ..Self::default() }
    }

    /// Sets the number of partitions of the topic.
    pub fn set_topic_partitions(&self, partitions: usize) {
        self.topic_partitions.store(i64::try_from(partitions).unwrap_or(1), Ordering::Relaxed);
    }

    /// Sets the number of partitions that this worker owns.
    pub fn set_owned_partitions(&self, partitions: usize) {
        self.owned_partitions.store(i64::try_from(partitions).unwrap_or(1), Ordering::Relaxed);
    }

    /// Marks `partition` as busy and returns the gathering time of its block. Assumes that the partitions of other workers
    /// are as busy as those of this one.
    pub fn gather_time(&self, partition: i32) -> Duration {
        let now = Instant::now();
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.insert((self.generation, partition), now);
        busy.retain(|_, last| now.saturating_duration_since(*last) < BUSY_WINDOW);
        let owned = self.owned_partitions.load(Ordering::Relaxed).max(1);
        let workers = self.topic_partitions.load(Ordering::Relaxed).max(1) / owned;
        gather_time(busy.len(), usize::try_from(workers).unwrap_or(1))
    }

    /// Removes a partition that this worker no longer owns.
    pub fn forget(&self, partition: i32) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&(self.generation, partition));
    }
}

fn gather_time(busy_partitions: usize, workers: usize) -> Duration {
    let inserters = u32::try_from(busy_partitions.max(1) * workers.max(1)).unwrap_or(u32::MAX);
    GATHER_TIME_PER_PARTITION.saturating_mul(inserters).min(MAX_GATHER_TIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_gets_at_most_twenty_inserts_per_second() {
        for busy in 1..30 {
            for workers in 1..5 {
                let time = gather_time(busy, workers);
                let rate = (busy * workers) as f64 / time.as_secs_f64();
                assert!(rate < 20.0 || time == MAX_GATHER_TIME, "{busy} × {workers}: {rate}");
            }
        }
        assert_eq!(gather_time(1, 1), GATHER_TIME_PER_PARTITION);
    }
}
