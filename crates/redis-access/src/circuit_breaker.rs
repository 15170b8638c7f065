//! Circuit breakers: during an outage only an occasional request waits for Redis, not every one.

use crate::connection::Redis;
use service::circuit_breaker::CircuitBreaker;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// Time for which a breaker stays open after a failure.
const OPEN_MS: u64 = 500;
/// Number of breakers for a cluster, where the failure of one node says nothing about the others.
const CLUSTER_BREAKERS: usize = 256;
/// Time without a failure after which a cluster counts as available. Each breaker is tried more often than that.
const RECOVERY_MS: u64 = 3_000;

/// Circuit breakers for the parts of a Redis that fail independently.
pub struct CircuitBreakers {
    parts: Vec<CircuitBreaker>,
    recovery_ms: u64,
    /// Time of the last failure in milliseconds of the caller's clock; 0 while Redis is available.
    failed_at_ms: AtomicU64,
}

impl CircuitBreakers {
    /// Creates the breakers for `redis`.
    pub fn of(redis: &Redis) -> Self {
        let (parts, recovery_ms) = match redis {
            Redis::Server(_) => (1, 0),
            Redis::Cluster(_) => (CLUSTER_BREAKERS, RECOVERY_MS),
        };
        let parts = (0..parts).map(|_| CircuitBreaker::new(OPEN_MS)).collect();
        Self { parts, recovery_ms, failed_at_ms: AtomicU64::new(0) }
    }

    /// Returns the index of the breaker for `project_id`.
    pub fn part(&self, project_id: &str) -> usize {
        if self.parts.len() == 1 {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        project_id.hash(&mut hasher);
        usize::try_from(hasher.finish() % self.parts.len() as u64).unwrap_or_default()
    }

    /// Returns whether a call may be made at `now_ms`. While a breaker is open, one call at a time probes Redis.
    pub fn may_call(&self, part: usize, now_ms: u64) -> bool {
        self.parts[part].may_call(now_ms)
    }

    /// Records a successful call. Returns true if Redis has thereby become available again.
    pub fn succeeded(&self, part: usize, now_ms: u64) -> bool {
        self.parts[part].succeeded();
        let last = self.failed_at_ms.load(Ordering::Relaxed);
        last != 0
            && now_ms >= last + self.recovery_ms
            && self.failed_at_ms.compare_exchange(last, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Records a failed call. Returns true if Redis was available before.
    pub fn failed(&self, part: usize, now_ms: u64) -> bool {
        self.parts[part].failed(now_ms);
        self.failed_at_ms.swap(now_ms.max(1), Ordering::Relaxed) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_breakers_fail_independently_and_recover_together() {
        let parts = (0..2).map(|_| CircuitBreaker::new(OPEN_MS)).collect();
        let breakers = CircuitBreakers { parts, recovery_ms: RECOVERY_MS, failed_at_ms: AtomicU64::new(0) };
        assert!(breakers.failed(0, 10) && !breakers.failed(0, 20), "only the first failure is reported");
        assert!(!breakers.may_call(0, 21) && breakers.may_call(1, 21));
        assert!(!breakers.succeeded(1, 30), "another breaker says nothing about the failed one");
        assert!(breakers.succeeded(0, 20 + RECOVERY_MS) && !breakers.succeeded(0, 20 + RECOVERY_MS));
        assert!(breakers.failed(1, 30 + RECOVERY_MS));
    }

    #[test]
    fn single_server_recovers_with_the_first_success() {
        let breakers = CircuitBreakers {
            parts: vec![CircuitBreaker::new(OPEN_MS)],
            recovery_ms: 0,
            failed_at_ms: AtomicU64::new(0),
        };
        assert!(!breakers.succeeded(0, 0) && breakers.failed(0, 0) && !breakers.failed(0, 1));
        assert!(breakers.succeeded(0, 1) && !breakers.succeeded(0, 1));
    }
}
