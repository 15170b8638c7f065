use super::error::CommandError;

/// Version of an entity that a change was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// Any version; the entity must exist.
    Any,
    /// One of these versions.
    OneOf(Vec<u64>),
}

impl ExpectedVersion {
    /// Fails unless `version` is an expected one.
    pub fn check(&self, version: u64) -> Result<(), CommandError> {
        match self {
            Self::OneOf(versions) if !versions.contains(&version) => Err(CommandError::VersionMismatch),
            _ => Ok(()),
        }
    }
}
