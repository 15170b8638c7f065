//! Wall-clock time, and a monotonic clock that includes suspends.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the Unix time in milliseconds by this machine's clock.
pub fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

/// An instant of `CLOCK_BOOTTIME`, which also advances while the machine is suspended.
///
/// `std::time::Instant` stands still during a suspend, so a process that wakes up could take old knowledge for recent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootInstant(Duration);

impl BootInstant {
    /// Returns the current instant.
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        // Neither field of this clock is ever negative.
        Self(Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0)))
    }

    /// Returns the time since this instant.
    pub fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}
