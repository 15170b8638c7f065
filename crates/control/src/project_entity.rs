//! Entities that a project's users edit: dashboards, alert rules, notification channels.
//!
//! They are created, replaced as a whole, and removed by a [`proto::v1::Removal`], which no late writer can undo.

use crate::index::Index;
use proto::control::EntityKind;
use proto::v1::{Alert, Channel, Dashboard, entity::Kind};

/// Dashboard, alert rule or notification channel of a project.
pub trait ProjectEntity: Clone + Send + Sync + 'static {
    /// Kind of its entities.
    const KIND: EntityKind;
    /// Prefix of its ids.
    const ID_PREFIX: &'static str;

    /// Returns the entity in `kind`. None if it is of another kind.
    fn from_kind(kind: Kind) -> Option<Self>;
    /// Wraps the entity for the control log.
    fn into_kind(self) -> Kind;
    /// Id.
    fn id(&self) -> &str;
    /// Id of its project.
    fn project_id(&self) -> &str;
    /// Version, from 1.
    fn version(&self) -> u64;
    /// Sets id, version and times in Unix milliseconds.
    fn set_metadata(&mut self, id: String, version: u64, created_at_ms: i64, updated_at_ms: i64);
    /// Creation time, Unix milliseconds.
    fn created_at_ms(&self) -> i64;
    /// Index of the project's entities of this kind.
    fn index(project_id: &str) -> Index;
}

macro_rules! project_entity {
    ($kind:ident, $id:ident, $prefix:literal, $index:ident) => {
        impl ProjectEntity for $kind {
            const KIND: EntityKind = EntityKind::$kind;
            const ID_PREFIX: &'static str = $prefix;

            fn from_kind(kind: Kind) -> Option<Self> {
                match kind {
                    Kind::$kind(entity) => Some(entity),
                    _ => None,
                }
            }

            fn into_kind(self) -> Kind {
                Kind::$kind(self)
            }

            fn id(&self) -> &str {
                &self.$id
            }

            fn project_id(&self) -> &str {
                &self.project_id
            }

            fn version(&self) -> u64 {
                self.version
            }

            fn set_metadata(&mut self, id: String, version: u64, created_at_ms: i64, updated_at_ms: i64) {
                self.$id = id;
                (self.version, self.created_at_ms, self.updated_at_ms) =
                    (version, created_at_ms, updated_at_ms);
            }

            fn created_at_ms(&self) -> i64 {
                self.created_at_ms
            }

            fn index(project_id: &str) -> Index {
                Index::$index(project_id.to_owned())
            }
        }
    };
}

project_entity!(Dashboard, dashboard_id, "dsh", Dashboards);
project_entity!(Alert, alert_id, "alr", Alerts);
project_entity!(Channel, channel_id, "chn", Channels);
