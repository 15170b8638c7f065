//! Backoff of a receiver, as a pure state.
//!
//! Each failure in a row doubles the delay, up to five minutes. One success resets it. The delay belongs to the receiver,
//! not to the message: nothing is sent to the receiver until it has passed, and then one request probes.

use service::backoff::Backoff;
use std::time::{Duration, Instant};

const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));
/// Longest delay that a receiver may ask for.
const MAX_REQUESTED_DELAY: Duration = Duration::from_secs(3600);

/// Failures of a receiver, and the time of its next request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiverBackoff {
    failures: u32,
    not_before: Option<Instant>,
}

impl ReceiverBackoff {
    /// Returns the time to wait before the next request.
    pub fn wait(&self, now: Instant) -> Duration {
        self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// Records that the receiver accepted a message or rejected it permanently.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Records a failure. `requested` is the delay that the receiver asked for; `jitter` is in `[0, 1)`.
    pub fn failed(&mut self, now: Instant, requested: Option<Duration>, jitter: f64) {
        self.failures = self.failures.saturating_add(1);
        let delay = BACKOFF.delay(self.failures, jitter);
        let requested = requested.map_or(Duration::ZERO, |requested| requested.min(MAX_REQUESTED_DELAY));
        self.not_before = Some(now + delay.max(requested));
    }

    /// Returns the number of failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn success_resets_the_backoff() {
        let (mut backoff, now) = (ReceiverBackoff::default(), Instant::now());
        assert_eq!(backoff.wait(now), Duration::ZERO);
        backoff.failed(now, None, 0.0);
        assert_eq!(backoff.wait(now), Duration::from_millis(500));
        backoff.succeeded();
        assert_eq!(backoff.wait(now), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn delays_stay_within_their_bounds_and_honour_the_request(
            failures in 1u32..100, jitter in 0.0f64..1.0, asked in prop::option::of(0u64..10_000),
        ) {
            let (mut backoff, now) = (ReceiverBackoff::default(), Instant::now());
            let asked = asked.map(Duration::from_secs);
            for _ in 0..failures {
                backoff.failed(now, asked, jitter);
            }
            let full = 1.0 * 2f64.powi(failures as i32 - 1);
            let (least, most) = ((full / 2.0).min(150.0), full.min(300.0));
            let asked = asked.map_or(0.0, |asked| asked.as_secs_f64().min(3600.0));
            let wait = backoff.wait(now).as_secs_f64();
            prop_assert!(wait >= least.max(asked) - 1e-6 && wait <= most.max(asked) + 1e-6, "{wait}");
        }
    }
}
