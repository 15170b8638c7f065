//! Prefetched numbers, so that the requests of a busy project do not wait for Redis.

use super::counter::BATCH;
use std::collections::VecDeque;

/// One call may prefetch at most 1/`SHARE` of the remaining hourly quota. The last `SHARE - 1` numbers are therefore never
/// prefetched, so that unused numbers are refunded before the rest is used up. Only where the rest is used up within about
/// [`MAX_IDLE_MS`] are other gateways refused slightly early.
pub const SHARE: u64 = 4096;
/// Time after the last prefetch from which on unused numbers are refunded.
pub const MAX_IDLE_MS: u64 = 100;
/// Window over which the request rate is measured.
const WINDOW_MS: u64 = 100;
/// Requests per window below which nothing is prefetched: waiting for Redis costs little then.
const MIN_RATE: u64 = 100;
/// A prefetch covers 1/`PREFETCH_FRACTION` of a window: longer than a round trip, shorter than [`MAX_IDLE_MS`].
const PREFETCH_FRACTION: u64 = 4;

/// Prefetched numbers of one gateway and project, all of one hour, epoch and limit.
#[derive(Debug, Default)]
pub struct Reserve {
    numbers: VecDeque<u64>,
    /// Size after the last answer.
    filled: usize,
    filled_ms: u64,
    rate: RequestRate,
}

/// Number of requests in the current window and in the previous one.
#[derive(Debug, Default)]
struct RequestRate {
    window: u64,
    count: u64,
    previous: u64,
}

impl Reserve {
    /// Records an arriving request.
    pub fn record_request(&mut self, now_ms: u64) {
        self.rate.record(now_ms);
    }

    /// Takes a number, if there is one.
    pub fn take(&mut self) -> Option<u64> {
        self.numbers.pop_front()
    }

    /// Returns how many numbers to prefetch with a call that counts `waiting` requests.
    pub fn prefetch_size(&self, waiting: usize) -> u64 {
        let starts = self.numbers.is_empty() && waiting > 0;
        if !starts && !self.is_low() {
            return 0;
        }
        self.rate.prefetch_size().min((BATCH - waiting) as u64)
    }

    /// Returns whether to prefetch although no request waits.
    pub fn is_due(&self) -> bool {
        self.is_low() && self.rate.prefetch_size() > 0
    }

    /// Adds the numbers of an answered call, possibly none.
    pub fn fill(&mut self, numbers: impl Iterator<Item = u64>, now_ms: u64) {
        let before = self.numbers.len();
        self.numbers.extend(numbers);
        self.filled = self.numbers.len();
        if self.filled > before {
            self.filled_ms = now_ms;
        }
    }

    /// Returns whether the numbers have been unused for too long.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        // Both ways: Redis's clock may have been set back.
        now_ms.abs_diff(self.filled_ms) >= MAX_IDLE_MS
    }

    /// Disables prefetching for the rest of this window.
    pub fn pause(&mut self) {
        self.rate.previous = 0;
    }

    /// Returns whether there are no numbers.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Removes and returns all numbers.
    pub fn drain(&mut self) -> VecDeque<u64> {
        self.filled = 0;
        std::mem::take(&mut self.numbers)
    }

    fn is_low(&self) -> bool {
        self.numbers.len() * 2 < self.filled
    }
}

impl RequestRate {
    fn record(&mut self, now_ms: u64) {
        let window = now_ms / WINDOW_MS;
        // The estimate of Redis's clock may step back slightly, also across the start of a window.
        if window > self.window || window + 1 < self.window {
            self.previous = if window == self.window + 1 { self.count } else { 0 };
            (self.window, self.count) = (window, 0);
        }
        self.count += 1;
    }

    /// Returns how many numbers the next round trips will need.
    fn prefetch_size(&self) -> u64 {
        if self.previous < MIN_RATE { 0 } else { self.previous / PREFETCH_FRACTION }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a reserve that has seen this many requests in the last window. The time is 1000.
    fn busy(requests: u64) -> Reserve {
        let mut reserve = Reserve::default();
        (0..requests).for_each(|_| reserve.record_request(999));
        reserve.record_request(1000);
        reserve
    }

    #[test]
    fn only_busy_projects_prefetch_and_within_the_batch_limit() {
        assert_eq!(busy(MIN_RATE - 1).prefetch_size(1), 0);
        assert_eq!(busy(MIN_RATE).prefetch_size(1), MIN_RATE / PREFETCH_FRACTION);
        assert_eq!(busy(MIN_RATE).prefetch_size(0), 0, "no request waits and no number was used");
        assert_eq!(busy(1_000_000).prefetch_size(7), BATCH as u64 - 7);
        assert_eq!(busy(1_000_000).prefetch_size(BATCH), 0);
        let mut paused = busy(MIN_RATE);
        paused.record_request(1000 + 2 * WINDOW_MS);
        assert_eq!(paused.prefetch_size(1), 0, "the rate is that of the last window");
        let mut back = busy(MIN_RATE);
        back.record_request(999);
        back.record_request(1001);
        assert_eq!(
            back.prefetch_size(1),
            MIN_RATE / PREFETCH_FRACTION,
            "a clock that steps back does not start a window"
        );
    }

    #[test]
    fn prefetch_is_due_when_half_is_used_and_idle_numbers_expire() {
        let mut reserve = busy(MIN_RATE);
        reserve.fill(1..=4, 1000);
        assert_eq!((reserve.take(), reserve.take()), (Some(1), Some(2)));
        assert!(!reserve.is_due() && reserve.prefetch_size(1) == 0);
        assert_eq!(reserve.take(), Some(3));
        assert!(reserve.is_due() && reserve.prefetch_size(0) > 0);
        reserve.fill(std::iter::empty(), 1050);
        assert!(!reserve.is_due(), "an empty answer is not followed by another prefetch at once");
        assert!(!reserve.is_expired(999 + MAX_IDLE_MS) && reserve.is_expired(1000 + MAX_IDLE_MS));
        assert!(reserve.is_expired(1000 - MAX_IDLE_MS), "a clock that was set back does not extend it");
        assert_eq!(reserve.drain(), [4]);
        assert!(reserve.is_empty() && !reserve.is_due());
    }
}
