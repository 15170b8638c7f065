//! What was deleted is hidden, from the moment at which its deletion was answered, on every replica.
//!
//! A deletion is in Redis before it is answered, and each request asks Redis what was deleted of its project: how much,
//! and all of it where that has changed or a store has not applied it yet. Until then the samples are still there, so
//! statements that touch them read raw rows and pass over what lies below the cut; the points of a new metric of the same
//! name, above it, are seen at once. Statements about other metrics stay as they are.
//!
//! While Redis is away the last answer is used for [`OUTAGE_GRACE`]: without Redis nothing can be deleted.

use crate::error::Error;
use clickhouse::query::Query;
use control::deletions::{Deletions, Extent, Standing, covers};
use control::projection::{Position, ReadError};
use proto::v1::Deletion;
use redis_access::Redis;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the last answer is used while Redis gives no other.
const OUTAGE_GRACE: Duration = Duration::from_secs(60);
/// How long Redis may take.
const ANSWER: Duration = Duration::from_millis(300);
/// After Redis did not answer, it is not asked for so long where there is an answer to go on with.
const REST: Duration = Duration::from_millis(500);
/// So many projects' answers are kept.
const KEPT: usize = 20_000;

/// Deletions that samples must be held against.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hidden(Arc<[Deletion]>);

impl Hidden {
    /// These deletions, all of one project.
    pub fn new(deletions: impl IntoIterator<Item = Deletion>) -> Self {
        Self(deletions.into_iter().collect())
    }

    /// Whether nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a sample is hidden.
    pub fn covers(&self, metric_id: &str, partition: i32, offset: i64) -> bool {
        self.0.iter().any(|deletion| covers(deletion, metric_id, partition, offset))
    }

    /// Whether some of a metric may be hidden.
    pub fn touches(&self, metric_id: &str) -> bool {
        self.0.iter().any(|deletion| deletion.metric_id == metric_id)
    }

    /// Only what concerns these metrics.
    #[must_use]
    pub fn among<'a>(&self, metrics: impl IntoIterator<Item = &'a str>) -> Self {
        if self.is_empty() {
            return Self::default();
        }
        let metrics: std::collections::HashSet<&str> = metrics.into_iter().collect();
        Self::new(self.0.iter().filter(|hidden| metrics.contains(hidden.metric_id.as_str())).cloned())
    }

    /// The metrics.
    pub fn metrics(&self) -> Vec<&str> {
        self.0.iter().map(|deletion| deletion.metric_id.as_str()).collect()
    }

    /// A condition, beginning with ` AND`, that no hidden row fulfils; empty if nothing is hidden. The ids in it are
    /// parameters, which [`Self::bind`] gives their values.
    pub fn mask(&self) -> String {
        let mut text = String::new();
        for (number, deletion) in self.0.iter().enumerate() {
            let cuts: BTreeMap<&i32, &i64> = deletion.cuts.iter().filter(|(_, cut)| **cut > 0).collect();
            let below: Vec<String> = cuts
                .into_iter()
                .map(|(partition, cut)| format!("(partition = {partition} AND offset < {cut})"))
                .collect();
            if !below.is_empty() {
                // Writing to a string does not fail.
                let _ = write!(
                    text,
                    " AND NOT (metric_id = {{hidden{number}:String}} AND ({}))",
                    below.join(" OR ")
                );
            }
        }
        text
    }

    /// Gives the parameters of the mask their values, and `hidden` the ids of all hidden metrics.
    pub fn bind(&self, query: Query) -> Query {
        if self.is_empty() {
            return query;
        }
        let bound = query.param("hidden", self.metrics());
        let each = self.0.iter().enumerate();
        each.fold(bound, |query, (number, hidden)| query.param(&format!("hidden{number}"), &hidden.metric_id))
    }
}

/// What a request reads: one store throughout, and what of it is hidden.
#[derive(Debug, Clone)]
pub struct View {
    /// The store's database.
    pub database: Arc<str>,
    /// What the project must not see of it.
    pub hidden: Hidden,
}

impl View {
    /// A view from which nothing is hidden.
    pub fn of(database: &str) -> Self {
        Self { database: database.into(), hidden: Hidden::default() }
    }

    /// The same for these metrics alone.
    #[must_use]
    pub fn among<'a>(&self, metrics: impl IntoIterator<Item = &'a str>) -> Self {
        Self { database: self.database.clone(), hidden: self.hidden.among(metrics) }
    }
}

/// What is known of a project's deletions.
#[derive(Debug, Clone, Default)]
pub struct Deleted {
    /// All metrics' deletions, applied or not: what a reader of the log must pass over.
    pub all: Hidden,
    /// Those that the store has not applied: what its readers must pass over.
    pub open: Hidden,
}

