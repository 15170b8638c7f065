//! Follows `control.v1` into Redis.
//!
//! Every ingest worker runs one; they need not know of each other, for an event is applied only where nothing newer
//! stands. A Redis that is empty, lost its last writes or follows another log is filled again; until that is done its
//! position says so, and nobody believes it.

use crate::control_log::{self, ControlReader, ControlWriter, LogError};
use crate::projection::Projection;
use proto::topics::Topics;
use redis::RedisError;
use redis_access::Redis;
use service::connections::Connections;
use service::kafka::KafkaBrokers;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often Redis is asked whether it still knows what it was told.
const CHECK: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_secs(1);

/// Why the projector had to begin anew.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    #[error("Redis lost what it had been told, or a command fills it anew; filling it again")]
    MemoryLost,
}

/// The projector of one installation.
pub struct Projector {
    brokers: KafkaBrokers,
    topics: Topics,
    /// Writes the log's certificate of birth if it has none.
    writer: ControlWriter,
    projection: Projection,
    redis: Redis,
}

impl Projector {
    /// The projector of the installation that `common` names. Fails only if Redis's address cannot be read.
    pub fn new(
        connections: &Connections,
        namespace: &str,
        writer: ControlWriter,
    ) -> Result<Self, RedisError> {
        Ok(Self {
            brokers: connections.kafka.clone(),
            topics: Topics::new(namespace),
            writer,
            projection: Projection::new(namespace),
            redis: redis_access::connect(&connections.redis)?,
        })
    }

    /// Follows the log until `stop`; whatever fails is tried again. `following` is told whether Redis is up to date.
    pub async fn run(mut self, stop: CancellationToken, following: impl Fn(bool)) {
        let work = async {
            loop {
                let Err(interruption) = self.follow(&following).await;
                following(false);
                tracing::warn!(%interruption, "the projection of the control log was interrupted");
                tokio::time::sleep(RETRY).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
    }

    async fn follow(&mut self, following: &impl Fn(bool)) -> Result<std::convert::Infallible, Interruption> {
        let log = control_log::log_id(&self.brokers, &self.topics, &self.writer).await?;
        let mut next = match self.projection.position(&mut self.redis).await? {
            Some(position) if position.log == log => position.next,
            _ => {
                tracing::info!(%log, "filling Redis from the control log");
                self.projection.begin(&mut self.redis, &log).await?;
                0
            }
        };
        let end = control_log::end(&self.brokers, &self.topics).await?;
        let reader = ControlReader::from(&self.brokers, &self.topics, next)?;
        loop {
            let filled = next >= end;
            following(filled);
            let event = match tokio::time::timeout(CHECK, reader.next()).await {
                Ok(event) => Some(event?),
                Err(_) => None,
            };
            let expected = next;
            if let Some(event) = event {
                self.projection.apply(&mut self.redis, &log, &event).await?;
                next = event.offset + 1;
            }
            if !self.projection.advance(&mut self.redis, &log, expected, next, next >= end).await? {
                return Err(Interruption::MemoryLost);
            }
        }
    }
}
