//! When a receiver may be called again: a circuit breaker, as a pure state.
//!
//! Each failure in a row doubles the pause, up to five minutes; one success closes the breaker. The pause belongs to the
//! receiver, not to the message: while it is open nothing is sent there, and then one request tries.

use std::time::{Duration, Instant};

/// The pause after the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause of our own.
const LONGEST: Duration = Duration::from_secs(300);
/// The longest pause that a receiver may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// How it stands with a receiver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    failures: u32,
    not_before: Option<Instant>,
}

impl Pace {
    /// How long to wait before the next request.
    pub fn wait(&self, now: Instant) -> Duration {
        self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// It took a message, or refused one for good: it is there.
    pub fn answered(&mut self) {
        *self = Self::default();
    }

    /// It failed; `asked` is the pause that it asked for, `jitter` is in `[0, 1)`.
    pub fn failed(&mut self, now: Instant, asked: Option<Duration>, jitter: f64) {
        let pause = FIRST.saturating_mul(1 << self.failures.min(20)).min(LONGEST);
        // Between half and all of it, so that those who failed together do not come back together.
        let pause = pause.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        let asked = asked.map_or(Duration::ZERO, |asked| asked.min(LONGEST_ASKED));
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + pause.max(asked));
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_answer_closes_the_breaker() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.wait(now), Duration::ZERO);
        pace.failed(now, None, 0.0);
        assert_eq!(pace.wait(now), Duration::from_millis(500));
        pace.answered();
        assert_eq!(pace.wait(now), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn pauses_grow_and_stay_within_their_bounds_and_what_was_asked_for_is_kept(
            failures in 1u32..100, jitter in 0.0f64..1.0, asked in prop::option::of(0u64..10_000),
        ) {
            let (mut pace, now) = (Pace::default(), Instant::now());
            let asked = asked.map(Duration::from_secs);
            for _ in 0..failures {
                pace.failed(now, asked, jitter);
            }
            let full = FIRST.as_secs_f64() * 2f64.powi(failures as i32 - 1);
            let (least, most) = ((full / 2.0).min(150.0), full.min(300.0));
            let asked = asked.map_or(0.0, |asked| asked.as_secs_f64().min(3600.0));
            let wait = pace.wait(now).as_secs_f64();
            prop_assert!(wait >= least.max(asked) - 1e-6 && wait <= most.max(asked) + 1e-6, "{wait}");
        }
    }
}
