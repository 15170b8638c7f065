//! Locks: commands on one entity follow one another.
//!
//! A lock is a key in Redis that ends by itself. It is no fence, and need not be one: what must never be undone by a late
//! writer is an entity of its own. But a command that holds it is alone for as long as it acts, because it looks at its
//! age before it publishes, and publishing takes no longer than its timeout:
//! age at which it still begins + publish timeout < time that the lock lasts.
//!
//! A lock is given back only where nothing of its command can be on its way. After an event of unknown outcome it ends by
//! itself, when the event has arrived or never will.

use super::{CommandError, PUBLISH_TIMEOUT};
use crate::servers::Redis;
use redis::Script;
use rustix::time::{ClockId, clock_gettime};
use std::sync::LazyLock;
use std::time::Duration;

static UNLOCK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("unlock.lua")));

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
    redis: Redis,
    name: String,
    token: String,
    taken: Duration,
    begin: Duration,
    in_doubt: bool,
}

impl Lock {
    /// Takes the lock `name`, once whoever holds it gives it back.
    pub(super) async fn take(mut redis: Redis, name: String, times: Times) -> Result<Self, CommandError> {
        let token = format!("{:032x}", rand::random::<u128>());
        let begun = now();
        loop {
            // Before Redis is asked: the lock must not end earlier than it is thought to.
            let taken = now();
            let answer: Option<String> = redis::cmd("SET")
                .arg(&name)
                .arg(&token)
                .arg("NX")
                .arg("PX")
                .arg(u64::try_from(times.last.as_millis()).unwrap_or(u64::MAX))
                .query_async(&mut redis)
                .await?;
            if answer.is_some() {
                return Ok(Self { redis, name, token, taken, begin: times.begin, in_doubt: false });
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
    pub(super) async fn end<T>(mut self, result: Result<T, CommandError>) -> Result<T, CommandError> {
        if !self.in_doubt {
            let unlock: Result<i32, _> =
                UNLOCK.key(&self.name).arg(&self.token).invoke_async(&mut self.redis).await;
            if let Err(error) = unlock {
                // The command is done; the lock ends by itself.
                tracing::warn!(%error, "a lock could not be given back");
            }
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
