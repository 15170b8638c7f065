//! The order of what can be listed: sorted sets in Redis, kept by the function that applies events.
//!
//! A place is made once and never removed. It only says where to look: whether a thing exists is judged by its entities.
//! So a list is as true as they are, and its cursors stay good whatever comes and goes.

use proto::Message as _;
use proto::control::EntityKind;
use proto::v1::{Entity, entity::Kind};
use std::fmt;

/// What is listed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Index {
    /// All projects.
    Projects,
    /// All plans that an operator set.
    Plans,
    /// The connections of a project.
    Connections(String),
    /// The keys of a project that stand alone.
    Keys(String),
    /// The dashboards of a project.
    Dashboards(String),
    /// The alert rules of a project.
    Alerts(String),
    /// The channels of a project.
    Channels(String),
    /// The deletions of a project's samples, each with a place of its own, those of one metric too: the number of places
    /// grows with every one.
    Deletions(String),
}

/// Where something stands in its index: by the moment it was made, then by id. Places are compared as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// When it was made, Unix milliseconds; 0 for what is listed by name.
    created_at_ms: i64,
    id: String,
}

impl Place {
    /// The place of what was made at a moment, Unix milliseconds.
    pub fn new(created_at_ms: i64, id: &str) -> Self {
        Self { created_at_ms, id: id.to_owned() }
    }
}

impl Index {
    /// The word for its kind, and what it belongs to.
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

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016}:{}", self.created_at_ms.max(0), self.id)
    }
}

/// The id in the text of a place.
pub fn id_at(place: &str) -> &str {
    place.split_once(':').map_or(place, |(_, id)| id)
}

/// Where the entity with this state is listed, if it is.
pub fn place(kind: EntityKind, state: &[u8]) -> Option<(Index, Place)> {
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
        // The key of a connection is seen through it.
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
    Some((index, Place { created_at_ms, id }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::{ApiKey, Connection, Deletion};

    fn placed(kind: EntityKind, state: Kind) -> Option<(Index, String)> {
        let (index, place) = place(kind, &Entity { kind: Some(state) }.encode_to_vec())?;
        Some((index, place.to_string()))
    }

    #[test]
    fn places_are_in_the_order_in_which_things_were_made() {
        let at = |created_at_ms, id: &str| {
            let connection = Connection {
                connection_id: id.to_owned(),
                project_id: "prj_a".to_owned(),
                created_at_ms,
                ..Connection::default()
            };
            placed(EntityKind::Connection, Kind::Connection(connection)).expect("connections are listed")
        };
        let (early, late, same) = (at(999, "con_z"), at(1_790_000_000_000, "con_a"), at(999, "con_zz"));
        assert_eq!(early.0, Index::Connections("prj_a".to_owned()));
        assert!(early.1 < same.1 && same.1 < late.1);
        assert_eq!(id_at(&late.1), "con_a");
    }

    #[test]
    fn every_deletion_has_a_place_of_its_own() {
        let at = |deleted_at_ms| {
            let deletion = Deletion {
                project_id: "prj_a".to_owned(),
                metric_id: "m:1".to_owned(),
                deleted_at_ms,
                ..Deletion::default()
            };
            placed(EntityKind::Deletion, Kind::Deletion(deletion)).expect("deletions are listed")
        };
        assert_eq!(at(5).0, Index::Deletions("prj_a".to_owned()));
        assert_ne!(at(5).1, at(6).1);
        assert_eq!((id_at(&at(5).1), id_at(&at(6).1)), ("m:1", "m:1"));
    }

    #[test]
    fn a_connections_key_is_not_listed_by_itself() {
        let key = |connection_id: &str| {
            let key = ApiKey { connection_id: connection_id.to_owned(), ..ApiKey::default() };
            placed(EntityKind::ApiKey, Kind::ApiKey(key))
        };
        assert!(key("").is_some());
        assert_eq!(key("con_a"), None);
    }
}
