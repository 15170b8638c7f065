use super::error::CommandError;
use super::lock::{Lock, Times};
use crate::control_log::{self, ControlWriter, LogError, PUBLISH_TIMEOUT};
use crate::directory::Directory;
use crate::projection::Projection;
use proto::topics::Topics;
use proto::v1::{Entity, entity::Kind};
use redis_access::Redis;
use service::kafka::KafkaBrokers;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Executes commands. Clones share the connections.
#[derive(Clone)]
pub struct Commands {
    pub(super) brokers: KafkaBrokers,
    pub(super) topics: Topics,
    writer: ControlWriter,
    pub(super) projection: Projection,
    pub(super) directory: Directory,
    pub(super) redis: Redis,
    log_id: Arc<OnceCell<String>>,
    lock_times: Times,
}

impl Commands {
    /// Creates an executor for the installation `namespace`.
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
            lock_times: Times::default(),
        })
    }

    /// Replaces the time limits of the locks.
    pub fn with_lock_times(self, lock_times: Times) -> Self {
        Self { lock_times, ..self }
    }

    pub(super) async fn lock(&self, id: &str) -> Result<Lock, CommandError> {
        Lock::acquire(self.redis.clone(), self.projection.names().key("lock", id), self.lock_times).await
    }

    /// Publishes and applies each entity in turn. Stops when the lock is too old to publish another event.
    pub(super) async fn publish_and_apply(
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
