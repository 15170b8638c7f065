//! Deletions, and the generations that have applied them: a pure state without I/O.
//!
//! A deletion has a cut-off offset for each partition; it covers the records below. A generation may apply it once all of
//! its chains have passed the cut-off offsets. Before that, a record below a cut-off offset could still be stored after the
//! erasure. From then on that cannot happen, because a chain stores no offset twice. So a deletion that was applied stays
//! applied, whichever worker applies it and however often. An event that a deletion was applied counts for exactly that
//! deletion: a later deletion of the same metric has another time and higher cut-off offsets.

use control::control_log::{Event, LogError};
use proto::Message as _;
use proto::control::EntityKind;
use proto::v1::{Deletion, Entity, entity::Kind};
use std::collections::{BTreeMap, BTreeSet};

/// Project id and metric id; the metric id is empty if the whole project is deleted.
type Target = (String, String);

/// The deletions in the control log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeletionLedger {
    deletions: BTreeMap<Target, Deletion>,
    /// Time of the deletion that a generation has applied, by target and generation.
    applied: BTreeMap<(Target, u32), i64>,
}

impl DeletionLedger {
    pub fn from_events(events: &[Event]) -> Result<Self, LogError> {
        let mut ledger = Self::default();
        for event in events {
            ledger.apply_event(event)?;
        }
        Ok(ledger)
    }

    /// Applies an event; returns whether it concerned deletions.
    pub fn apply_event(&mut self, event: &Event) -> Result<bool, LogError> {
        let matches = event
            .key
            .as_ref()
            .is_some_and(|key| matches!(key.kind, EntityKind::Deletion | EntityKind::DeletionApplied));
        let Some(value) = event.value.as_ref().filter(|_| matches) else { return Ok(false) };
        let entity =
            Entity::decode(value.as_slice()).map_err(|error| LogError::Undecodable(event.offset, error))?;
        match entity.kind {
            Some(kind) => self.apply_kind(kind),
            None => return Ok(false),
        }
        Ok(true)
    }

    /// Applies a decoded event; ignores kinds that do not concern deletions.
    pub fn apply_kind(&mut self, kind: Kind) {
        match kind {
            Kind::Deletion(deletion) => {
                self.deletions.insert(target(&deletion), deletion);
            }
            Kind::DeletionApplied(applied) => {
                let target = (applied.project_id, applied.metric_id);
                self.applied.insert((target, applied.generation), applied.deleted_at_ms);
            }
            _ => {}
        }
    }

    /// Returns the newest deletion of each target.
    pub fn all(&self) -> impl Iterator<Item = &Deletion> {
        self.deletions.values()
    }

    /// Returns the deletions that `generation` has not applied.
    pub fn pending(&self, generation: u32) -> impl Iterator<Item = &Deletion> {
        self.deletions.values().filter(move |deletion| !self.has_applied(generation, deletion))
    }

    /// Returns the pending deletions that `generation` may apply. `next` returns the first offset that the chain of a
    /// partition does not cover.
    pub fn due(&self, generation: u32, next: impl Fn(i32) -> i64) -> Vec<Deletion> {
        let passed =
            |deletion: &&Deletion| deletion.cuts.iter().all(|(&partition, &cut)| cut <= next(partition));
        self.pending(generation).filter(passed).cloned().collect()
    }

    /// Returns the deletions of whole projects that `generation` has applied. They cover later records too: a gateway that
    /// cannot reach Redis accepts the keys of a deleted project for a while.
    pub fn applied_project_deletions(&self, generation: u32) -> Vec<Deletion> {
        let applied =
            |deletion: &&Deletion| deletion.metric_id.is_empty() && self.has_applied(generation, deletion);
        self.all().filter(applied).cloned().collect()
    }

    pub fn deleted_projects(&self) -> BTreeSet<&str> {
        let deleted = self.all().filter(|deletion| deletion.metric_id.is_empty());
        deleted.map(|deletion| deletion.project_id.as_str()).collect()
    }

    /// Returns whether the sample of this metric in the record at `offset` has been deleted.
    pub fn covers(&self, project_id: &str, metric_id: &str, partition: i32, offset: i64) -> bool {
        let deletion_of = |metric: &str| self.deletions.get(&(project_id.to_owned(), metric.to_owned()));
        [deletion_of(metric_id), deletion_of("")]
            .into_iter()
            .flatten()
            .any(|deletion| control::deletions::covers_sample(deletion, metric_id, partition, offset))
    }

    /// Returns whether both contain the same deletions, ignoring which generations have applied them.
    pub fn same_deletions(&self, other: &Self) -> bool {
        self.deletions == other.deletions
    }

    fn has_applied(&self, generation: u32, deletion: &Deletion) -> bool {
        self.applied.get(&(target(deletion), generation)) == Some(&deletion.deleted_at_ms)
    }
}

fn target(deletion: &Deletion) -> Target {
    (deletion.project_id.clone(), deletion.metric_id.clone())
}

#[cfg(test)]
mod tests;
