//! Generation of the store that is read.
//!
//! The entity `generations` in Redis names it. A request looks it up once and uses that store throughout. A
//! switch takes effect within half a second. While Redis is unavailable the last answer is used for
//! `OUTAGE_GRACE`, as for API keys. If the generation was switched meanwhile, the previous store is still
//! complete except for the newest points, and the watermark reflects that.

use crate::error::Error;
use control::projection::Projection;
use proto::control::{EntityKind, GENERATIONS_ID};
use proto::v1::entity::Kind;
use redis_access::Redis;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Maximum age of an answer that is used without asking Redis.
const MAX_AGE: Duration = Duration::from_millis(500);
/// Maximum age of an answer that is used while Redis is unavailable.
const OUTAGE_GRACE: Duration = Duration::from_secs(60);
/// Timeout of a read from Redis if an earlier answer can be used instead.
const REDIS_TIMEOUT: Duration = Duration::from_millis(300);

/// Looks up the generation that is read.
pub struct Generations {
    projection: Projection,
    redis: Redis,
    /// Last answer. The lock is held during a read from Redis, so that concurrent requests share one read.
    cached: Mutex<Option<CachedGeneration>>,
}

/// Generation of the store that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadGeneration {
    /// Number of the generation.
    pub number: u32,
    /// ClickHouse database.
    pub database: Arc<str>,
}

struct CachedGeneration {
    generation: ReadGeneration,
    read_at: Instant,
    /// Time of the last attempt to read it, whether it succeeded or not.
    attempted_at: Instant,
}

impl Generations {
    /// Creates a reader of the installation `namespace` in `redis`.
    pub fn new(namespace: &str, redis: Redis) -> Self {
        Self { projection: Projection::new(namespace), redis, cached: Mutex::default() }
    }

    /// Returns the generation that is read.
    pub async fn current(&self) -> Result<ReadGeneration, Error> {
        let mut cached = self.cached.lock().await;
        let attempted_at = Instant::now();
        let last = cached.as_mut().filter(|last| last.read_at.elapsed() < OUTAGE_GRACE);
        let Some(last) = last else {
            let generation = self.read().await?;
            let (copy, read_at) = (generation.clone(), attempted_at);
            *cached = Some(CachedGeneration { generation: copy, read_at, attempted_at });
            return Ok(generation);
        };
        if last.attempted_at.elapsed() < MAX_AGE {
            return Ok(last.generation.clone());
        }
        if let Ok(Ok(generation)) = tokio::time::timeout(REDIS_TIMEOUT, self.read()).await {
            (last.generation, last.read_at) = (generation, attempted_at);
        }
        last.attempted_at = Instant::now();
        Ok(last.generation.clone())
    }

    async fn read(&self) -> Result<ReadGeneration, Error> {
        let entity = [(EntityKind::Generations, GENERATIONS_ID)];
        let generations = match self.projection.read(&mut self.redis.clone(), entity, None).await {
            Ok(([Some(Kind::Generations(generations))], _)) => generations,
            Ok(_) => {
                tracing::warn!("generation lookup failed: no store exists yet; an ingest worker creates it");
                return Err(Error::StoreUnknown);
            }
            Err(error) => {
                tracing::warn!(%error, "generation lookup failed: Redis unavailable");
                return Err(Error::StoreUnknown);
            }
        };
        let read =
            generations.generations.into_iter().find(|generation| generation.number == generations.read);
        let Some(read) = read else {
            tracing::error!(
                number = generations.read,
                "generation lookup failed: the generation to read does not exist"
            );
            return Err(Error::StoreUnknown);
        };
        Ok(ReadGeneration { number: read.number, database: read.database.into() })
    }
}
