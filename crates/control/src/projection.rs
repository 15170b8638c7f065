//! The Redis projection of `control.v1`: its keys, applying events, reading entities.
//!
//! An entity is a hash `<prefix>:{<prefix>}:<kind>:<id>` with its state, and the log id and offset of the event
//! that produced it. A state from another log than the position's is ignored. The braces keep the whole projection
//! in one slot of a Redis Cluster, so a node that loses the entities loses the position too. Listed entities also
//! have an index entry.

use crate::control_log::Event;
use crate::index::{self, Index};
use proto::control::{EntityKey, EntityKind};
use proto::v1::{Entity, entity::Kind};
use proto::{DecodeError, Message as _};
use redis::aio::ConnectionLike;
use redis::{Pipeline, RedisError, Script};
use redis_access::KeyNames;
use std::sync::LazyLock;
use std::time::Duration;

static APPLY: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("apply.lua")));
static ADVANCE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("advance.lua")));
static REBUILD_LEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("rebuild_lease.lua")));

/// Why the projection could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Redis is unavailable.
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    /// The projection is empty, behind or filled from another log, and must be filled before it can be used.
    #[error("the Redis projection is not yet filled from the control log")]
    NotFilled,
    /// An entity's state cannot be decoded by this version.
    #[error("an entity in Redis cannot be decoded: {0}")]
    Undecodable(#[from] DecodeError),
}

/// Position up to which the projection has applied the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Log id.
    pub log: String,
    /// First offset that may not have been applied.
    pub next: i64,
    /// True if everything that the log contained when filling began has been applied.
    pub filled: bool,
}

/// Operation on the rebuild lease, which keeps the projection unusable while a command rebuilds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RebuildLease {
    /// Acquires the lease and resets the position, so the projection is not usable from here on.
    Acquire,
    /// Extends the lease.
    Renew,
    /// Releases the lease. The projection may be marked as filled again.
    Release,
}

/// Redis projection of one installation.
#[derive(Debug, Clone)]
pub struct Projection {
    names: KeyNames,
}

impl Projection {
    /// Returns the projection of the installation `namespace`.
    pub fn new(namespace: &str) -> Self {
        Self { names: KeyNames::new(namespace) }
    }

    /// Returns the names of the installation's keys.
    pub fn names(&self) -> &KeyNames {
        &self.names
    }

    /// Returns the Redis key of an entity.
    pub fn entity_key(&self, kind: EntityKind, id: &str) -> String {
        format!("{}:{}:{id}", self.key_prefix(), kind.as_str())
    }

    /// Returns the prefix of all keys of the projection. No other key has it.
    pub(crate) fn key_prefix(&self) -> String {
        self.names.projection_prefix()
    }

    /// Parses a key that [`Self::entity_key`] returned.
    pub fn entity_in(key: &[u8]) -> Option<(EntityKind, &str)> {
        let (_, key) = std::str::from_utf8(key).ok()?.split_once("}:")?;
        let (kind_name, id) = key.split_once(':')?;
        let kind = EntityKind::ALL.iter().copied().find(|kind| kind.as_str() == kind_name)?;
        Some((kind, id))
    }

    /// Returns the key of the position. Its number is incremented when the way in which events are applied
    /// changes, which makes projectors fill the projection again from the start.
    pub(crate) fn position_key(&self) -> String {
        format!("{}:position-4", self.key_prefix())
    }

    fn index_key(&self, index: &Index) -> String {
        let (kind, owner) = index.name();
        format!("{}:index-{kind}:{owner}", self.key_prefix())
    }

