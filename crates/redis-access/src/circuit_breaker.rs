//! Whether to ask a Redis that did not answer: an outage costs one request its patience now and then, not every one.

use crate::connection::Redis;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// How long Redis is left alone after it did not answer.
const PAUSE_MS: u64 = 500;
/// Into how many parts projects are put in a cluster, where one node's silence says nothing of the others.
const PARTS: usize = 256;
/// So long nothing must have failed in a cluster before all of it counts as answering: each part is tried more often.
const CALM_MS: u64 = 3_000;

/// Whether the Redis of an installation answers, by parts that fail apart from each other.
pub struct CircuitBreakers {
    parts: Vec<CircuitBreaker>,
    calm_ms: u64,
    /// When a call failed last, milliseconds on the caller's clock; 0 while all answer.
    failed_at_ms: AtomicU64,
}

impl CircuitBreakers {
    /// Those of `redis`.
    pub fn of(redis: &Redis) -> Self {
        let (parts, calm_ms) = match redis {
            Redis::Server(_) => (1, 0),
            Redis::Cluster(_) => (PARTS, CALM_MS),
        };
        let parts = (0..parts).map(|_| CircuitBreaker::default()).collect();
        Self { parts, calm_ms, failed_at_ms: AtomicU64::new(0) }
    }

    /// The part of a project.
    pub fn part(&self, project_id: &str) -> usize {
        if self.parts.len() == 1 {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        project_id.hash(&mut hasher);
        usize::try_from(hasher.finish() % self.parts.len() as u64).unwrap_or_default()
    }

    /// Whether to ask for something of `part` at `now_ms`.
    pub fn may_ask(&self, part: usize, now_ms: u64) -> bool {
        self.parts[part].may_ask(now_ms)
    }

    /// It was answered; tells whether all answer now, and did not before.
    pub fn answered(&self, part: usize, now_ms: u64) -> bool {
        self.parts[part].answered();
        let last = self.failed_at_ms.load(Ordering::Relaxed);
        last != 0
            && now_ms >= last + self.calm_ms
            && self.failed_at_ms.compare_exchange(last, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// It was not; tells whether all had answered before.
    pub fn failed(&self, part: usize, now_ms: u64) -> bool {
        self.parts[part].failed(now_ms);
        self.failed_at_ms.swap(now_ms.max(1), Ordering::Relaxed) == 0
    }
}

/// Whether a part answers. After it did not, it is left alone for [`PAUSE_MS`]; then one request at a time tries.
#[derive(Default)]
struct CircuitBreaker {
    /// When to try again, milliseconds on the caller's clock; 0 while it answers.
    again_at_ms: AtomicU64,
}

impl CircuitBreaker {
    fn may_ask(&self, now_ms: u64) -> bool {
        let again_at_ms = self.again_at_ms.load(Ordering::Relaxed);
        again_at_ms == 0
            || (now_ms >= again_at_ms
                && self
                    .again_at_ms
                    .compare_exchange(again_at_ms, pause(now_ms), Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok())
    }

    fn answered(&self) {
        if self.again_at_ms.load(Ordering::Relaxed) != 0 {
            self.again_at_ms.store(0, Ordering::Relaxed);
        }
    }

    fn failed(&self, now_ms: u64) {
        self.again_at_ms.store(pause(now_ms), Ordering::Relaxed);
    }
}

fn pause(now_ms: u64) -> u64 {
    now_ms + PAUSE_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_one_at_a_time_tries_until_there_is_an_answer() {
        let breaker = CircuitBreaker::default();
        assert!(breaker.may_ask(1) && breaker.may_ask(1));
        breaker.failed(1);
        breaker.failed(2);
        assert!(!breaker.may_ask(1 + PAUSE_MS), "it is left alone after the last failure");
        assert!(breaker.may_ask(2 + PAUSE_MS) && !breaker.may_ask(2 + PAUSE_MS));
        breaker.answered();
        assert!(breaker.may_ask(3 + PAUSE_MS) && breaker.may_ask(3 + PAUSE_MS));
    }

    #[test]
    fn in_a_cluster_one_part_fails_alone_and_all_answer_only_after_a_calm() {
        let parts = (0..2).map(|_| CircuitBreaker::default()).collect();
        let breakers = CircuitBreakers { parts, calm_ms: CALM_MS, failed_at_ms: AtomicU64::new(0) };
        assert!(breakers.failed(0, 10) && !breakers.failed(0, 20), "the first failure is told apart");
        assert!(!breakers.may_ask(0, 21) && breakers.may_ask(1, 21));
        assert!(!breakers.answered(1, 30), "the other part says nothing of the first");
        assert!(breakers.answered(0, 20 + CALM_MS) && !breakers.answered(0, 20 + CALM_MS));
        assert!(breakers.failed(1, 30 + CALM_MS));
    }

    #[test]
    fn of_one_server_each_answer_says_that_all_is_well() {
        let breakers = CircuitBreakers {
            parts: vec![CircuitBreaker::default()],
            calm_ms: 0,
            failed_at_ms: AtomicU64::new(0),
        };
        assert!(!breakers.answered(0, 0) && breakers.failed(0, 0) && !breakers.failed(0, 1));
        assert!(breakers.answered(0, 1) && !breakers.answered(0, 1));
    }
}
