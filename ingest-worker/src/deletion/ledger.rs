//! Which deletions there are, which generation has applied them, and which it may apply now: no I/O.
//!
//! A generation may apply a deletion once all of its chains have passed the cuts. Before that, a record below a cut could
//! still be stored after the deleting; from then on none ever is, for a chain stores no offset twice. So what was applied
//! once stays applied, whoever does it how often, and only the very deletion that was applied counts as applied: a later
//! one of the same metric has another time and higher cuts.

use accounts::control_log::{Event, LogError};
use proto::Message as _;
use proto::control::EntityKind;
use proto::v1::{Deletion, Entity, entity::Kind};
use std::collections::{BTreeMap, BTreeSet};

/// A project and one of its metrics; all of them where the metric is empty.
type Target = (String, String);

/// The deletions, as the control log has them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    deletions: BTreeMap<Target, Deletion>,
    /// By target and generation, when that deletion was made which the generation has applied.
    applied: BTreeMap<(Target, u32), i64>,
}

impl Ledger {
    /// What these events say.
    pub fn of(events: &[Event]) -> Result<Self, LogError> {
        let mut ledger = Self::default();
        for event in events {
            ledger.take(event)?;
        }
        Ok(ledger)
    }

    /// Takes an event in; tells whether it was about deletions.
    pub fn take(&mut self, event: &Event) -> Result<bool, LogError> {
        let ours = event
            .key
            .as_ref()
            .is_some_and(|key| matches!(key.kind, EntityKind::Deletion | EntityKind::DeletionApplied));
        let Some(value) = event.value.as_ref().filter(|_| ours) else { return Ok(false) };
        let entity =
            Entity::decode(value.as_slice()).map_err(|error| LogError::Undecodable(event.offset, error))?;
        match entity.kind {
            Some(kind) => self.learn(kind),
            None => return Ok(false),
        }
        Ok(true)
    }

    /// The same, decoded.
    pub fn learn(&mut self, kind: Kind) {
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

    /// All deletions, the newest of each target.
    pub fn all(&self) -> impl Iterator<Item = &Deletion> {
        self.deletions.values()
    }

    /// Those that `generation` has not applied.
    pub fn open(&self, generation: u32) -> impl Iterator<Item = &Deletion> {
        self.deletions.values().filter(move |deletion| !self.has_applied(generation, deletion))
    }

    /// Those of them that it may apply. `next` tells, by partition, the first offset that its chain does not cover.
    pub fn due(&self, generation: u32, next: impl Fn(i32) -> i64) -> Vec<Deletion> {
        let passed =
            |deletion: &&Deletion| deletion.cuts.iter().all(|(&partition, &cut)| cut <= next(partition));
        self.open(generation).filter(passed).cloned().collect()
    }

    /// Deletions of removed projects that `generation` has applied. They cover whatever comes later too: a gateway that
    /// cannot reach Redis takes a key for good for a while.
    pub fn removed(&self, generation: u32) -> Vec<Deletion> {
        let removed =
            |deletion: &&Deletion| deletion.metric_id.is_empty() && self.has_applied(generation, deletion);
        self.all().filter(removed).cloned().collect()
    }

    /// The projects that were removed.
    pub fn removed_projects(&self) -> BTreeSet<&str> {
        let removed = self.all().filter(|deletion| deletion.metric_id.is_empty());
        removed.map(|deletion| deletion.project_id.as_str()).collect()
    }

    /// Whether a record that stood at `offset` held a sample that was deleted since.
    pub fn covers(&self, project_id: &str, metric_id: &str, partition: i32, offset: i64) -> bool {
        let of = |metric: &str| self.deletions.get(&(project_id.to_owned(), metric.to_owned()));
        [of(metric_id), of("")]
            .into_iter()
            .flatten()
            .any(|deletion| accounts::deletions::covers(deletion, metric_id, partition, offset))
    }

    /// Whether the two know the same deletions, whoever has applied them.
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
