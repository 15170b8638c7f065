//! Heads of the chains: the offsets up to which a store contains the log.

use super::Store;
use crate::deletions::View;
use crate::error::Error;
use crate::source::Source;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Age after which cached heads are read again.
const REFRESH_AGE: Duration = Duration::from_millis(100);
/// Maximum age of cached heads that are used while newer ones are read.
const MAX_AGE: Duration = Duration::from_millis(500);

/// Heads that were read last, with their database.
#[derive(Default)]
pub(super) struct HeadsCache {
    last: Mutex<Option<(Arc<str>, Heads)>>,
    /// Locked during a read, so that concurrent requests share it.
    reading: Arc<tokio::sync::Mutex<()>>,
}

impl HeadsCache {
    fn last(&self) -> MutexGuard<'_, Option<(Arc<str>, Heads)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Heads of a store's chains.
#[derive(Debug, Clone)]
pub struct Heads {
    /// Time at which they were requested.
    pub read_at: Instant,
    /// Head of each partition that has a chain.
    pub last: Arc<[Head]>,
}

/// Head of a Kafka partition's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Head {
    /// Kafka partition.
    pub partition: i32,
    /// Last stored offset.
    pub last: i64,
}

impl Store {
    /// Returns the heads of all chains. Concurrent calls share one query. Data that is read afterwards
    /// contains at least every record up to the heads.
    ///
    /// Heads that were read a moment ago are returned while newer ones are fetched: they promise less, but
    /// are still correct.
    pub async fn heads(&self, database: &Arc<str>) -> Result<Heads, Error> {
        let cached = self.cached_heads(database);
        if let Some(heads) = cached.filter(|heads| heads.read_at.elapsed() < MAX_AGE) {
            if heads.read_at.elapsed() >= REFRESH_AGE
                && let Ok(guard) = self.heads.reading.clone().try_lock_owned()
            {
                let (store, database) = (self.clone(), database.clone());
                tokio::spawn(async move {
                    let _guard = guard;
                    // The error is reported to the next request, which reads again.
                    let _ = store.read_heads(&database).await;
                });
            }
            return Ok(heads);
        }
        let _guard = self.heads.reading.lock().await;
        match self.cached_heads(database).filter(|heads| heads.read_at.elapsed() < REFRESH_AGE) {
            Some(heads) => Ok(heads),
            None => self.read_heads(database).await,
        }
    }

    async fn read_heads(&self, database: &Arc<str>) -> Result<Heads, Error> {
        const SQL: &str = "SELECT partition, max(last_offset) AS last FROM samples WHERE kind = 'marker' GROUP BY kind, partition";
        let read_at = Instant::now();
        let last: Vec<Head> = self
            .fetch_all("heads", self.samples_query(Source::Chain, &View::unmasked(database), SQL))
            .await?;
        let heads = Heads { read_at, last: last.into() };
        *self.heads.last() = Some((database.clone(), heads.clone()));
        Ok(heads)
    }

    fn cached_heads(&self, database: &Arc<str>) -> Option<Heads> {
        let last = self.heads.last();
        last.as_ref().filter(|(of, _)| of == database).map(|(_, heads)| heads.clone())
    }
}
