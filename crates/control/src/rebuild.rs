//! Fills Redis anew from the control log, while services run.
//!
//! Whatever stands there may be wrong: states, their offsets, entities that never were. So all of it goes, then the log
//! is read from its beginning. From the first step to the last the position says that nothing is to be believed, and the
//! projectors, which fill as well as they notice, cannot say otherwise ([`Hold`]). What is written meanwhile is applied
//! as ever: the end of the log is read after everything is gone. Quotas and claims of idempotency keys are no part of
//! the projection, and stay.

use crate::control_log::{self, ControlWriter, LogError};
use crate::projection::{Hold, Projection};
use proto::topics::Topics;
use redis::RedisError;
use redis::aio::ConnectionManager;
use redis_access::Servers;
use service::connections::Connections;
use std::time::Duration;

/// So long nobody else may call Redis filled, without a sign of life of the one who fills it.
const HOLD: Duration = Duration::from_secs(60);
/// Between two signs of life: so many names are looked at, so many entities written.
const BATCH: usize = 500;

/// Why Redis was not filled anew. It is believed again once the workers have filled it, or another try has.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Redis did not do what was asked.
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    /// Another command does the same.
    #[error("another command is filling Redis: wait until it has ended, or a minute if it was killed")]
    Held,
    /// It stood still for too long, and others went on.
    #[error("this command stood still for more than {} s, so others may have filled Redis: run it again", HOLD.as_secs())]
    TooSlow,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many entities were taken out.
    Removed(usize),
    /// So many of so many were put back.
    Filled(usize, usize),
}

/// Fills the Redis of the installation that `common` names; tells the number of entities.
pub async fn rebuild(
    connections: &Connections,
    namespace: &str,
    writer: &ControlWriter,
    mut progress: impl FnMut(Progress),
) -> Result<usize, RebuildError> {
    let topics = Topics::new(namespace);
    let log = control_log::log_id(&connections.kafka, &topics, writer).await?;
    let projection = Projection::new(namespace);
    // All of it is on one server, and only that one can list what it has.
    let holder = Servers::new(&connections.redis)?.server_of(&projection.position_key()).await?;
    let redis = redis_access::managed(holder)?;
    let holder = uuid::Uuid::new_v4().to_string();
    let mut rebuild = Rebuild { projection, redis, log, holder };
    if !rebuild.hold(Hold::Begin).await? {
        return Err(RebuildError::Held);
    }
    rebuild.sweep(&mut progress).await?;
    let (events, end) = control_log::snapshot(&connections.kafka, &topics).await?;
    for (index, event) in events.iter().enumerate() {
        if index % BATCH == 0 {
            rebuild.renew().await?;
            progress(Progress::Filled(index, events.len()));
        }
        rebuild.projection.apply(&mut rebuild.redis, &rebuild.log, event).await?;
    }
    if !rebuild.hold(Hold::Release).await? {
        return Err(RebuildError::TooSlow);
    }
    if !rebuild.projection.advance(&mut rebuild.redis, &rebuild.log, 0, end, true).await? {
        return Err(RebuildError::Held);
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
    async fn hold(&mut self, what: Hold) -> Result<bool, RedisError> {
        self.projection.hold(&mut self.redis, what, &self.holder, HOLD, &self.log).await
    }

    async fn renew(&mut self) -> Result<(), RebuildError> {
        if self.hold(Hold::Renew).await? { Ok(()) } else { Err(RebuildError::TooSlow) }
    }

    /// Takes every entity out.
    async fn sweep(&mut self, progress: &mut impl FnMut(Progress)) -> Result<(), RebuildError> {
        let (mut cursor, mut removed) = (0_u64, 0);
        loop {
            let (next, names): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(format!("{}:*", self.projection.slot()))
                .arg("COUNT")
                .arg(BATCH)
                .query_async(&mut self.redis)
                .await?;
            let entities = names.iter().filter(|name| Projection::entity_in(name).is_some());
            let entities: Vec<&Vec<u8>> = entities.collect();
            self.renew().await?;
            for name in &entities {
                redis::cmd("UNLINK").arg(name.as_slice()).query_async::<()>(&mut self.redis).await?;
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
