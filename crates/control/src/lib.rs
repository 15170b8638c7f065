//! Projects, plans, connections and keys: commands, the control log, its Redis projection and the key cache.
//!
//! Guarantees:
//! - The topic `control.v1` is the source of truth. Redis is its projection and can be rebuilt from it.
//! - A command ([`commands`]) publishes an entity's complete new state to the log and applies it to Redis with the
//!   same function that the [`projector`] uses. The offset decides, so an older event never overwrites a newer one.
//! - Revocations, expiries, removals and deletions are separate entities, so no late writer can undo them.
//! - [`keys::KeyCache`] learns within one second that a key was revoked or that Redis cannot be trusted.
//!
//! This crate must not depend on `quota`, `idempotency`, `reads` or `alerting`.

#![warn(missing_docs)]

pub mod commands;
pub mod control_log;
pub mod deletions;
pub mod directory;
mod index;
pub mod key_validity;
pub mod keys;
pub mod partition_layout;
pub mod plans;
pub mod project_entity;
pub mod projection;
pub mod projector;
pub mod rebuild;
pub mod token;

pub use proto::v1::Scope;

/// Scopes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes {
    ingest: bool,
    read: bool,
    manage: bool,
}

impl Scopes {
    /// Creates a set from `scopes`. Unknown scopes are ignored. `manage` implies `read`.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        scopes.into_iter().fold(Self::default(), |mut all, scope| {
            match scope {
                Scope::Ingest => all.ingest = true,
                Scope::Read => all.read = true,
                Scope::Manage => (all.read, all.manage) = (true, true),
                Scope::Unspecified => {}
            }
            all
        })
    }

    /// Iterates over the scopes in the set.
    pub fn all(self) -> impl Iterator<Item = Scope> {
        [Scope::Ingest, Scope::Read, Scope::Manage].into_iter().filter(move |&scope| self.allows(scope))
    }

    /// Returns whether the set contains `scope`.
    pub fn allows(self, scope: Scope) -> bool {
        match scope {
            Scope::Ingest => self.ingest,
            Scope::Read => self.read,
            Scope::Manage => self.manage,
            Scope::Unspecified => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manage_implies_read_and_nothing_else() {
        let manage = Scopes::new([Scope::Manage]);
        assert!(manage.allows(Scope::Manage) && manage.allows(Scope::Read) && !manage.allows(Scope::Ingest));
        let ingest = Scopes::new([Scope::Ingest]);
        assert!(ingest.allows(Scope::Ingest) && !ingest.allows(Scope::Read) && !ingest.allows(Scope::Manage));
    }
}