    /// Applies one event. Returns whether it was newer than the entity in Redis. The index entry is written first: an
    /// entry without an entity is skipped, but an entity without an entry would never be listed.
    pub async fn apply(
        &self,
        connection: &mut impl ConnectionLike,
        log: &str,
        event: &Event,
    ) -> Result<bool, RedisError> {
        let Some(EntityKey { kind, id }) = &event.key else { return Ok(false) };
        if let Some((index, entry)) = event.value.as_deref().and_then(|value| index::entry_of(*kind, value)) {
            redis::cmd("ZADD")
                .arg(self.index_key(&index))
                .arg(0)
                .arg(entry.to_string())
                .query_async::<()>(connection)
                .await?;
        }
        let applied: i32 = APPLY
            .key(self.entity_key(*kind, id))
            .arg(log)
            .arg(event.offset)
            .arg(i32::from(event.value.is_some()))
            .arg(event.value.as_deref().unwrap_or_default())
            .invoke_async(connection)
            .await?;
        Ok(applied == 1)
    }

    /// Reads the position. None if Redis is empty.
    pub async fn position(
        &self,
        connection: &mut impl ConnectionLike,
    ) -> Result<Option<Position>, RedisError> {
        let fields: (Option<String>, Option<i64>, Option<i32>) = redis::cmd("HMGET")
            .arg(self.position_key())
            .arg(&["log", "next", "filled"])
            .query_async(connection)
            .await?;
        Ok(position(fields))
    }

    /// Resets the position to the start of `log`. The projection is not usable until it has been filled.
    pub async fn reset(&self, connection: &mut impl ConnectionLike, log: &str) -> Result<(), RedisError> {
        redis::pipe()
            .atomic()
            .del(self.position_key())
            .hset_multiple(self.position_key(), &[("log", log), ("next", "0")])
            .query_async(connection)
            .await
    }

