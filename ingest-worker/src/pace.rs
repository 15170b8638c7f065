//! How long a block is gathered: so that the engine gets ten to twenty inserts a second in all.
//!
//! One insert a second or twenty cost the engine the same for each, and each makes a part that must be merged. With one
//! busy partition a block is gathered for 60 ms; with more of them, longer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// 1 s / 60 ms: about sixteen inserts a second.
const SHARE: Duration = Duration::from_millis(60);
const LONGEST: Duration = Duration::from_secs(2);
/// A partition that had a block within this time is busy.
const BUSY: Duration = Duration::from_secs(2);

/// The pace of one worker's partitions on their way into one generation. Clones share it.
#[derive(Clone, Default)]
pub struct Pace {
    generation: u32,
    /// Of all generations: they share the engine.
    busy: Arc<Mutex<HashMap<(u32, i32), Instant>>>,
    /// Partitions of the topic and those that this worker looks after: other workers are as busy, presumably.
    all: Arc<AtomicI64>,
    own: Arc<AtomicI64>,
}

impl Pace {
    /// The pace of another generation, beside this one.
    pub fn beside(&self, generation: u32) -> Self {
        Self { generation, busy: self.busy.clone(), ..Self::default() }
    }

    /// How many partitions the topic has.
    pub fn set_all(&self, partitions: usize) {
        self.all.store(i64::try_from(partitions).unwrap_or(1), Ordering::Relaxed);
    }

    /// How many of them are this worker's.
    pub fn set_own(&self, partitions: usize) {
        self.own.store(i64::try_from(partitions).unwrap_or(1), Ordering::Relaxed);
    }

    /// `partition` has a record: how long its block may be gathered.
    pub fn gather(&self, partition: i32) -> Duration {
        let now = Instant::now();
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.insert((self.generation, partition), now);
        busy.retain(|_, last| now.saturating_duration_since(*last) < BUSY);
        let workers = self.all.load(Ordering::Relaxed).max(1) / self.own.load(Ordering::Relaxed).max(1);
        share(busy.len(), usize::try_from(workers).unwrap_or(1))
    }

    /// `partition` is this worker's no more.
    pub fn idle(&self, partition: i32) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&(self.generation, partition));
    }
}

fn share(busy: usize, workers: usize) -> Duration {
    let inserters = u32::try_from(busy.max(1) * workers.max(1)).unwrap_or(u32::MAX);
    SHARE.saturating_mul(inserters).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_gets_at_most_twenty_inserts_a_second_in_all() {
        for busy in 1..30 {
            for workers in 1..5 {
                let rate = (busy * workers) as f64 / share(busy, workers).as_secs_f64();
                assert!(rate < 20.0 || share(busy, workers) == LONGEST, "{busy} × {workers}: {rate}");
            }
        }
        assert_eq!(share(1, 1), SHARE);
    }
}
