//! Exponential backoff with jitter.

use std::time::Duration;

const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Returns the pause after the given number of failed attempts. It doubles from 100 ms to 5 s; a random part of up to half
/// of it is subtracted, so that partitions do not retry at the same time.
pub fn backoff(attempts: u32) -> Duration {
    let longest = MIN_BACKOFF.saturating_mul(1 << attempts.min(10).saturating_sub(1)).min(MAX_BACKOFF);
    let jitter = uuid::Uuid::now_v7().as_bytes()[15];
    longest - longest.mul_f64(f64::from(jitter) / 510.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_five_seconds() {
        for attempts in 1..100 {
            let pause = backoff(attempts);
            assert!(pause >= MIN_BACKOFF / 2 && pause <= MAX_BACKOFF, "{attempts}: {pause:?}");
        }
        assert!(backoff(99) >= MAX_BACKOFF / 2);
    }
}
