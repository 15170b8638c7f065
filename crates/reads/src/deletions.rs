//! Deletions of metrics. Every replica hides deleted points from the moment at which the deletion is
//! acknowledged.
//!
//! A deletion is in Redis before it is acknowledged. Each request reads from Redis how many deletions its
//! project has, and all of them if that has changed or the store has not applied some yet. Until a store has
//! applied a deletion it still contains the deleted samples. Statements about such metrics read raw rows and
//! exclude the samples before the cut-off offsets; the points of a new metric with the same id lie after
//! them, and are visible at once. Statements about other metrics are unaffected.
//!
//! While Redis is unavailable the last answer is used for `OUTAGE_GRACE`: without Redis nothing can be
//! deleted.

use crate::error::Error;
use clickhouse::query::Query;
use control::deletions::{DeletionStatus, Deletions, DeletionsVersion, covers_sample};
use control::projection::{Position, ReadError};
use proto::v1::Deletion;
use redis_access::Redis;
use service::circuit_breaker::CircuitBreaker;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Maximum age of an answer that is used while Redis is unavailable.
const OUTAGE_GRACE: Duration = Duration::from_secs(60);
/// Timeout of a read from Redis.
const REDIS_TIMEOUT: Duration = Duration::from_millis(300);
/// Time after a failed read from Redis during which earlier answers are used without another attempt, milliseconds.
const BREAKER_OPEN_MS: u64 = 500;
/// Maximum number of projects in the cache.
const MAX_PROJECTS: usize = 20_000;

/// Deletions of metrics of one project, which exclude samples from reads.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeletionMask(Arc<[Deletion]>);

impl DeletionMask {
    /// Creates the mask of these deletions, all of one project.
    pub fn new(deletions: impl IntoIterator<Item = Deletion>) -> Self {
        Self(deletions.into_iter().collect())
    }

    /// Returns whether there are no deletions.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether a sample is deleted.
    pub fn covers(&self, metric_id: &str, partition: i32, offset: i64) -> bool {
        self.0.iter().any(|deletion| covers_sample(deletion, metric_id, partition, offset))
    }

    /// Returns whether samples of a metric may be deleted.
    pub fn affects(&self, metric_id: &str) -> bool {
        self.0.iter().any(|deletion| deletion.metric_id == metric_id)
    }

    /// Returns the deletions of these metrics.
    #[must_use]
    pub fn for_metrics<'a>(&self, metrics: impl IntoIterator<Item = &'a str>) -> Self {
        if self.is_empty() {
            return Self::default();
        }
        let metrics: std::collections::HashSet<&str> = metrics.into_iter().collect();
        Self::new(self.0.iter().filter(|deletion| metrics.contains(deletion.metric_id.as_str())).cloned())
    }

    /// Returns the ids of the metrics.
    pub fn metrics(&self) -> Vec<&str> {
        self.0.iter().map(|deletion| deletion.metric_id.as_str()).collect()
    }

    /// Returns an SQL condition, beginning with ` AND`, that excludes deleted rows; empty if there are none.
    /// The ids in it are parameters, which [`Self::bind`] binds.
    pub fn condition(&self) -> String {
        let mut text = String::new();
        for (number, deletion) in self.0.iter().enumerate() {
            let cut_offs: BTreeMap<&i32, &i64> =
                deletion.cuts.iter().filter(|(_, cut_off)| **cut_off > 0).collect();
            let before: Vec<String> = cut_offs
                .into_iter()
                .map(|(partition, cut_off)| format!("(partition = {partition} AND offset < {cut_off})"))
                .collect();
            if !before.is_empty() {
                // Writing to a string does not fail.
                let _ = write!(
                    text,
                    " AND NOT (metric_id = {{hidden{number}:String}} AND ({}))",
                    before.join(" OR ")
                );
            }
        }
        text
    }

    /// Binds the parameters of [`Self::condition`], and the parameter `hidden` to the ids of all metrics.
    pub fn bind(&self, query: Query) -> Query {
        if self.is_empty() {
            return query;
        }
        let query = query.param("hidden", self.metrics());
        let deletions = self.0.iter().enumerate();
        deletions.fold(query, |query, (number, deletion)| {
            query.param(&format!("hidden{number}"), &deletion.metric_id)
        })
    }
}

/// Store that a request reads throughout, and the deletions that it must exclude.
#[derive(Debug, Clone)]
pub struct View {
    /// The store's database.
    pub database: Arc<str>,
    /// Deletions that the store has not applied.
    pub hidden: DeletionMask,
}

impl View {
    /// Creates a view without deletions.
    pub fn unmasked(database: &str) -> Self {
        Self { database: database.into(), hidden: DeletionMask::default() }
    }

    /// Returns the view with only the deletions of these metrics.
    #[must_use]
    pub fn for_metrics<'a>(&self, metrics: impl IntoIterator<Item = &'a str>) -> Self {
        Self { database: self.database.clone(), hidden: self.hidden.for_metrics(metrics) }
    }
}

/// Deletions of a project's metrics.
#[derive(Debug, Clone, Default)]
pub struct ProjectDeletions {
    /// All deletions. Readers of the log must exclude them.
    pub all: DeletionMask,
    /// Deletions that the store has not applied. Readers of the store must exclude them.
    pub unapplied: DeletionMask,
}

