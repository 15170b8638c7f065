//! Exponential backoff with jitter.
//!
//! The delay doubles with each failure in a row up to a cap. Between half and all of it is used ("equal jitter", see Marc
//! Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), so that clients that failed together do not
//! retry together.

use std::time::Duration;

/// Bounds of the delay between attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
}

impl Backoff {
    /// Creates a backoff from `first`, the delay after the first failure, to `cap`, the longest delay.
    pub const fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap }
    }

    /// Returns the delay after `failures` failures in a row, counted from 1. `jitter` is in `[0, 1)`.
    pub fn delay(self, failures: u32, jitter: f64) -> Duration {
        // 2^20 times the first delay is beyond every cap.
        let doublings = failures.saturating_sub(1).min(20);
        let full = self.first.saturating_mul(1 << doublings).min(self.cap);
        full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// Calls `attempt` until it succeeds. After each failure calls `on_failure` with the number of failures in a row, then
    /// waits. Dropping the future stops it.
    pub async fn retry<T, E, F>(self, attempt: impl Fn() -> F, mut on_failure: impl FnMut(u32, &E)) -> T
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut failures = 0_u32;
        loop {
            match attempt().await {
                Ok(value) => return value,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    on_failure(failures, &error);
                }
            }
            tokio::time::sleep(self.delay(failures, jitter())).await;
        }
    }
}

/// Returns a random number in `[0, 1)`.
pub fn jitter() -> f64 {
    let random = u128::from_be_bytes(*uuid::Uuid::new_v4().as_bytes());
    // The lowest 48 bits of a version 4 UUID are random.
    (random & 0xffff_ffff_ffff) as f64 / (1_u64 << 48) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    proptest! {
        #[test]
        fn delay_stays_between_half_and_all_of_its_bound(failures in 1u32.., jitter in 0.0f64..1.0) {
            let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
            let full = (100.0 * 2f64.powi(failures.min(60) as i32 - 1)).min(5000.0) / 1000.0;
            let delay = backoff.delay(failures, jitter).as_secs_f64();
            prop_assert!(delay >= full / 2.0 - 1e-6 && delay <= full + 1e-6, "{delay} of {full}");
        }

        #[test]
        fn jitter_is_below_one(_ in 0..100u8) {
            prop_assert!((0.0..1.0).contains(&jitter()));
        }
    }

    #[tokio::test]
    async fn retry_reports_each_failure_until_it_succeeds() {
        let (calls, mut reported) = (Cell::new(0), Vec::new());
        let attempt = || {
            calls.set(calls.get() + 1);
            std::future::ready(if calls.get() < 4 { Err(calls.get()) } else { Ok("done") })
        };
        let backoff = Backoff::new(Duration::from_micros(1), Duration::from_micros(2));
        let result = backoff.retry(attempt, |failures, error: &i32| reported.push((failures, *error))).await;
        assert_eq!((result, reported), ("done", vec![(1, 1), (2, 2), (3, 3)]));
    }
}
