//! How far a store has the log.

use super::Store;
use crate::error::Error;
use crate::hidden::View;
use crate::source::Source;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Heads that were read longer ago are read again.
const HEADS_AGE: Duration = Duration::from_millis(100);
/// How long they are used meanwhile.
const HEADS_MAX_AGE: Duration = Duration::from_millis(500);

/// The heads that were read last, and of which database.
#[derive(Default)]
pub(super) struct KnownHeads {
    known: Mutex<Option<(Arc<str>, Heads)>>,
    /// Held while they are read.
    reading: Arc<tokio::sync::Mutex<()>>,
}

impl KnownHeads {
    fn known(&self) -> MutexGuard<'_, Option<(Arc<str>, Heads)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ends of a store's chains.
#[derive(Debug, Clone)]
pub struct Heads {
    /// When they were asked for.
    pub read_at: Instant,
    /// By partition.
    pub last: Arc<[Head]>,
}

/// The end of a Kafka partition's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Head {
    /// The Kafka partition.
    pub partition: i32,
    /// The last offset that is stored.
    pub last: i64,
}

impl Store {
    /// The ends of all chains: one question for all who ask together. What is read after it holds at least what they cover.
    ///
    /// Those that were read a moment ago are given while newer ones are fetched: what they promise is true, only less.
    pub async fn heads(&self, database: &Arc<str>) -> Result<Heads, Error> {
        let known = self.known_heads(database);
        if let Some(heads) = known.filter(|heads| heads.read_at.elapsed() < HEADS_MAX_AGE) {
            if heads.read_at.elapsed() >= HEADS_AGE
                && let Ok(turn) = self.heads.reading.clone().try_lock_owned()
            {
                let (store, database) = (self.clone(), database.clone());
                tokio::spawn(async move {
                    let _turn = turn;
                    // Whoever needs them asks again, and is told what is wrong.
                    let _ = store.read_heads(&database).await;
                });
            }
            return Ok(heads);
        }
        let _turn = self.heads.reading.lock().await;
        match self.known_heads(database).filter(|heads| heads.read_at.elapsed() < HEADS_AGE) {
            Some(heads) => Ok(heads),
            None => self.read_heads(database).await,
        }
    }

    async fn read_heads(&self, database: &Arc<str>) -> Result<Heads, Error> {
        const SQL: &str = "SELECT partition, max(last_offset) AS last FROM samples WHERE kind = 'marker' GROUP BY kind, partition";
        let read_at = Instant::now();
        let last: Vec<Head> =
            self.all("heads", self.reading(Source::Chain, &View::of(database), SQL)).await?;
        let heads = Heads { read_at, last: last.into() };
        *self.heads.known() = Some((database.clone(), heads.clone()));
        Ok(heads)
    }

    fn known_heads(&self, database: &Arc<str>) -> Option<Heads> {
        let known = self.heads.known();
        known.as_ref().filter(|(of, _)| of == database).map(|(_, heads)| heads.clone())
    }
}
