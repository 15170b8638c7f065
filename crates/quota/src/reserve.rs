//! Numbers that a gateway holds before the requests come that will use them, so that a busy project does not wait for
//! Redis with each.

use super::counter::BATCH;
use std::collections::VecDeque;

/// Into so many parts what is left of an hour is thought cut; one part is the most that a call brings ahead. The last
/// `SHARE - 1` are never given ahead, so that unused numbers come back before the rest is used up, unless that takes
/// less than some [`KEEP_MS`]; then others are refused a moment early.
pub const SHARE: u64 = 4096;
/// What was not used so long after the last filling is given back when it is next looked after.
pub const KEEP_MS: u64 = 100;
/// The pace of requests is measured over this time.
const WINDOW_MS: u64 = 100;
/// With fewer requests than this in a window nothing is taken ahead: waiting for Redis costs little then.
const BUSY: u64 = 100;
/// The part of a window that is taken ahead: long against a round trip, short against [`KEEP_MS`].
const AHEAD: u64 = 4;

/// The numbers of one gateway and project, all of one hour, epoch and limit.
#[derive(Debug, Default)]
pub struct Reserve {
    numbers: VecDeque<u64>,
    /// How many there were after the last answer.
    filled: usize,
    filled_ms: u64,
    pace: Pace,
}

/// How many requests came in the running window and in the one before.
#[derive(Debug, Default)]
struct Pace {
    window: u64,
    count: u64,
    before: u64,
}

impl Reserve {
    /// A request came.
    pub fn came(&mut self, now_ms: u64) {
        self.pace.came(now_ms);
    }

    /// The number for it, if there is one.
    pub fn take(&mut self) -> Option<u64> {
        self.numbers.pop_front()
    }

    /// How many numbers to ask for together with those of `waiting` requests.
    pub fn wanted(&self, waiting: usize) -> u64 {
        let begins = self.numbers.is_empty() && waiting > 0;
        if !begins && !self.is_low() {
            return 0;
        }
        self.pace.ahead().min((BATCH - waiting) as u64)
    }

    /// Whether more are to be asked for although nobody waits.
    pub fn is_due(&self) -> bool {
        self.is_low() && self.pace.ahead() > 0
    }

    /// A call was answered, and brought `numbers`, or none.
    pub fn fill(&mut self, numbers: impl Iterator<Item = u64>, now_ms: u64) {
        let before = self.numbers.len();
        self.numbers.extend(numbers);
        self.filled = self.numbers.len();
        if self.filled > before {
            self.filled_ms = now_ms;
        }
    }

    /// Whether it is time to give them back.
    pub fn is_old(&self, now_ms: u64) -> bool {
        // Both ways: Redis's clock may have been set back.
        now_ms.abs_diff(self.filled_ms) >= KEEP_MS
    }

    /// Nothing is to be taken ahead in this window.
    pub fn pause(&mut self) {
        self.pace.before = 0;
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// All that are left; there are none then.
    pub fn drain(&mut self) -> VecDeque<u64> {
        self.filled = 0;
        std::mem::take(&mut self.numbers)
    }

    fn is_low(&self) -> bool {
        self.numbers.len() * 2 < self.filled
    }
}

impl Pace {
    fn came(&mut self, now_ms: u64) {
        let window = now_ms / WINDOW_MS;
        // The guess at Redis's clock may step back by a little, also over a window's edge.
        if window > self.window || window + 1 < self.window {
            self.before = if window == self.window + 1 { self.count } else { 0 };
            (self.window, self.count) = (window, 0);
        }
        self.count += 1;
    }

    /// How many numbers the next round trips will need.
    fn ahead(&self) -> u64 {
        if self.before < BUSY { 0 } else { self.before / AHEAD }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reserve of a project with so many requests in the last window; the time is 1000.
    fn busy(requests: u64) -> Reserve {
        let mut reserve = Reserve::default();
        (0..requests).for_each(|_| reserve.came(999));
        reserve.came(1000);
        reserve
    }

    #[test]
    fn only_a_busy_project_takes_ahead_and_never_more_than_a_call_may_count() {
        assert_eq!(busy(BUSY - 1).wanted(1), 0);
        assert_eq!(busy(BUSY).wanted(1), BUSY / AHEAD);
        assert_eq!(busy(BUSY).wanted(0), 0, "nobody waits and none were used");
        assert_eq!(busy(1_000_000).wanted(7), BATCH as u64 - 7);
        assert_eq!(busy(1_000_000).wanted(BATCH), 0);
        let mut paused = busy(BUSY);
        paused.came(1000 + 2 * WINDOW_MS);
        assert_eq!(paused.wanted(1), 0, "the pace is that of the last window");
        let mut back = busy(BUSY);
        back.came(999);
        back.came(1001);
        assert_eq!(back.wanted(1), BUSY / AHEAD, "a clock that steps back does not begin a window");
    }

    #[test]
    fn more_are_asked_for_when_half_are_used_and_old_ones_are_told() {
        let mut reserve = busy(BUSY);
        reserve.fill(1..=4, 1000);
        assert_eq!((reserve.take(), reserve.take()), (Some(1), Some(2)));
        assert!(!reserve.is_due() && reserve.wanted(1) == 0);
        assert_eq!(reserve.take(), Some(3));
        assert!(reserve.is_due() && reserve.wanted(0) > 0);
        reserve.fill(std::iter::empty(), 1050);
        assert!(!reserve.is_due(), "where Redis gives none, it is not asked again at once");
        assert!(!reserve.is_old(999 + KEEP_MS) && reserve.is_old(1000 + KEEP_MS));
        assert!(reserve.is_old(1000 - KEEP_MS), "a clock that was set back does not prolong it");
        assert_eq!(reserve.drain(), [4]);
        assert!(reserve.is_empty() && !reserve.is_due());
    }
}
