//! Which store is read.
//!
//! The entity `generations` in Redis names it. A request asks once and uses that store throughout; a switch is seen
//! within half a second. While Redis is away the last answer is used for [`OUTAGE_GRACE`], as keys are: a store that was
//! switched away from meanwhile is still whole, and only its newest points may be missing, which the watermark says.

use crate::error::Error;
use control::projection::Projection;
use proto::control::{EntityKind, GENERATIONS_ID};
use proto::v1::entity::Kind;
use redis_access::Redis;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long an answer of Redis is used.
const MAX_AGE: Duration = Duration::from_millis(500);
/// How long the last answer is used while Redis gives no other.
const OUTAGE_GRACE: Duration = Duration::from_secs(60);
/// How long Redis may take where there is an answer to go on with.
const ANSWER: Duration = Duration::from_millis(300);

/// Knows which store is read.
pub struct Generations {
    projection: Projection,
    redis: Redis,
    /// The last answer. The lock is held while Redis is asked: one question for all who wait.
    known: Mutex<Option<Known>>,
}

/// A store of samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Its generation's number.
    pub number: u32,
    /// Its database.
    pub database: Arc<str>,
}

struct Known {
    store: Read,
    read_at: Instant,
    asked_at: Instant,
}

impl Generations {
    /// Asks `redis` about the installation `namespace`.
    pub fn new(namespace: &str, redis: Redis) -> Self {
        Self { projection: Projection::new(namespace), redis, known: Mutex::default() }
    }

    /// The store that is read.
    pub async fn store(&self) -> Result<Read, Error> {
        let mut known = self.known.lock().await;
        let asked_at = Instant::now();
        let last = known.as_mut().filter(|last| last.read_at.elapsed() < OUTAGE_GRACE);
        let Some(last) = last else {
            let store = self.read().await?;
            *known = Some(Known { store: store.clone(), read_at: asked_at, asked_at });
            return Ok(store);
        };
        if last.asked_at.elapsed() < MAX_AGE {
            return Ok(last.store.clone());
        }
        if let Ok(Ok(store)) = tokio::time::timeout(ANSWER, self.read()).await {
            (last.store, last.read_at) = (store, asked_at);
        }
        last.asked_at = Instant::now();
        Ok(last.store.clone())
    }

    async fn read(&self) -> Result<Read, Error> {
        let wanted = [(EntityKind::Generations, GENERATIONS_ID)];
        let generations = match self.projection.read(&mut self.redis.clone(), wanted, None).await {
            Ok(([Some(Kind::Generations(generations))], _)) => generations,
            Ok(_) => {
                tracing::warn!("there is no store to read yet: an ingest worker makes it");
                return Err(Error::StoreUnknown);
            }
            Err(error) => {
                tracing::warn!(%error, "Redis does not say which store is read");
                return Err(Error::StoreUnknown);
            }
        };
        let read =
            generations.generations.into_iter().find(|generation| generation.number == generations.read);
        let Some(read) = read else {
            tracing::error!(number = generations.read, "the store that is to be read does not exist");
            return Err(Error::StoreUnknown);
        };
        Ok(Read { number: read.number, database: read.database.into() })
    }
}
