use crate::{Scope, Scopes};

/// A valid key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Public id.
    pub key_id: String,
    /// Project that the key belongs to.
    pub project_id: String,
    /// Connection that the key was created for; empty for a standalone key.
    pub connection_id: String,
    /// Scopes of the key.
    pub scopes: Scopes,
    /// Hourly request limit of the project's plan; none if the plan has no limit.
    pub requests_per_hour: Option<u64>,
}

impl Key {
    /// Returns whether the key has `scope`.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.allows(scope)
    }
}

/// Why a token was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The token is malformed, its key does not exist or its secret is wrong.
    #[error("the key is unknown")]
    Unknown,
    /// The key was revoked or has expired.
    #[error("the key was revoked or has expired")]
    Revoked,
    /// Redis is unavailable and the key is not cached.
    #[error("the key cannot be looked up at the moment")]
    Unavailable,
}
