//! Which store is read.
//!
//! The entity `generations` in Redis names it. A request asks once and uses that store throughout; a switch is seen
//! within half a second.

use crate::error::{Error, Unavailable};
use accounts::projection::Projection;
use proto::control::{EntityKind, GENERATIONS_ID};
use proto::v1::entity::Kind;
use redis::aio::ConnectionManager;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long an answer of Redis is used.
const MAX_AGE: Duration = Duration::from_millis(500);

/// Knows which store is read.
pub struct Generations {
    projection: Projection,
    redis: ConnectionManager,
    /// The last answer. The lock is held while Redis is asked: one question for all who wait.
    known: Mutex<Option<(Instant, Arc<str>)>>,
}

impl Generations {
    /// Asks `redis` about the installation `namespace`.
    pub fn new(namespace: &str, redis: ConnectionManager) -> Self {
        Self { projection: Projection::new(namespace), redis, known: Mutex::default() }
    }

    /// The name of the database that is read.
    pub async fn database(&self) -> Result<Arc<str>, Error> {
        let mut known = self.known.lock().await;
        if let Some((at, database)) = &*known
            && at.elapsed() < MAX_AGE
        {
            return Ok(database.clone());
        }
        let wanted = [(EntityKind::Generations, GENERATIONS_ID)];
        let asked = Instant::now();
        let generations = match self.projection.read(&mut self.redis.clone(), wanted, None).await {
            Ok(([Some(Kind::Generations(generations))], _)) => generations,
            Ok(_) => {
                tracing::warn!("there is no store to read yet: an ingest worker makes it");
                return Err(Error::Unavailable(Unavailable::Store));
            }
            Err(error) => {
                tracing::warn!(%error, "Redis does not say which store is read");
                return Err(Error::Unavailable(Unavailable::Store));
            }
        };
        let read =
            generations.generations.into_iter().find(|generation| generation.number == generations.read);
        let Some(read) = read else {
            tracing::error!(number = generations.read, "the store that is to be read does not exist");
            return Err(Error::Unavailable(Unavailable::Store));
        };
        let database: Arc<str> = read.database.into();
        *known = Some((asked, database.clone()));
        Ok(database)
    }
}
