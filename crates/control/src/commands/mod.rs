//! Commands: take the entity's lock, look, publish the new state to the log, apply it to Redis, answer.
//!
//! What a command answers is true everywhere: it is in the log on all in-sync replicas, and in Redis. Commands on one
//! entity follow one another ([`lock`]). A crash between two events of a command leaves something harmless: each command
//! says in which order it publishes them, and why. A fresh secret is shown by an answer alone, so a key whose command
//! did not come to its end is one that nobody has.

mod connections;
mod deletions;
mod keys;
pub mod lock;
mod owned;
mod projects;
mod rotation;

pub use connections::Rotated;
pub use projects::ProjectChange;

use crate::control_log::{self, ControlWriter, LogError};
use crate::directory::Directory;
use crate::projection::{Projection, ReadError};
use crate::token::Token;
use lock::{Lock, Times};
use proto::topics::Topics;
use proto::v1::{ApiKey, Entity, Removal, Revocation, Scope, entity::Kind};
use redis_access::Redis;
use service::clock::now_ms;
use service::kafka::KafkaBrokers;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long Kafka may take to acknowledge a command.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The log could not be written. The event may still arrive.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Redis could not be read, or not told.
    #[error(transparent)]
    Redis(#[from] ReadError),
    /// There is no such plan.
    #[error("there is no plan `{0}`")]
    UnknownPlan(String),
    /// What is to be changed is not there.
    #[error("there is nothing to be changed")]
    NotFound,
    /// It has another version than the one that the change was made for.
    #[error("it was changed meanwhile")]
    VersionMismatch,
    /// Another command holds the entity. Nothing was changed.
    #[error("another change of it is under way")]
    Busy,
    /// More replaced keys of one connection are in their grace than may be.
    #[error("too many replaced keys are in their grace")]
    TooManyKeys,
    /// The command took too long to publish (all of) what it was about to.
    #[error("the command took too long to be published")]
    TooLate,
}

impl From<redis::RedisError> for CommandError {
    fn from(error: redis::RedisError) -> Self {
        Self::Redis(error.into())
    }
}

/// Which version a change was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Any that there is.
    Any,
    /// One of these.
    OneOf(Vec<u64>),
}

impl Expected {
    /// An error if `version` is not what the change was made for.
    pub fn check(&self, version: u64) -> Result<(), CommandError> {
        match self {
            Self::OneOf(versions) if !versions.contains(&version) => Err(CommandError::VersionMismatch),
            _ => Ok(()),
        }
    }
}

/// Carries commands out. Clones share its connections.
#[derive(Clone)]
pub struct Commands {
    brokers: KafkaBrokers,
    topics: Topics,
    writer: ControlWriter,
    projection: Projection,
    directory: Directory,
    redis: Redis,
    log_id: Arc<OnceCell<String>>,
    times: Times,
}

impl Commands {
    /// Commands of one installation.
    pub fn new(brokers: &KafkaBrokers, namespace: &str, redis: Redis) -> Result<Self, LogError> {
        let topics = Topics::new(namespace);
        Ok(Self {
            writer: ControlWriter::new(brokers, &topics, PUBLISH_TIMEOUT)?,
            brokers: brokers.clone(),
            topics,
            projection: Projection::new(namespace),
            directory: Directory::new(namespace, redis.clone()),
            redis,
            log_id: Arc::default(),
            times: Times::default(),
        })
    }

    /// The same with other times for locks.
    pub fn with_times(self, times: Times) -> Self {
        Self { times, ..self }
    }

    async fn lock(&self, id: &str) -> Result<Lock, CommandError> {
        Lock::acquire(self.redis.clone(), self.projection.names().key("lock", id), self.times).await
    }

    /// Publishes and applies, one after the other, for as long as the lock lets it.
    async fn carry_out(
        &self,
        lock: &mut Lock,
        entities: impl IntoIterator<Item = Kind> + Send,
    ) -> Result<(), CommandError> {
        let find = || control_log::log_id(&self.brokers, &self.topics, &self.writer);
        let log = self.log_id.get_or_try_init(find).await?;
        let mut redis = self.redis.clone();
        let entities: Vec<Kind> = entities.into_iter().collect();
        for kind in entities {
            lock.begin_event()?;
            let event = self.writer.publish(&Entity { kind: Some(kind) }).await?;
            self.projection.apply(&mut redis, log, &event).await?;
            lock.end_event();
        }
        Ok(())
    }
}

fn new_key(project_id: &str, name: &str, scopes: Vec<Scope>, connection_id: &str) -> (ApiKey, Token) {
    let token = Token::generate();
    let key = ApiKey {
        key_id: token.key_id().to_owned(),
        project_id: project_id.to_owned(),
        name: name.to_owned(),
        scopes: scopes.into_iter().map(i32::from).collect(),
        secret_hash: token.hash().to_vec(),
        connection_id: connection_id.to_owned(),
        created_at_ms: now_ms(),
        hint: token.hint(),
    };
    (key, token)
}

fn revocation(key_id: &str, now: i64) -> Kind {
    Kind::Revocation(Revocation { key_id: key_id.to_owned(), revoked_at_ms: now })
}

fn removal(removed_id: &str, project_id: &str) -> Kind {
    let (removed_id, project_id) = (removed_id.to_owned(), project_id.to_owned());
    Kind::Removal(Removal { removed_id, project_id, removed_at_ms: now_ms() })
}
