//! A clock that also advances while the machine is suspended.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// An instant of `CLOCK_BOOTTIME`.
///
/// `std::time::Instant` stands still during a suspend, so a worker that wakes up could take an old reading of the chain
/// for a recent one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootInstant(Duration);

impl BootInstant {
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        // Neither field of this clock is ever negative.
        Self(Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0)))
    }

    pub fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}