    /// Acquires, renews or releases the rebuild lease, which lasts for `length` from now. Returns false if another
    /// holder has the lease or, for a renewal or release, if it has expired.
    pub(crate) async fn rebuild_lease(
        &self,
        connection: &mut impl ConnectionLike,
        operation: RebuildLease,
        holder: &str,
        length: Duration,
        log: &str,
    ) -> Result<bool, RedisError> {
        let operation = match operation {
            RebuildLease::Acquire => "acquire",
            RebuildLease::Renew => "renew",
            RebuildLease::Release => "release",
        };
        let done: i32 = REBUILD_LEASE
            .key(self.position_key())
            .arg(operation)
            .arg(holder)
            .arg(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
            .arg(log)
            .invoke_async(connection)
            .await?;
        Ok(done == 1)
    }

    /// Advances the position from `expected` to `next`. Returns false if the position in Redis is below
    /// `expected`, which means that Redis lost data or a command is rebuilding the projection.
    pub async fn advance(
        &self,
        connection: &mut impl ConnectionLike,
        log: &str,
        expected: i64,
        next: i64,
        filled: bool,
    ) -> Result<bool, RedisError> {
        let advanced: i32 = ADVANCE
            .key(self.position_key())
            .arg(log)
            .arg(expected)
            .arg(next)
            .arg(i32::from(filled))
            .invoke_async(connection)
            .await?;
        Ok(advanced == 1)
    }

    /// Reads entities and the position in one round trip. Fails unless the position is usable. `at_least` is the
    /// highest position that the caller knows of.
    pub async fn read<const N: usize>(
        &self,
        connection: &mut impl ConnectionLike,
        entities: [(EntityKind, &str); N],
        at_least: Option<&Position>,
    ) -> Result<([Option<Kind>; N], Position), ReadError> {
        let (found, position) = self.read_all(connection, &entities, at_least).await?;
        let mut states = [const { None }; N];
        for (state, found) in states.iter_mut().zip(found) {
            *state = found;
        }
        Ok((states, position))
    }

    /// Like [`Self::read`], for any number of entities.
    pub async fn read_all(
        &self,
        connection: &mut impl ConnectionLike,
        entities: &[(EntityKind, &str)],
        at_least: Option<&Position>,
    ) -> Result<(Vec<Option<Kind>>, Position), ReadError> {
        let mut pipeline = Pipeline::new();
        for (kind, id) in entities {
            pipeline.cmd("HMGET").arg(self.entity_key(*kind, id)).arg(&["v", "l"]);
        }
        pipeline.cmd("HMGET").arg(self.position_key()).arg(&["log", "next", "filled"]);
        let mut answers: Vec<redis::Value> = pipeline.query_async(connection).await?;
        let fields = answers.pop().unwrap_or(redis::Value::Nil);
        let position = position(redis::from_redis_value(fields).map_err(RedisError::from)?);
        let position =
            position.filter(|position| position.is_usable(at_least)).ok_or(ReadError::NotFilled)?;
        let mut states = Vec::with_capacity(entities.len());
        for answer in answers {
            let (state, log): (Option<Vec<u8>>, Option<String>) =
                redis::from_redis_value(answer).map_err(RedisError::from)?;
            states.push(match state {
                Some(state) if log.as_deref() == Some(&position.log) => {
                    Entity::decode(state.as_slice())?.kind
                }
                _ => None,
            });
        }
        Ok((states, position))
    }

    /// Returns the number of entries of `index` and the last one, and the position.
    pub(crate) async fn index_summary(
        &self,
        connection: &mut impl ConnectionLike,
        index: &Index,
        at_least: Option<&Position>,
    ) -> Result<(u64, Option<String>, Position), ReadError> {
        let (count, last, fields): (u64, Vec<String>, _) = redis::pipe()
            .cmd("ZCARD")
            .arg(self.index_key(index))
            .cmd("ZRANGE")
            .arg(self.index_key(index))
            .arg(&["-1", "-1"])
            .cmd("HMGET")
            .arg(self.position_key())
            .arg(&["log", "next", "filled"])
            .query_async(connection)
            .await?;
        let position = position(fields).filter(|position| position.is_usable(at_least));
        Ok((count, last.into_iter().next(), position.ok_or(ReadError::NotFilled)?))
    }

    /// Returns up to `count` entries of `index` after `after`, in order. Their entities may have been removed or
    /// may not exist yet.
    pub(crate) async fn index_entries(
        &self,
        connection: &mut impl ConnectionLike,
        index: &Index,
        after: Option<&str>,
        count: usize,
    ) -> Result<Vec<String>, RedisError> {
        redis::cmd("ZRANGE")
            .arg(self.index_key(index))
            .arg(after.map_or_else(|| "-".to_owned(), |entry| format!("({entry}")))
            .arg("+")
            .arg(&["BYLEX", "LIMIT", "0"])
            .arg(count)
            .query_async(connection)
            .await
    }
}

fn position((log, next, filled): (Option<String>, Option<i64>, Option<i32>)) -> Option<Position> {
    Some(Position { log: log?, next: next?, filled: filled == Some(1) })
}

impl Position {
    /// Returns whether a projection at this position may be used. `at_least` is a position that was reached before: a
    /// lower one in the same log means that Redis lost data.
    pub fn is_usable(&self, at_least: Option<&Position>) -> bool {
        self.filled && at_least.is_none_or(|reached| reached.log != self.log || reached.next <= self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_key_is_parsed_back() {
        let projection = Projection::new("test");
        let key = projection.entity_key(EntityKind::Revocation, "abc");
        assert_eq!(key, "tidemark-test:{tidemark-test}:revocation:abc");
        assert_eq!(Projection::entity_in(key.as_bytes()), Some((EntityKind::Revocation, "abc")));
        assert_eq!(Projection::entity_in(projection.position_key().as_bytes()), None);
        assert_eq!(Projection::entity_in(b"tidemark:quota:{abc}"), None);
    }

    #[test]
    fn projection_that_is_unfilled_or_went_back_is_not_usable() {
        let at = |next, filled| Position { log: "a".to_owned(), next, filled };
        assert!(at(5, true).is_usable(None));
        assert!(at(5, true).is_usable(Some(&at(5, true))));
        assert!(!at(5, false).is_usable(None));
        assert!(!at(4, true).is_usable(Some(&at(5, true))));
    }
}
