//! Projects, plans, connections and keys: their state, its place in Redis, and how it follows from `control.v1`.
//!
//! The log `control.v1` is the truth; Redis is its projection. A command ([`commands`]) publishes an entity's whole new
//! state to the log and applies it to Redis by the very function ([`projection`]) that the projector ([`projector`])
//! uses; the offset decides, so that an older event never overwrites a newer one. [`directory`] tells what there is. The
//! gateway reads keys through
//! [`keys::KeyCache`], which knows within a second when a key was revoked or when Redis cannot be believed, and counts
//! requests by [`quota::Quotas`]; [`deletions`] tells what of a project's samples was deleted; what it has answered under an idempotency key is in [`claims`].

pub mod claims;
pub mod commands;
pub mod control_log;
pub mod deletions;
pub mod directory;
pub mod ends;
mod index;
pub mod keys;
pub mod layout;
pub mod lease;
pub mod owned;
pub mod plans;
pub mod projection;
pub mod projector;
pub mod quota;
mod reach;
pub mod rebuild;
pub mod servers;
pub mod token;

pub use proto::v1::Scope;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes {
    ingest: bool,
    read: bool,
    manage: bool,
}

impl Scopes {
    /// The scopes in `scopes`; unknown ones give nothing. `manage` implies `read`.
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

    /// Everything that they allow.
    pub fn all(self) -> impl Iterator<Item = Scope> {
        [Scope::Ingest, Scope::Read, Scope::Manage].into_iter().filter(move |&scope| self.allows(scope))
    }

    /// Whether they allow what `scope` stands for.
    pub fn allows(self, scope: Scope) -> bool {
        match scope {
            Scope::Ingest => self.ingest,
            Scope::Read => self.read,
            Scope::Manage => self.manage,
            Scope::Unspecified => false,
        }
    }
}

/// Unix milliseconds by this machine's clock.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
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
