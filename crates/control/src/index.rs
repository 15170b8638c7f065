//! Indexes: sorted sets in Redis that list entities in order of creation. [`Projection::apply`] maintains them.
//!
//! An index entry is written once and never removed. It is only a candidate: the entities decide whether the
//! listed object exists. So lists are as correct as the entities, and cursors stay valid when objects are created
//! or removed.
//!
//! [`Projection::apply`]: crate::projection::Projection::apply

use proto::Message as _;
use proto::control::EntityKind;
use proto::v1::{Entity, entity::Kind};
use std::fmt;

/// A set of entities that are listed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Index {
    /// All projects.
    Projects,
    /// All plans that an operator created or changed.
    Plans,
    /// The connections of a project.
    Connections(String),
    /// The standalone keys of a project.
    Keys(String),
    /// The dashboards of a project.
    Dashboards(String),
    /// The alert rules of a project.
    Alerts(String),
    /// The notification channels of a project.
    Channels(String),
    /// The deletions of a project's samples. Each deletion has its own entry, even for the same metric, so every
    /// deletion increases the number of entries.
    Deletions(String),
}

/// An entry of an index. Its text form sorts by creation time, then by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// Unix milliseconds; 0 for entities that are listed by name.
    created_at_ms: i64,
    id: String,
}

impl IndexEntry {
    pub fn new(created_at_ms: i64, id: &str) -> Self {
        Self { created_at_ms, id: id.to_owned() }
    }
}

impl Index {
    /// Returns the index's kind as used in Redis keys, and the project that it belongs to.
    pub fn name(&self) -> (&'static str, &str) {
        match self {
            Self::Projects => ("projects", "all"),
            Self::Plans => ("plans", "all"),
            Self::Connections(project_id) => ("connections", project_id),
            Self::Keys(project_id) => ("keys", project_id),
            Self::Dashboards(project_id) => ("dashboards", project_id),
            Self::Alerts(project_id) => ("alerts", project_id),
            Self::Channels(project_id) => ("channels", project_id),
            Self::Deletions(project_id) => ("deletions", project_id),
        }
    }
}

impl fmt::Display for IndexEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016}:{}", self.created_at_ms.max(0), self.id)
    }
}

/// Returns the id in the text form of an entry.
pub fn entry_id(entry: &str) -> &str {
    entry.split_once(':').map_or(entry, |(_, id)| id)
}

/// Returns the index and the entry of the entity with this state. None if its kind is not listed.
pub fn entry_of(kind: EntityKind, state: &[u8]) -> Option<(Index, IndexEntry)> {
    let listed = matches!(
        kind,
        EntityKind::Project
            | EntityKind::Plan
            | EntityKind::Connection
            | EntityKind::ApiKey
            | EntityKind::Dashboard
            | EntityKind::Alert
            | EntityKind::Channel
            | EntityKind::Deletion
    );
    let entity = if listed { Entity::decode(state).ok()?.kind? } else { return None };
    let (index, created_at_ms, id) = match entity {
        Kind::Project(project) => (Index::Projects, project.created_at_ms, project.project_id),
        Kind::Plan(plan) => (Index::Plans, 0, plan.name),
        Kind::Connection(connection) => {
            (Index::Connections(connection.project_id), connection.created_at_ms, connection.connection_id)
        }
        // A connection's key is listed with its connection.
        Kind::ApiKey(key) if key.connection_id.is_empty() => {
            (Index::Keys(key.project_id), key.created_at_ms, key.key_id)
        }
        Kind::Dashboard(dashboard) => {
            (Index::Dashboards(dashboard.project_id), dashboard.created_at_ms, dashboard.dashboard_id)
        }
        Kind::Alert(alert) => (Index::Alerts(alert.project_id), alert.created_at_ms, alert.alert_id),
        Kind::Channel(channel) => {
            (Index::Channels(channel.project_id), channel.created_at_ms, channel.channel_id)
        }
        Kind::Deletion(deletion) => {
            (Index::Deletions(deletion.project_id), deletion.deleted_at_ms, deletion.metric_id)
        }
        _ => return None,
    };
    Some((index, IndexEntry { created_at_ms, id }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::{ApiKey, Connection, Deletion};

    fn indexed(kind: EntityKind, state: Kind) -> Option<(Index, String)> {
        let (index, entry) = entry_of(kind, &Entity { kind: Some(state) }.encode_to_vec())?;
        Some((index, entry.to_string()))
    }

    #[test]
    fn entries_sort_by_creation_time_then_id() {
        let at = |created_at_ms, id: &str| {
            let connection = Connection {
                connection_id: id.to_owned(),
                project_id: "prj_a".to_owned(),
                created_at_ms,
                ..Connection::default()
            };
            indexed(EntityKind::Connection, Kind::Connection(connection)).expect("connections are listed")
        };
        let (early, late, same) = (at(999, "con_z"), at(1_790_000_000_000, "con_a"), at(999, "con_zz"));
        assert_eq!(early.0, Index::Connections("prj_a".to_owned()));
        assert!(early.1 < same.1 && same.1 < late.1);
        assert_eq!(entry_id(&late.1), "con_a");
    }

    #[test]
    fn every_deletion_has_its_own_entry() {
        let at = |deleted_at_ms| {
            let deletion = Deletion {
                project_id: "prj_a".to_owned(),
                metric_id: "m:1".to_owned(),
                deleted_at_ms,
                ..Deletion::default()
            };
            indexed(EntityKind::Deletion, Kind::Deletion(deletion)).expect("deletions are listed")
        };
        assert_eq!(at(5).0, Index::Deletions("prj_a".to_owned()));
        assert_ne!(at(5).1, at(6).1);
        assert_eq!((entry_id(&at(5).1), entry_id(&at(6).1)), ("m:1", "m:1"));
    }

    #[test]
    fn key_of_a_connection_is_not_listed() {
        let key = |connection_id: &str| {
            let key = ApiKey { connection_id: connection_id.to_owned(), ..ApiKey::default() };
            indexed(EntityKind::ApiKey, Kind::ApiKey(key))
        };
        assert!(key("").is_some());
        assert_eq!(key("con_a"), None);
    }
}
