//! Applies `control.v1` to its Redis projection, continuously.
//!
//! Every ingest worker runs a projector. They need no coordination, because an event never overwrites a newer one. If
//! Redis is empty, lost its last writes or was filled from another log, the projector fills it again. Until that is
//! complete, the position marks the projection as not usable.

use crate::control_log::{self, ControlReader, ControlWriter, LogError};
use crate::projection::Projection;
use proto::topics::Topics;
use redis::RedisError;
use redis_access::Redis;
use service::connections::Connections;
use service::kafka::KafkaBrokers;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Maximum interval between checks that Redis still has the position last written.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Why the projector has to start again.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    #[error("Redis lost its position, or a command is rebuilding the projection")]
    PositionLost,
}

/// Projector of one installation.
pub struct Projector {
    brokers: KafkaBrokers,
    topics: Topics,
    /// Writes the log's id if it has none.
    writer: ControlWriter,
    projection: Projection,
    redis: Redis,
}

impl Projector {
    /// Creates the projector of the installation `namespace`. Fails only if the address of Redis is invalid.
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

    /// Follows the log until `stop` and retries after every failure. Calls `following` with whether the projection
    /// is up to date.
    pub async fn run(mut self, stop: CancellationToken, following: impl Fn(bool)) {
        let work = async {
            loop {
                let Err(interruption) = self.follow(&following).await;
                following(false);
                tracing::warn!(%interruption, "projector interrupted; retrying");
                tokio::time::sleep(RETRY_INTERVAL).await;
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
                tracing::info!(%log, "filling the Redis projection from the control log");
                self.projection.reset(&mut self.redis, &log).await?;
                0
            }
        };
        let end = control_log::end_offset(&self.brokers, &self.topics).await?;
        let reader = ControlReader::starting_at(&self.brokers, &self.topics, next)?;
        loop {
            let filled = next >= end;
            following(filled);
            let event = match tokio::time::timeout(CHECK_INTERVAL, reader.next()).await {
                Ok(event) => Some(event?),
                Err(_) => None,
            };
            let expected = next;
            if let Some(event) = event {
                self.projection.apply(&mut self.redis, &log, &event).await?;
                next = event.offset + 1;
            }
            if !self.projection.advance(&mut self.redis, &log, expected, next, next >= end).await? {
                return Err(Interruption::PositionLost);
            }
        }
    }
}
