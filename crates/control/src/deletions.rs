//! What of a project's samples was deleted, and whether a store has applied it.
//!
//! A deletion is an entity of its own, and so is the word that a store, known by its generation's number, holds nothing
//! of it any more. Between the two the samples are still there, and whoever reads must pass over them.

use crate::index::{Index, Place, id_at};
use crate::projection::{Position, Projection, ReadError};
use proto::control::{EntityKind, deletion_applied_id, deletion_id};
use proto::v1::{Deletion, entity::Kind};
use redis_access::Redis;
use std::collections::BTreeMap;

/// More places than any project has.
const ALL: usize = usize::MAX >> 1;

/// Where the deletion cuts a partition of the log: it covers what lies below. Nothing of one that it does not name.
pub fn cut(deletion: &Deletion, partition: i32) -> i64 {
    deletion.cuts.get(&partition).copied().unwrap_or(0)
}

/// Whether it covers a sample of its project.
pub fn covers(deletion: &Deletion, metric_id: &str, partition: i32, offset: i64) -> bool {
    match deletion.metric_id.as_str() {
        "" => true,
        deleted => deleted == metric_id && offset < cut(deletion, partition),
    }
}

/// A deletion, and how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The deletion.
    pub deletion: Deletion,
    /// Whether the generation that was asked for holds nothing of it any more.
    pub applied: bool,
}

/// By what it is known whether a project has other deletions than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    log: String,
    count: u64,
    last: Option<String>,
}

impl Extent {
    /// Whether there are none.
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
    /// Those of the installation `namespace`.
    pub fn new(namespace: &str, redis: Redis) -> Self {
        Self { projection: Projection::new(namespace), redis }
    }

    /// How many there are, and which is the last: one more changes this, and a Redis that was filled anew does too.
    /// `at_least` is the highest position that the reader knows of.
    pub async fn extent(
        &self,
        project_id: &str,
        at_least: Option<&Position>,
    ) -> Result<(Extent, Position), ReadError> {
        let index = Index::Deletions(project_id.to_owned());
        let (count, last, position) =
            self.projection.extent(&mut self.redis.clone(), &index, at_least).await?;
        Ok((Extent { log: position.log.clone(), count, last }, position))
    }

    /// The newest deletion of each of the project's metrics, as the generation `generation` stands to it. And whether that
    /// is all: a deletion is counted a moment before it is there, and its command has not been answered then.
    pub async fn of(&self, project_id: &str, generation: u32) -> Result<(Vec<Standing>, bool), ReadError> {
        let mut redis = self.redis.clone();
        let index = Index::Deletions(project_id.to_owned());
        let places = self.projection.places(&mut redis, &index, None, ALL).await?;
        // In order of time, so that the newest of each metric stays.
        let newest: BTreeMap<&str, &str> =
            places.iter().map(|place| (id_at(place), place.as_str())).collect();
        let ids: Vec<[String; 2]> = newest
            .keys()
            .map(|metric| {
                [deletion_id(project_id, metric), deletion_applied_id(generation, project_id, metric)]
            })
            .collect();
        let wanted: Vec<(EntityKind, &str)> = ids
            .iter()
            .flat_map(|[deletion, applied]| {
                [(EntityKind::Deletion, deletion.as_str()), (EntityKind::DeletionApplied, applied)]
            })
            .collect();
        let (found, _) = self.projection.read_all(&mut redis, &wanted, None).await?;
        let standing = |pair: &[Option<Kind>]| match pair {
            [Some(Kind::Deletion(deletion)), applied] => {
                let applied = matches!(applied, Some(Kind::DeletionApplied(applied))
                    if applied.deleted_at_ms == deletion.deleted_at_ms);
                Some(Standing { deletion: deletion.clone(), applied })
            }
            _ => None,
        };
        let standings: Vec<Option<Standing>> = found.chunks(2).map(standing).collect();
        let there = |(standing, place): (&Option<Standing>, &&str)| {
            standing.as_ref().is_some_and(|standing| {
                let Deletion { deleted_at_ms, metric_id, .. } = &standing.deletion;
                Place::new(*deleted_at_ms, metric_id).to_string() == *place
            })
        };
        let all = standings.iter().zip(newest.values()).all(there);
        Ok((standings.into_iter().flatten().collect(), all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metrics_deletion_covers_what_lies_below_its_cuts_and_a_projects_everything() {
        let cuts = [(0, 5), (1, 0)].into();
        let mut deletion = Deletion { metric_id: "m".to_owned(), cuts, ..Deletion::default() };
        assert!(covers(&deletion, "m", 0, 4));
        for (metric, partition, offset) in [("m", 0, 5), ("n", 0, 4), ("m", 1, 0), ("m", 2, 0)] {
            assert!(!covers(&deletion, metric, partition, offset), "{metric} {partition} {offset}");
        }
        deletion.metric_id.clear();
        assert!(covers(&deletion, "n", 2, i64::MAX));
    }
}
