//! Locks: commands on one entity follow one another.
//!
//! A lock is a lease ([`crate::lease`]). It is no fence, and need not be one: what must never be undone by a late
//! writer is an entity of its own. But a command that holds it is alone for as long as it acts, because it looks at its
//! age before it publishes, and publishing takes no longer than its timeout:
//! age at which it still begins + publish timeout < time that the lock lasts.
//!
//! A lock is given back only where nothing of its command can be on its way. After an event of unknown outcome it ends by
//! itself, when the event has arrived or never will.

use super::{CommandError, PUBLISH_TIMEOUT};
use crate::lease::Lease;
use crate::servers::Redis;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Between two tries to take a lock.
const RETRY: Duration = Duration::from_millis(10);

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// How long to wait for a lock that another command holds.
    pub wait: Duration,
    /// A command that is older publishes nothing more.
    pub begin: Duration,
    /// How long a lock lasts that nobody gives back.
    pub last: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let begin = Duration::from_secs(6);
        Self { wait: Duration::from_secs(5), begin, last: begin + PUBLISH_TIMEOUT + Duration::from_secs(5) }
    }
}

/// A lock that is held.
pub struct Lock {
    lease: Lease,
    taken: Duration,
    begin: Duration,
    in_doubt: bool,
}

impl Lock {
    /// Takes the lock `name`, once whoever holds it gives it back.
    pub(super) async fn take(redis: Redis, name: String, times: Times) -> Result<Self, CommandError> {
        let lease = Lease::new(redis, name);
        let begun = now();
        loop {
            // Before Redis is asked: the lock must not end earlier than it is thought to.
            let taken = now();
            if lease.take(times.last).await? {
                return Ok(Self { lease, taken, begin: times.begin, in_doubt: false });
            }
            if now().saturating_sub(begun) >= times.wait {
                return Err(CommandError::Busy);
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Called just before an event is published: refused if the command is too old for it.
    pub(super) fn begin_event(&mut self) -> Result<(), CommandError> {
        if now().saturating_sub(self.taken) >= self.begin {
            return Err(CommandError::TooLate);
        }
        self.in_doubt = true;
        Ok(())
    }

    /// The event is in the log and in Redis.
    pub(super) fn end_event(&mut self) {
        self.in_doubt = false;
    }

    /// Gives the lock back, unless something may still be on its way; hands `result` on.
    pub(super) async fn end<T>(self, result: Result<T, CommandError>) -> Result<T, CommandError> {
        if !self.in_doubt {
            self.lease.give_back().await;
        }
        result
    }
}

/// A clock that goes on while the machine sleeps, as the lock's does.
fn now() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    // Neither part of this clock is ever negative.
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_outlasts_whatever_its_command_may_have_on_its_way() {
        let times = Times::default();
        assert!(times.begin + PUBLISH_TIMEOUT < times.last);
    }
}
