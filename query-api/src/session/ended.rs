//! Sessions that were ended before they expired.
//!
//! Cookies are not stored. A hash of each ended cookie is stored in Redis for the maximum age of a session.
//!
//! Guarantees:
//! - After the answer that ended a session, no replica accepts its cookie. Each request with a cookie costs
//!   one `EXISTS`.
//! - While Redis is unreachable or its data may be stale, a session that was valid within [`GRACE`] stays
//!   valid, so its end may be missed, as with keys. All other sessions get 503.
//!
//! Downside: ended sessions are not part of the control log. If Redis loses its data, their cookies are
//! accepted again until they expire, their key is revoked or the operator's token changes.

use super::AGE;
use crate::error::{Error, Unavailable};
use redis::RedisError;
use redis_access::KeyNames;
use redis_access::Redis;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time for which a valid session stays valid while Redis is unavailable; the same as for keys.
const GRACE: Duration = Duration::from_secs(60);
/// Timeout of a Redis command.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum number of remembered valid sessions. Forgetting one matters only while Redis is unavailable.
const MAX_SESSIONS: usize = 10_000;

/// Records ended sessions and checks for them.
pub struct EndedSessions {
    names: KeyNames,
    redis: Redis,
    valid: Mutex<ValidSessions>,
}

/// The time at which each session was last known to be valid, by the hash of its cookie.
#[derive(Default)]
struct ValidSessions(HashMap<Hash, Instant>);

type Hash = [u8; 32];

impl EndedSessions {
    pub fn new(namespace: &str, redis: Redis) -> Self {
        Self { names: KeyNames::new(namespace), redis, valid: Mutex::default() }
    }

    /// Ends the session of `cookie`, whose seal is valid.
    pub async fn end(&self, cookie: &str) -> Result<(), Error> {
        let hash = hash(cookie);
        let mut set = redis::cmd("SET");
        set.arg(self.name(&hash)).arg(1).arg("EX").arg(AGE.as_secs());
        self.valid().0.remove(&hash);
        self.query::<()>(&set).await.ok_or(Error::Unavailable(Unavailable::Command))
    }

    /// Fails if the session of `cookie`, whose seal is valid, was ended. `redis_is_current` says that Redis
    /// is reachable and its data is up to date.
    pub async fn check(&self, cookie: &str, redis_is_current: bool) -> Result<(), Error> {
        let hash = hash(cookie);
        let mut exists = redis::cmd("EXISTS");
        exists.arg(self.name(&hash));
        let ended = if redis_is_current { self.query(&exists).await } else { None };
        let now = Instant::now();
        match ended {
            Some(true) => Err(Error::InvalidSession),
            Some(false) => {
                self.valid().insert(hash, now);
                Ok(())
            }
            None if self.valid().contains(&hash, now) => Ok(()),
            None => Err(Error::Unavailable(Unavailable::Sessions)),
        }
    }

    async fn query<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> Option<T> {
        let mut redis = self.redis.clone();
        let answer =
            async { command.query_async(&mut redis).await.map_err(|error: RedisError| error.to_string()) };
        let answer =
            tokio::time::timeout(TIMEOUT, answer).await.unwrap_or_else(|_| Err("timeout".to_owned()));
        answer.inspect_err(|error| tracing::warn!(error, "session lookup failed: Redis unavailable")).ok()
    }

    fn name(&self, hash: &Hash) -> String {
        let mut id = String::with_capacity(2 * hash.len());
        for byte in hash {
            // Writing to a string cannot fail.
            let _ = write!(id, "{byte:02x}");
        }
        self.names.key("session-ended", &id)
    }

    fn valid(&self) -> MutexGuard<'_, ValidSessions> {
        self.valid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ValidSessions {
    fn insert(&mut self, hash: Hash, now: Instant) {
        if self.0.len() >= MAX_SESSIONS && !self.0.contains_key(&hash) {
            self.0.retain(|_, seen| now.duration_since(*seen) <= GRACE);
            if self.0.len() >= MAX_SESSIONS {
                self.0.clear();
            }
        }
        self.0.insert(hash, now);
    }

    fn contains(&self, hash: &Hash, now: Instant) -> bool {
        self.0.get(hash).is_some_and(|seen| now.duration_since(*seen) <= GRACE)
    }
}

fn hash(cookie: &str) -> Hash {
    Sha256::digest(cookie.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_session_stays_valid_for_the_grace_period() {
        let (mut valid, start) = (ValidSessions::default(), Instant::now());
        valid.insert(hash("a"), start);
        assert!(valid.contains(&hash("a"), start + GRACE) && !valid.contains(&hash("b"), start));
        assert!(!valid.contains(&hash("a"), start + GRACE + Duration::from_millis(1)));
    }

    #[test]
    fn number_of_remembered_sessions_is_bounded() {
        let (mut valid, start) = (ValidSessions::default(), Instant::now());
        for i in 0..MAX_SESSIONS {
            valid.insert(hash(&i.to_string()), start);
        }
        let later = start + GRACE + Duration::from_secs(1);
        valid.insert(hash("0"), later);
        assert_eq!(valid.0.len(), MAX_SESSIONS);
        valid.insert(hash("new"), later);
        assert_eq!(valid.0.len(), 2, "expired entries are removed first");
    }
}
