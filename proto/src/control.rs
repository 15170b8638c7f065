//! How records of `control.v1` are keyed.

use crate::v1::{Entity, entity::Kind};
use std::fmt;

/// The key of a record: an entity's kind and id, written `kind/id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntityKey {
    /// The entity's kind.
    pub kind: EntityKind,
    /// The entity's id, unique within its kind.
    pub id: String,
}

/// The id of the one entity that lists the generations.
pub const GENERATIONS_ID: &str = "samples";

/// Declares the kinds with the words that stand for them in keys.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $word:literal),* $(,)?) => {
        /// The kinds of entities, as `Entity` lists them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EntityKind { $($(#[$doc])* $kind),* }

        impl EntityKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The word that stands for the kind in keys.
            pub fn word(self) -> &'static str {
                match self { $(Self::$kind => $word),* }
            }
        }
    };
}

kinds! {
    /// The log's certificate of birth.
    LogBirth = "log",
    /// A plan, by name.
    Plan = "plan",
    /// A project.
    Project = "project",
    /// A project's plan, by project.
    ProjectPlan = "project-plan",
    /// A connection.
    Connection = "connection",
    /// A key, by public id.
    ApiKey = "key",
    /// A revocation, by the key's public id.
    Revocation = "revocation",
    /// The generations of the store; there is one such entity, [`GENERATIONS_ID`].
    Generations = "generations",
    /// The end of a replaced key, by the key's public id.
    Expiry = "expiry",
    /// The removal of a project or connection, by its id.
    Removal = "removal",
    /// A deletion of samples, by [`deletion_id`].
    Deletion = "deletion",
    /// That a generation has applied a deletion, by [`applied_id`].
    DeletionApplied = "deletion-applied",
    /// How keyed records of a topic are spread, by topic and declaration.
    TopicLayout = "topic",
    /// A dashboard.
    Dashboard = "dashboard",
    /// An alert rule.
    Alert = "alert",
    /// A channel that notices go to.
    Channel = "channel",
}

/// The id of the deletion of a metric; of all of the project where `metric_id` is empty.
pub fn deletion_id(project_id: &str, metric_id: &str) -> String {
    format!("{project_id}/{metric_id}")
}

/// The id of the note that `generation` has applied the deletion.
pub fn applied_id(generation: u32, project_id: &str, metric_id: &str) -> String {
    format!("{generation}/{}", deletion_id(project_id, metric_id))
}

impl EntityKey {
    /// The key of `entity`; none if it has no kind, as one written by a later version.
    pub fn of(entity: &Entity) -> Option<Self> {
        let (kind, id) = match entity.kind.as_ref()? {
            Kind::LogBirth(birth) => (EntityKind::LogBirth, birth.log_id.clone()),
            Kind::Plan(plan) => (EntityKind::Plan, plan.name.clone()),
            Kind::Project(project) => (EntityKind::Project, project.project_id.clone()),
            Kind::ProjectPlan(plan) => (EntityKind::ProjectPlan, plan.project_id.clone()),
            Kind::Connection(connection) => (EntityKind::Connection, connection.connection_id.clone()),
            Kind::ApiKey(key) => (EntityKind::ApiKey, key.key_id.clone()),
            Kind::Revocation(revocation) => (EntityKind::Revocation, revocation.key_id.clone()),
            Kind::Generations(_) => (EntityKind::Generations, GENERATIONS_ID.to_owned()),
            Kind::Expiry(expiry) => (EntityKind::Expiry, expiry.key_id.clone()),
            Kind::Removal(removal) => (EntityKind::Removal, removal.removed_id.clone()),
            Kind::Dashboard(dashboard) => (EntityKind::Dashboard, dashboard.dashboard_id.clone()),
            Kind::Alert(alert) => (EntityKind::Alert, alert.alert_id.clone()),
            Kind::Channel(channel) => (EntityKind::Channel, channel.channel_id.clone()),
            Kind::Deletion(deletion) => {
                (EntityKind::Deletion, deletion_id(&deletion.project_id, &deletion.metric_id))
            }
            Kind::DeletionApplied(applied) => (
                EntityKind::DeletionApplied,
                applied_id(applied.generation, &applied.project_id, &applied.metric_id),
            ),
            Kind::TopicLayout(layout) => {
                (EntityKind::TopicLayout, format!("{}/{}", layout.topic, layout.declaration_id))
            }
        };
        Some(Self { kind, id })
    }

    /// Reads `kind/id`; none for a kind that this version does not know.
    pub fn parse(text: &str) -> Option<Self> {
        let (word, id) = text.split_once('/')?;
        let kind = EntityKind::ALL.iter().copied().find(|kind| kind.word() == word)?;
        Some(Self { kind, id: id.to_owned() })
    }
}

impl fmt::Display for EntityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.word(), self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_as_it_was_written() {
        for &kind in EntityKind::ALL {
            let key = EntityKey { kind, id: "a/b".to_owned() };
            assert_eq!(EntityKey::parse(&key.to_string()), Some(key));
        }
        assert_eq!(EntityKey::parse("widget/1"), None);
        assert_eq!(EntityKey::parse("plan"), None);
    }
}
