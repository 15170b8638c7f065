//! Deletions of a project's samples, and whether a store has applied them.
//!
//! A deletion is an entity, and so is the confirmation that a generation of the store no longer holds any of its
//! samples. Until that confirmation the samples are still in the store, and readers must filter them out.

use crate::index::{Index, IndexEntry, entry_id};
use crate::projection::{Position, Projection, ReadError};
use proto::control::{EntityKind, deletion_applied_id, deletion_id};
use proto::v1::{Deletion, entity::Kind};
use redis_access::Redis;
use std::collections::BTreeMap;

/// More index entries than any project has.
const NO_LIMIT: usize = usize::MAX >> 1;

/// Returns the cut-off offset of the deletion in a partition: it covers the records below. 0, which covers
/// nothing, for a partition that it does not name.
pub fn cut_off_offset(deletion: &Deletion, partition: i32) -> i64 {
    deletion.cuts.get(&partition).copied().unwrap_or(0)
}

/// Returns whether the deletion covers a sample of its project.
pub fn covers_sample(deletion: &Deletion, metric_id: &str, partition: i32, offset: i64) -> bool {
    match deletion.metric_id.as_str() {
        "" => true,
        deleted => deleted == metric_id && offset < cut_off_offset(deletion, partition),
    }
}

/// A deletion and whether it has been applied.
#[derive(Debug, Clone, PartialEq)]
pub struct DeletionStatus {
    /// Deletion.
    pub deletion: Deletion,
    /// True if the requested generation of the store no longer holds any of its samples.
    pub applied: bool,
}

/// Version of a project's set of deletions. It changes with every new deletion and when Redis is filled from
/// another log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletionsVersion {
    log: String,
    count: u64,
    last: Option<String>,
}

impl DeletionsVersion {
    /// Returns whether the project has no deletions.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Reads deletions from Redis. Clones share the connection.
#[derive(Clone)]
pub struct Deletions {
    projection: Projection,
    redis: Redis,
}

impl Deletions {
    /// Creates a reader for the installation `namespace`.
    pub fn new(namespace: &str, redis: Redis) -> Self {
        Self { projection: Projection::new(namespace), redis }
    }

    /// Returns the version of the project's set of deletions, and the position at which it was read. `at_least` is
    /// the highest position that the caller knows of.
    pub async fn version(
        &self,
        project_id: &str,
        at_least: Option<&Position>,
    ) -> Result<(DeletionsVersion, Position), ReadError> {
        let index = Index::Deletions(project_id.to_owned());
        let (count, last, position) =
            self.projection.index_summary(&mut self.redis.clone(), &index, at_least).await?;
        Ok((DeletionsVersion { log: position.log.clone(), count, last }, position))
    }

    /// Returns the newest deletion of each of the project's metrics with its status in `generation`, and whether
    /// the list is complete. It is incomplete in the short time after a deletion's index entry is written and
    /// before the deletion itself is; the deletion's command has not returned by then.
    pub async fn of_project(
        &self,
        project_id: &str,
        generation: u32,
    ) -> Result<(Vec<DeletionStatus>, bool), ReadError> {
        let mut redis = self.redis.clone();
        let index = Index::Deletions(project_id.to_owned());
        let entries = self.projection.index_entries(&mut redis, &index, None, NO_LIMIT).await?;
        // The entries are in order of time, so the newest of each metric remains.
        let newest: BTreeMap<&str, &str> =
            entries.iter().map(|entry| (entry_id(entry), entry.as_str())).collect();
        let ids: Vec<[String; 2]> = newest
            .keys()
            .map(|metric| {
                [deletion_id(project_id, metric), deletion_applied_id(generation, project_id, metric)]
            })
            .collect();
        let entities: Vec<(EntityKind, &str)> = ids
            .iter()
            .flat_map(|[deletion, applied]| {
                [(EntityKind::Deletion, deletion.as_str()), (EntityKind::DeletionApplied, applied)]
            })
            .collect();
        let (found, _) = self.projection.read_all(&mut redis, &entities, None).await?;
        let status = |pair: &[Option<Kind>]| match pair {
            [Some(Kind::Deletion(deletion)), applied] => {
                let applied = matches!(applied, Some(Kind::DeletionApplied(applied))
                    if applied.deleted_at_ms == deletion.deleted_at_ms);
                Some(DeletionStatus { deletion: deletion.clone(), applied })
            }
            _ => None,
        };
        let statuses: Vec<Option<DeletionStatus>> = found.chunks(2).map(status).collect();
        let is_newest = |(status, entry): (&Option<DeletionStatus>, &&str)| {
            status.as_ref().is_some_and(|status| {
                let Deletion { deleted_at_ms, metric_id, .. } = &status.deletion;
                IndexEntry::new(*deleted_at_ms, metric_id).to_string() == *entry
            })
        };
        let complete = statuses.iter().zip(newest.values()).all(is_newest);
        Ok((statuses.into_iter().flatten().collect(), complete))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_deletion_covers_below_cut_off_and_project_deletion_all() {
        let cuts = [(0, 5), (1, 0)].into();
        let mut deletion = Deletion { metric_id: "m".to_owned(), cuts, ..Deletion::default() };
        assert!(covers_sample(&deletion, "m", 0, 4));
        for (metric, partition, offset) in [("m", 0, 5), ("n", 0, 4), ("m", 1, 0), ("m", 2, 0)] {
            assert!(!covers_sample(&deletion, metric, partition, offset), "{metric} {partition} {offset}");
        }
        deletion.metric_id.clear();
        assert!(covers_sample(&deletion, "n", 2, i64::MAX));
    }
}
