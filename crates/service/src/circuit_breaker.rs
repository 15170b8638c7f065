//! A circuit breaker: during an outage only an occasional call waits for an unavailable server, not every one.

use std::sync::atomic::{AtomicU64, Ordering};

/// A circuit breaker. After a failure it stays open for a fixed time, then lets one probe through at a time. Lock-free;
/// times are milliseconds of the caller's clock, which must be greater than 0.
#[derive(Debug)]
pub struct CircuitBreaker {
    open_ms: u64,
    /// Time of the next probe; 0 while the breaker is closed.
    probe_at_ms: AtomicU64,
}

impl CircuitBreaker {
    /// Creates a closed breaker that stays open for `open_ms` milliseconds after a failure.
    pub const fn new(open_ms: u64) -> Self {
        Self { open_ms, probe_at_ms: AtomicU64::new(0) }
    }

    /// Returns whether a call may be made at `now_ms`. While the breaker is open, that is true once per interval.
    pub fn may_call(&self, now_ms: u64) -> bool {
        let probe_at_ms = self.probe_at_ms.load(Ordering::Relaxed);
        let next = now_ms + self.open_ms;
        probe_at_ms == 0
            || (now_ms >= probe_at_ms
                && self
                    .probe_at_ms
                    .compare_exchange(probe_at_ms, next, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok())
    }

    /// Records a successful call.
    pub fn succeeded(&self) {
        if self.probe_at_ms.load(Ordering::Relaxed) != 0 {
            self.probe_at_ms.store(0, Ordering::Relaxed);
        }
    }

    /// Records a failed call.
    pub fn failed(&self, now_ms: u64) {
        self.probe_at_ms.store(now_ms + self.open_ms, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_breaker_lets_one_probe_through_at_a_time() {
        let breaker = CircuitBreaker::new(500);
        assert!(breaker.may_call(1) && breaker.may_call(1));
        breaker.failed(1);
        breaker.failed(2);
        assert!(!breaker.may_call(501), "it stays open after the last failure");
        assert!(breaker.may_call(502) && !breaker.may_call(502));
        breaker.succeeded();
        assert!(breaker.may_call(503) && breaker.may_call(503));
    }
}
