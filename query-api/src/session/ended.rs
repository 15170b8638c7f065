//! Sessions that were ended before their time.
//!
//! A cookie is sealed and nothing of it is stored; what is remembered is that it was ended: in Redis, by a hash of it, for
//! as long as any session lasts. The promise:
//! - Once its end was answered, no replica takes the cookie. Each request with a cookie asks Redis, by one `EXISTS`.
//! - While Redis cannot be reached or believed, sessions are as keys are: one that was good within [`GRACE`] goes on, and
//!   its end may not be seen; of all others it cannot be told.
//! - It is no part of the control log. If Redis loses its memory, cookies that were ended are taken again until their time
//!   is over, their key is revoked or the operator's token is another one.

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

/// How long a session that was good goes on while Redis is away: as long as a key.
const GRACE: Duration = Duration::from_secs(60);
/// How long Redis may take to answer.
const ANSWER: Duration = Duration::from_secs(1);
/// So many good sessions are remembered at most; more only cost what goes on while Redis is away.
const MOST: usize = 10_000;

/// Knows which sessions were ended.
pub struct EndedSessions {
    names: KeyNames,
    redis: Redis,
    good: Mutex<Good>,
}

/// When sessions were last seen not to be ended, by their hashes.
#[derive(Default)]
struct Good(HashMap<Hash, Instant>);

type Hash = [u8; 32];

impl EndedSessions {
    /// Of the installation `namespace`.
    pub fn new(namespace: &str, redis: Redis) -> Self {
        Self { names: KeyNames::new(namespace), redis, good: Mutex::default() }
    }

    /// Ends the session of `cookie`, which we sealed.
    pub async fn end(&self, cookie: &str) -> Result<(), Error> {
        let hash = hash(cookie);
        let mut set = redis::cmd("SET");
        set.arg(self.name(&hash)).arg(1).arg("EX").arg(AGE.as_secs());
        self.good().0.remove(&hash);
        self.ask::<()>(&set).await.ok_or(Error::Unavailable(Unavailable::Command))
    }

    /// An error unless the session of `cookie`, which we sealed, goes on. `believed`: Redis is reached and believed, as far
    /// as is known.
    pub async fn check(&self, cookie: &str, believed: bool) -> Result<(), Error> {
        let hash = hash(cookie);
        let mut exists = redis::cmd("EXISTS");
        exists.arg(self.name(&hash));
        let ended = if believed { self.ask(&exists).await } else { None };
        let now = Instant::now();
        match ended {
            Some(true) => Err(Error::InvalidSession),
            Some(false) => {
                self.good().note(hash, now);
                Ok(())
            }
            None if self.good().was(&hash, now) => Ok(()),
            None => Err(Error::Unavailable(Unavailable::Sessions)),
        }
    }

    async fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> Option<T> {
        let mut redis = self.redis.clone();
        let answer =
            async { command.query_async(&mut redis).await.map_err(|error: RedisError| error.to_string()) };
        let answer =
            tokio::time::timeout(ANSWER, answer).await.unwrap_or_else(|_| Err("no answer".to_owned()));
        answer.inspect_err(|error| tracing::warn!(error, "Redis does not say which sessions were ended")).ok()
    }

    fn name(&self, hash: &Hash) -> String {
        let mut id = String::with_capacity(2 * hash.len());
        for byte in hash {
            // Writing to a string does not fail.
            let _ = write!(id, "{byte:02x}");
        }
        self.names.key("session-ended", &id)
    }

    fn good(&self) -> MutexGuard<'_, Good> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Good {
    fn note(&mut self, hash: Hash, now: Instant) {
        if self.0.len() >= MOST && !self.0.contains_key(&hash) {
            self.0.retain(|_, seen| now.duration_since(*seen) <= GRACE);
            if self.0.len() >= MOST {
                self.0.clear();
            }
        }
        self.0.insert(hash, now);
    }

    fn was(&self, hash: &Hash, now: Instant) -> bool {
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
    fn a_session_that_was_good_goes_on_for_the_grace_and_no_longer() {
        let (mut good, begun) = (Good::default(), Instant::now());
        good.note(hash("a"), begun);
        assert!(good.was(&hash("a"), begun + GRACE) && !good.was(&hash("b"), begun));
        assert!(!good.was(&hash("a"), begun + GRACE + Duration::from_millis(1)));
    }

    #[test]
    fn no_more_sessions_are_remembered_than_there_is_room_for() {
        let (mut good, begun) = (Good::default(), Instant::now());
        for i in 0..MOST {
            good.note(hash(&i.to_string()), begun);
        }
        let later = begun + GRACE + Duration::from_secs(1);
        good.note(hash("0"), later);
        assert_eq!(good.0.len(), MOST);
        good.note(hash("new"), later);
        assert_eq!(good.0.len(), 2, "what is too old went first");
    }
}