struct Known {
    /// What the answer holds for. None if it must be asked for again.
    holds: Option<(Extent, u32)>,
    deleted: Deleted,
    read_at: Instant,
}

#[derive(Default)]
struct Memory {
    projects: HashMap<String, Known>,
    position: Option<Position>,
    failed_at: Option<Instant>,
}

/// Knows what was deleted.
pub struct DeletedSamples {
    deletions: Deletions,
    memory: Mutex<Memory>,
}

impl DeletedSamples {
    /// Asks `redis` about the installation `namespace`.
    pub fn new(namespace: &str, redis: Redis) -> Self {
        Self { deletions: Deletions::new(namespace, redis), memory: Mutex::default() }
    }

    /// What was deleted of `project`, as the generation `generation` stands to it.
    pub async fn of(&self, project: &str, generation: u32) -> Result<Deleted, Error> {
        let last = self.last(project);
        if last.is_some() && self.memory().failed_at.is_some_and(|at| at.elapsed() < REST) {
            return last.ok_or(Error::StoreUnknown);
        }
        match tokio::time::timeout(ANSWER, self.ask(project, generation)).await {
            Ok(Ok(deleted)) => {
                self.memory().failed_at = None;
                return Ok(deleted);
            }
            Ok(Err(error)) => tracing::warn!(%error, "Redis does not say what was deleted"),
            Err(_) => tracing::warn!("Redis does not say in time what was deleted"),
        }
        self.memory().failed_at = Some(Instant::now());
        last.ok_or(Error::StoreUnknown)
    }

    async fn ask(&self, project: &str, generation: u32) -> Result<Deleted, ReadError> {
        let at_least = self.memory().position.clone();
        let read_at = Instant::now();
        let (extent, position) = self.deletions.extent(project, at_least.as_ref()).await?;
        let (none, holds) = (extent.is_empty(), (extent, generation));
        {
            let mut memory = self.memory();
            memory.position = Some(position);
            if let Some(known) = memory.projects.get_mut(project)
                && known.holds.as_ref() == Some(&holds)
            {
                known.read_at = read_at;
                return Ok(known.deleted.clone());
            }
        }
        let (standings, all) =
            if none { (Vec::new(), true) } else { self.deletions.of(project, generation).await? };
        let deleted = deleted(standings);
        // While something is open, its end is looked for.
        let holds = (all && deleted.open.is_empty()).then_some(holds);
        let mut memory = self.memory();
        if memory.projects.len() >= KEPT {
            memory.projects.clear();
        }
        memory.projects.insert(project.to_owned(), Known { holds, deleted: deleted.clone(), read_at });
        Ok(deleted)
    }

    fn last(&self, project: &str) -> Option<Deleted> {
        let memory = self.memory();
        let known = memory.projects.get(project).filter(|known| known.read_at.elapsed() < OUTAGE_GRACE);
        known.map(|known| known.deleted.clone())
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of a project that was removed nobody reads anything, so only metrics count here.
fn deleted(standings: Vec<Standing>) -> Deleted {
    let of_metrics = || standings.iter().filter(|standing| !standing.deletion.metric_id.is_empty());
    Deleted {
        all: Hidden::new(of_metrics().map(|standing| standing.deletion.clone())),
        open: Hidden::new(
            of_metrics().filter(|standing| !standing.applied).map(|standing| standing.deletion.clone()),
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
    fn the_mask_names_no_id_in_its_text_and_only_partitions_that_are_cut() {
        let hidden = Hidden::new([deletion("a'b", &[(0, 5), (1, 0), (2, 7)]), deletion("c", &[])]);
        assert_eq!(
            hidden.mask(),
            " AND NOT (metric_id = {hidden0:String} AND ((partition = 0 AND offset < 5) OR (partition = 2 AND offset < 7)))"
        );
        assert_eq!(Hidden::default().mask(), "");
    }

    #[test]
    fn statements_about_other_metrics_have_no_mask() {
        let hidden = Hidden::new([deletion("a", &[(0, 5)])]);
        assert!(hidden.among(["b", "c"]).is_empty());
        assert_eq!(hidden.among(["b", "a"]), hidden);
        assert!(hidden.covers("a", 0, 4) && !hidden.covers("a", 0, 5) && !hidden.covers("b", 0, 4));
    }

    #[test]
    fn what_a_store_has_applied_is_hidden_from_readers_of_the_log_alone() {
        let standing = |metric, applied| Standing { deletion: deletion(metric, &[(0, 1)]), applied };
        let deleted = deleted(vec![standing("a", true), standing("b", false), standing("", false)]);
        assert_eq!(deleted.all.metrics(), ["a", "b"]);
        assert_eq!(deleted.open.metrics(), ["b"]);
    }
}
