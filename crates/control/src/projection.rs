//! The projection of `control.v1` in Redis: where things are, how an event is applied, how they are read.
//!
//! An entity is a hash `<prefix>:{<prefix>}:<kind>:<id>` with its state and the place of the event that made it. What stands
//! there from another log than the one that the position names does not count. The braces keep all of it in one slot of a
//! Redis Cluster: a node that loses its memory loses the position too. What is listed has a place in an [`Index`] as well.

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

static APPLY: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("projection.lua")));
static ADVANCE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("position.lua")));
static HOLD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("hold.lua")));

/// Why the projection could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Redis cannot be reached.
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    /// Redis is empty, behind, or filled from another log: it must be filled before it is believed.
    #[error("Redis is being filled from the control log")]
    NotFilled,
    /// A state that this version cannot read.
    #[error("a state in Redis cannot be read: {0}")]
    Undecodable(#[from] DecodeError),
}

/// Up to where Redis is filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The log's id.
    pub log: String,
    /// The first offset that may be missing.
    pub next: i64,
    /// Whether everything that the log held when filling began is there.
    pub filled: bool,
}

/// What is done about holding the projection back while it is filled anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Nothing is believed from here on.
    Begin,
    /// Still at it.
    Renew,
    /// It may be called filled again.
    Release,
}

