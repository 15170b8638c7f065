//! What belongs to a project and is kept for it as it is: dashboards, alert rules, channels.
//!
//! They are made, replaced as a whole, and removed by a [`proto::v1::Removal`], which no late writer undoes.

use crate::index::Index;
use proto::control::EntityKind;
use proto::v1::{Alert, Channel, Dashboard, entity::Kind};

/// An entity that belongs to a project.
pub trait Owned: Clone + Send + Sync + 'static {
    /// Its kind.
    const KIND: EntityKind;
    /// What its ids begin with.
    const PREFIX: &'static str;

    /// The entity in a state, if it is one of these.
    fn of(kind: Kind) -> Option<Self>;
    /// Its state.
    fn into_kind(self) -> Kind;
    /// Its id.
    fn id(&self) -> &str;
    /// Its project.
    fn project_id(&self) -> &str;
    /// Its version, from 1.
    fn version(&self) -> u64;
    /// Names it: id, version, and when it was made and changed, Unix milliseconds.
    fn stamp(&mut self, id: String, version: u64, created_at_ms: i64, updated_at_ms: i64);
    /// When it was made, Unix milliseconds.
    fn created_at_ms(&self) -> i64;
    /// Where those of a project are listed.
    fn index(project_id: &str) -> Index;
}

macro_rules! owned {
    ($kind:ident, $id:ident, $prefix:literal, $index:ident) => {
        impl Owned for $kind {
            const KIND: EntityKind = EntityKind::$kind;
            const PREFIX: &'static str = $prefix;

            fn of(kind: Kind) -> Option<Self> {
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

            fn stamp(&mut self, id: String, version: u64, created_at_ms: i64, updated_at_ms: i64) {
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

owned!(Dashboard, dashboard_id, "dsh", Dashboards);
owned!(Alert, alert_id, "alr", Alerts);
owned!(Channel, channel_id, "chn", Channels);
