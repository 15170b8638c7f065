//! Keys of the records of `control.v1`.

use crate::v1::{Entity, entity::Kind};
use std::fmt;

/// Key of a record: the kind and the id of an entity, written as `kind/id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntityKey {
    /// Kind of the entity.
    pub kind: EntityKind,
    /// Id of the entity, unique within its kind.
    pub id: String,
}

/// Id of the only entity of the kind [`EntityKind::Generations`].
pub const GENERATIONS_ID: &str = "samples";

/// Declares the kinds with their names in keys.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal),* $(,)?) => {
        /// Kind of an entity; one for each variant of the message `Entity`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EntityKind { $($(#[$doc])* $kind),* }

        impl EntityKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// Name of the kind in keys.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name),* }
            }
        }
    };
}

kinds! {
    /// Birth record of the control log. Id: the log id.
    LogBirth = "log",
    /// Plan. Id: its name.
    Plan = "plan",
    /// Project.
    Project = "project",
    /// Plan of a project. Id: the project's.
    ProjectPlan = "project-plan",
    /// Connection.
    Connection = "connection",
    /// API key. Id: its public id.
    ApiKey = "key",
    /// Revocation of a key. Id: the key's public id.
    Revocation = "revocation",
    /// Generations of the store. Id: [`GENERATIONS_ID`].
    Generations = "generations",
    /// Expiry of a replaced key. Id: the key's public id.
    Expiry = "expiry",
    /// Removal of a project or connection. Id: that of the project or connection.
    Removal = "removal",
    /// Deletion of samples. Id: [`deletion_id`].
    Deletion = "deletion",
    /// Application of a deletion by a generation. Id: [`deletion_applied_id`].
    DeletionApplied = "deletion-applied",
    /// Distribution of keyed records over the partitions of a topic. Id: topic and declaration.
    TopicLayout = "topic",
    /// Dashboard.
    Dashboard = "dashboard",
    /// Alert rule.
    Alert = "alert",
    /// Channel for notifications.
    Channel = "channel",
}

/// Returns the id of the deletion of a metric, or of all metrics of the project if `metric_id` is empty.
pub fn deletion_id(project_id: &str, metric_id: &str) -> String {
    format!("{project_id}/{metric_id}")
}

/// Returns the id of the entity that says that `generation` has applied a deletion.
pub fn deletion_applied_id(generation: u32, project_id: &str, metric_id: &str) -> String {
    format!("{generation}/{}", deletion_id(project_id, metric_id))
}

impl EntityKey {
    /// Returns the key of `entity`, or `None` for a kind that only a later version knows.
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
                deletion_applied_id(applied.generation, &applied.project_id, &applied.metric_id),
            ),
            Kind::TopicLayout(layout) => {
                (EntityKind::TopicLayout, format!("{}/{}", layout.topic, layout.declaration_id))
            }
        };
        Some(Self { kind, id })
    }

    /// Parses `kind/id`. Returns `None` for a kind that only a later version knows.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, id) = text.split_once('/')?;
        let kind = EntityKind::ALL.iter().copied().find(|kind| kind.as_str() == name)?;
        Some(Self { kind, id: id.to_owned() })
    }
}

impl fmt::Display for EntityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displayed_key_parses_to_itself() {
        for &kind in EntityKind::ALL {
            let key = EntityKey { kind, id: "a/b".to_owned() };
            assert_eq!(EntityKey::parse(&key.to_string()), Some(key));
        }
        assert_eq!(EntityKey::parse("widget/1"), None);
        assert_eq!(EntityKey::parse("plan"), None);
    }
}
