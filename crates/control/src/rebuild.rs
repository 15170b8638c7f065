//! Rebuilds the Redis projection from the control log while services run.
//!
//! Anything in the projection may be wrong: states, their offsets, entities that never existed. So the rebuild
//! removes every entity and then applies the log from its start. Until it completes, the position marks the
//! projection as not usable. Projectors notice and start to fill it as well, but the rebuild lease
//! (`rebuild_lease.lua`) keeps them from marking it as filled. Events published meanwhile are not lost: the end of
//! the log is read after the removal. Quotas and claims of idempotency keys are not part of the projection and
//! stay.

use crate::control_log::{self, ControlWriter, LogError};
use crate::projection::{Projection, RebuildLease};
use proto::topics::Topics;
use redis::RedisError;
use redis::aio::ConnectionManager;
use redis_access::Servers;
use service::connections::Connections;
use std::time::Duration;

/// Length of the rebuild lease from each renewal.
const LEASE: Duration = Duration::from_secs(60);
/// Number of keys scanned, or events applied, between two renewals of the lease.
const BATCH: usize = 500;

/// Why a rebuild failed. The projection becomes usable again once a worker or another rebuild has filled it.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Redis failed.
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    /// Another command is rebuilding the projection.
    #[error(
        "another command is rebuilding the Redis projection: wait until it has ended, or one minute if it was killed"
    )]
    AlreadyRunning,
    /// The rebuild stalled and its lease expired, so others may have filled Redis.
    #[error(
        "the rebuild made no progress for more than {} s and lost its lease: run it again",
        LEASE.as_secs()
    )]
    LeaseLost,
}

/// Progress of a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Number of entities removed so far.
    Removed(usize),
    /// Number of events applied so far, and the total number.
    Filled(usize, usize),
}

/// Rebuilds the Redis projection of the installation `namespace`. Returns the number of entities.
pub async fn rebuild(
    connections: &Connections,
    namespace: &str,
    writer: &ControlWriter,
    mut progress: impl FnMut(Progress),
) -> Result<usize, RebuildError> {
    let topics = Topics::new(namespace);
    let log = control_log::log_id(&connections.kafka, &topics, writer).await?;
    let projection = Projection::new(namespace);
    // The projection is on one server, and SCAN lists only the keys of the server that it runs on.
    let server = Servers::new(&connections.redis)?.server_of(&projection.position_key()).await?;
    let redis = redis_access::managed(server)?;
    let holder = uuid::Uuid::new_v4().to_string();
    let mut rebuild = Rebuild { projection, redis, log, holder };
    if !rebuild.lease(RebuildLease::Acquire).await? {
        return Err(RebuildError::AlreadyRunning);
    }
    rebuild.remove_entities(&mut progress).await?;
    let (events, end) = control_log::snapshot(&connections.kafka, &topics).await?;
    for (index, event) in events.iter().enumerate() {
        if index % BATCH == 0 {
            rebuild.renew().await?;
            progress(Progress::Filled(index, events.len()));
        }
        rebuild.projection.apply(&mut rebuild.redis, &rebuild.log, event).await?;
    }
    if !rebuild.lease(RebuildLease::Release).await? {
        return Err(RebuildError::LeaseLost);
    }
    if !rebuild.projection.advance(&mut rebuild.redis, &rebuild.log, 0, end, true).await? {
        return Err(RebuildError::AlreadyRunning);
    }
    progress(Progress::Filled(events.len(), events.len()));
    Ok(events.iter().filter(|event| event.value.is_some()).count())
}

struct Rebuild {
    projection: Projection,
    redis: ConnectionManager,
    log: String,
    holder: String,
}

impl Rebuild {
    async fn lease(&mut self, operation: RebuildLease) -> Result<bool, RedisError> {
        self.projection.rebuild_lease(&mut self.redis, operation, &self.holder, LEASE, &self.log).await
    }

    async fn renew(&mut self) -> Result<(), RebuildError> {
        if self.lease(RebuildLease::Renew).await? { Ok(()) } else { Err(RebuildError::LeaseLost) }
    }

    /// Removes every entity.
    async fn remove_entities(&mut self, progress: &mut impl FnMut(Progress)) -> Result<(), RebuildError> {
        let (mut cursor, mut removed) = (0_u64, 0);
        loop {
            let (next, keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(format!("{}:*", self.projection.key_prefix()))
                .arg("COUNT")
                .arg(BATCH)
                .query_async(&mut self.redis)
                .await?;
            let entities = keys.iter().filter(|key| Projection::entity_in(key).is_some());
            let entities: Vec<&Vec<u8>> = entities.collect();
            self.renew().await?;
            for key in &entities {
                redis::cmd("UNLINK").arg(key.as_slice()).query_async::<()>(&mut self.redis).await?;
            }
            removed += entities.len();
            progress(Progress::Removed(removed));
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }
}