struct CacheEntry {
    /// Version of the set of deletions, and generation, for which the entry is valid; `None` if it must be read again.
    valid_for: Option<(DeletionsVersion, u32)>,
    deletions: ProjectDeletions,
    read_at: Instant,
}

#[derive(Default)]
struct Cache {
    projects: HashMap<String, CacheEntry>,
    position: Option<Position>,
}

/// Reads the deletions of projects.
pub struct DeletionReader {
    deletions: Deletions,
    cache: Mutex<Cache>,
    breaker: CircuitBreaker,
    started: Instant,
}

impl DeletionReader {
    /// Creates a reader of the installation `namespace` in `redis`.
    pub fn new(namespace: &str, redis: Redis) -> Self {
        Self {
            deletions: Deletions::new(namespace, redis),
            cache: Mutex::default(),
            breaker: CircuitBreaker::new(BREAKER_OPEN_MS),
            started: Instant::now(),
        }
    }

    /// The clock of the circuit breaker.
    fn elapsed_ms(&self) -> u64 {
        1 + u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }

    /// Returns the deletions of `project`, and those that the generation `generation` of the store has not
    /// applied.
    pub async fn of_project(&self, project: &str, generation: u32) -> Result<ProjectDeletions, Error> {
        let last = self.cached(project);
        if let Some(last) = &last
            && !self.breaker.may_call(self.elapsed_ms())
        {
            return Ok(last.clone());
        }
        match tokio::time::timeout(REDIS_TIMEOUT, self.read(project, generation)).await {
            Ok(Ok(deletions)) => {
                self.breaker.succeeded();
                return Ok(deletions);
            }
            Ok(Err(error)) => tracing::warn!(%error, "deletion lookup failed: Redis unavailable"),
            Err(_) => tracing::warn!("deletion lookup failed: Redis timed out"),
        }
        self.breaker.failed(self.elapsed_ms());
        last.ok_or(Error::StoreUnknown)
    }

    async fn read(&self, project: &str, generation: u32) -> Result<ProjectDeletions, ReadError> {
        let at_least = self.cache().position.clone();
        let read_at = Instant::now();
        let (current, position) = self.deletions.version(project, at_least.as_ref()).await?;
        let (is_empty, version) = (current.is_empty(), (current, generation));
        {
            let mut cache = self.cache();
            cache.position = Some(position);
            if let Some(entry) = cache.projects.get_mut(project)
                && entry.valid_for.as_ref() == Some(&version)
            {
                entry.read_at = read_at;
                return Ok(entry.deletions.clone());
            }
        }
        let (found, complete) = if is_empty {
            (Vec::new(), true)
        } else {
            self.deletions.of_project(project, generation).await?
        };
        let deletions = project_deletions(found);
        // While a deletion is not applied, each request checks whether it is by now.
        let valid_for = (complete && deletions.unapplied.is_empty()).then_some(version);
        let mut cache = self.cache();
        if cache.projects.len() >= MAX_PROJECTS {
            cache.projects.clear();
        }
        let entry = CacheEntry { valid_for, deletions: deletions.clone(), read_at };
        cache.projects.insert(project.to_owned(), entry);
        Ok(deletions)
    }

    fn cached(&self, project: &str) -> Option<ProjectDeletions> {
        let cache = self.cache();
        let entry = cache.projects.get(project).filter(|entry| entry.read_at.elapsed() < OUTAGE_GRACE);
        entry.map(|entry| entry.deletions.clone())
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Deletions of whole projects are left out, because a removed project has no readers.
fn project_deletions(found: Vec<DeletionStatus>) -> ProjectDeletions {
    let of_metrics = || found.iter().filter(|found| !found.deletion.metric_id.is_empty());
    ProjectDeletions {
        all: DeletionMask::new(of_metrics().map(|found| found.deletion.clone())),
        unapplied: DeletionMask::new(
            of_metrics().filter(|found| !found.applied).map(|found| found.deletion.clone()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deletion(metric: &str, cuts: &[(i32, i64)]) -> Deletion {
        Deletion { metric_id: metric.to_owned(), cuts: cuts.iter().copied().collect(), ..Deletion::default() }
    }

    #[test]
    fn condition_binds_ids_and_names_only_partitions_with_a_cut_off() {
        let mask = DeletionMask::new([deletion("a'b", &[(0, 5), (1, 0), (2, 7)]), deletion("c", &[])]);
        assert_eq!(
            mask.condition(),
            " AND NOT (metric_id = {hidden0:String} AND ((partition = 0 AND offset < 5) OR (partition = 2 AND offset < 7)))"
        );
        assert_eq!(DeletionMask::default().condition(), "");
    }

    #[test]
    fn deletions_apply_only_to_their_metrics() {
        let mask = DeletionMask::new([deletion("a", &[(0, 5)])]);
        assert!(mask.for_metrics(["b", "c"]).is_empty());
        assert_eq!(mask.for_metrics(["b", "a"]), mask);
        assert!(mask.covers("a", 0, 4) && !mask.covers("a", 0, 5) && !mask.covers("b", 0, 4));
    }

    #[test]
    fn applied_deletions_only_mask_readers_of_the_log() {
        let found = |metric, applied| DeletionStatus { deletion: deletion(metric, &[(0, 1)]), applied };
        let deletions = project_deletions(vec![found("a", true), found("b", false), found("", false)]);
        assert_eq!(deletions.all.metrics(), ["a", "b"]);
        assert_eq!(deletions.unapplied.metrics(), ["b"]);
    }
}