/// The projection of one installation.
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

    /// Where an entity is.
    pub fn entity_key(&self, kind: EntityKind, id: &str) -> String {
        format!("{}:{}:{id}", self.slot(), kind.as_str())
    }

    /// How the names of all that is in the projection begin, and of nothing else.
    pub(crate) fn slot(&self) -> String {
        self.names.projection_prefix()
    }

    /// The entity in a name that [`Self::entity_key`] made.
    pub fn entity_in(name: &[u8]) -> Option<(EntityKind, &str)> {
        let (_, name) = std::str::from_utf8(name).ok()?.split_once("}:")?;
        let (word, id) = name.split_once(':')?;
        let kind = EntityKind::ALL.iter().copied().find(|kind| kind.as_str() == word)?;
        Some((kind, id))
    }

    /// The number in the name grows when events are applied in another way than before: then everything is filled anew.
    pub(crate) fn position_key(&self) -> String {
        format!("{}:position-4", self.slot())
    }

    fn index_key(&self, index: &Index) -> String {
        let (word, of) = index.name();
        format!("{}:index-{word}:{of}", self.slot())
    }

    /// Applies one event; tells whether it was newer than what stood there. The entity's place in its index comes first:
    /// a place without an entity is passed over, an entity without a place would not be found.
    pub async fn apply(
        &self,
        connection: &mut impl ConnectionLike,
        log: &str,
        event: &Event,
    ) -> Result<bool, RedisError> {
        let Some(EntityKey { kind, id }) = &event.key else { return Ok(false) };
        if let Some((index, place)) = event.value.as_deref().and_then(|value| index::place(*kind, value)) {
            redis::cmd("ZADD")
                .arg(self.index_key(&index))
                .arg(0)
                .arg(place.to_string())
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

    /// The position; none in an empty Redis.
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

    /// Begins to fill from the start of `log`: nothing is believed until it is filled.
    pub async fn begin(&self, connection: &mut impl ConnectionLike, log: &str) -> Result<(), RedisError> {
        redis::pipe()
            .atomic()
            .del(self.position_key())
            .hset_multiple(self.position_key(), &[("log", log), ("next", "0")])
            .query_async(connection)
            .await
    }

    /// Holds the projection back, for at most `time` without another word of `holder`; tells whether it was done.
    pub(crate) async fn hold(
        &self,
        connection: &mut impl ConnectionLike,
        what: Hold,
        holder: &str,
        time: Duration,
        log: &str,
    ) -> Result<bool, RedisError> {
        let word = match what {
            Hold::Begin => "begin",
            Hold::Renew => "renew",
            Hold::Release => "release",
        };
        let done: i32 = HOLD
            .key(self.position_key())
            .arg(word)
            .arg(holder)
            .arg(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
            .arg(log)
            .invoke_async(connection)
            .await?;
        Ok(done == 1)
    }

    /// Moves the position from `expected` to `next`. False if Redis knows less than `expected`: it lost its memory, or
    /// is being filled anew.
    pub async fn advance(
        &self,
        connection: &mut impl ConnectionLike,
        log: &str,
        expected: i64,
        next: i64,
        filled: bool,
    ) -> Result<bool, RedisError> {
        let known: i32 = ADVANCE
            .key(self.position_key())
            .arg(log)
            .arg(expected)
            .arg(next)
            .arg(i32::from(filled))
            .invoke_async(connection)
            .await?;
        Ok(known == 1)
    }

    /// Reads entities with the position that they are to be judged by. `at_least` is the highest position that the
    /// reader knows of.
    pub async fn read<const N: usize>(
        &self,
        connection: &mut impl ConnectionLike,
        wanted: [(EntityKind, &str); N],
        at_least: Option<&Position>,
    ) -> Result<([Option<Kind>; N], Position), ReadError> {
        let (found, position) = self.read_all(connection, &wanted, at_least).await?;
        let mut entities = [const { None }; N];
        for (entity, found) in entities.iter_mut().zip(found) {
            *entity = found;
        }
        Ok((entities, position))
    }

    /// As [`Self::read`], for as many as there are.
    pub async fn read_all(
        &self,
        connection: &mut impl ConnectionLike,
        wanted: &[(EntityKind, &str)],
        at_least: Option<&Position>,
    ) -> Result<(Vec<Option<Kind>>, Position), ReadError> {
        let mut pipeline = Pipeline::new();
        for (kind, id) in wanted {
            pipeline.cmd("HMGET").arg(self.entity_key(*kind, id)).arg(&["v", "l"]);
        }
        pipeline.cmd("HMGET").arg(self.position_key()).arg(&["log", "next", "filled"]);
        let mut answers: Vec<redis::Value> = pipeline.query_async(connection).await?;
        let fields = answers.pop().unwrap_or(redis::Value::Nil);
        let position = position(redis::from_redis_value(fields).map_err(RedisError::from)?);
        let position =
            position.filter(|position| position.believable(at_least)).ok_or(ReadError::NotFilled)?;
        let mut entities = Vec::with_capacity(wanted.len());
        for answer in answers {
            let (state, log): (Option<Vec<u8>>, Option<String>) =
                redis::from_redis_value(answer).map_err(RedisError::from)?;
            entities.push(match state {
                Some(state) if log.as_deref() == Some(&position.log) => {
                    Entity::decode(state.as_slice())?.kind
                }
                _ => None,
            });
        }
        Ok((entities, position))
    }

    /// How many places `index` has and which is the last, with the position that this is to be judged by.
    pub(crate) async fn extent(
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
        let position = position(fields).filter(|position| position.believable(at_least));
        Ok((count, last.into_iter().next(), position.ok_or(ReadError::NotFilled)?))
    }

    /// Up to `count` places of `index` after `after`, in order. What they name may be gone, or never have come.
    pub(crate) async fn places(
        &self,
        connection: &mut impl ConnectionLike,
        index: &Index,
        after: Option<&str>,
        count: usize,
    ) -> Result<Vec<String>, RedisError> {
        redis::cmd("ZRANGE")
            .arg(self.index_key(index))
            .arg(after.map_or_else(|| "-".to_owned(), |place| format!("({place}")))
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
    /// Whether what stands at this position may be believed by one who knows that `at_least` was reached before.
    pub fn believable(&self, at_least: Option<&Position>) -> bool {
        self.filled && at_least.is_none_or(|known| known.log != self.log || known.next <= self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_is_found_again_in_the_name_of_its_entity() {
        let projection = Projection::new("test");
        let name = projection.entity_key(EntityKind::Revocation, "abc");
        assert_eq!(name, "tidemark-test:{tidemark-test}:revocation:abc");
        assert_eq!(Projection::entity_in(name.as_bytes()), Some((EntityKind::Revocation, "abc")));
        assert_eq!(Projection::entity_in(projection.position_key().as_bytes()), None);
        assert_eq!(Projection::entity_in(b"tidemark:quota:{abc}"), None);
    }

    #[test]
    fn a_store_that_is_empty_or_went_back_is_not_believed() {
        let at = |next, filled| Position { log: "a".to_owned(), next, filled };
        assert!(at(5, true).believable(None));
        assert!(at(5, true).believable(Some(&at(5, true))));
        assert!(!at(5, false).believable(None));
        assert!(!at(4, true).believable(Some(&at(5, true))));
    }
}
