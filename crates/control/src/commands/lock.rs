//! Locks that serialise the commands on one entity.
//!
//! A lock is a lease ([`redis_access::Lease`]). It is not a fence and does not need to be one: what must never be
//! undone by a late writer is a separate entity. Still, a command that holds the lock runs alone for as long as it
//! acts: it checks the lock's age before it publishes, and publishing takes no longer than its timeout, so oldest
//! age for publishing + publish timeout < length of the lease.
//!
//! The lock is released only when no event of its command can be in flight. After an event with an unknown outcome it
//! expires by itself, by which time the event has arrived or never will.

use super::error::CommandError;
use crate::control_log::PUBLISH_TIMEOUT;
use redis_access::{HeldLease, Lease, Redis};
use std::time::Duration;

/// Interval between attempts to acquire a lock.
const RETRY: Duration = Duration::from_millis(10);

/// Time limits of a lock.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Maximum time to wait for a lock that another command holds.
    pub wait: Duration,
    /// Age of the lock from which on the command publishes nothing more.
    pub publish_until: Duration,
    /// Length of the lease.
    pub length: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let publish_until = Duration::from_secs(6);
        Self {
            wait: Duration::from_secs(5),
            publish_until,
            length: publish_until + PUBLISH_TIMEOUT + Duration::from_secs(5),
        }
    }
}

/// A lock that is held.
pub struct Lock {
    lease: HeldLease,
    publish_until: Duration,
    in_doubt: bool,
}

impl Lock {
    /// Acquires the lock `name`, waiting for its current holder.
    pub(super) async fn acquire(redis: Redis, name: String, times: Times) -> Result<Self, CommandError> {
        let lease = Lease::new(redis, name).acquire_within(times.wait, RETRY, times.length).await?;
        let lease = lease.ok_or(CommandError::Busy)?;
        Ok(Self { lease, publish_until: times.publish_until, in_doubt: false })
    }

    /// Marks that an event is about to be published. Fails if the lock is too old for that.
    pub(super) fn begin_event(&mut self) -> Result<(), CommandError> {
        if self.lease.age() >= self.publish_until {
            return Err(CommandError::TooLate);
        }
        self.in_doubt = true;
        Ok(())
    }

    /// Marks that the event is in the log and in Redis.
    pub(super) fn end_event(&mut self) {
        self.in_doubt = false;
    }

    /// Releases the lock unless an event may still be in flight. Returns `result`.
    pub(super) async fn end<T>(self, result: Result<T, CommandError>) -> Result<T, CommandError> {
        if !self.in_doubt {
            self.lease.release().await;
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_outlasts_every_publish_of_its_command() {
        let times = Times::default();
        assert!(times.publish_until + PUBLISH_TIMEOUT < times.length);
    }
}
