use crate::control_log::LogError;
use crate::projection::ReadError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The log could not be written. The event may still arrive.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Redis could not be read or written.
    #[error(transparent)]
    Redis(#[from] ReadError),
    /// The project's new plan does not exist.
    #[error("plan `{0}` does not exist")]
    UnknownPlan(String),
    /// The entity to change does not exist.
    #[error("the entity does not exist")]
    NotFound,
    /// The entity has another version than the command expects.
    #[error("the entity has been changed since it was read")]
    VersionMismatch,
    /// Another command holds the entity's lock. Nothing was changed.
    #[error("another command is changing the entity")]
    Busy,
    /// The connection has the maximum number of replaced keys in their grace period.
    #[error("too many replaced keys are in their grace period")]
    TooManyKeys,
    /// The lock became too old before all events were published. Some of them may have been published.
    #[error("the command took too long and was abandoned")]
    TooLate,
}

impl From<redis::RedisError> for CommandError {
    fn from(error: redis::RedisError) -> Self {
        Self::Redis(error.into())
    }
}
