//! Changes: commands to the control log and records of the alert topic, each with a timeout.

use crate::app::App;
use crate::error::{Conflict, Error, Unavailable};
use crate::faults::{FaultCode, Faults};
use control::commands::{CommandError, Commands};
use proto::v1::alert_record;
use std::time::Duration;

/// Timeout of a change; longer than Kafka may take to acknowledge a record.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(12);

impl App {
    /// Appends a record to the alert topic, and waits until this replica has read it.
    pub async fn append_alert_record(&self, kind: alert_record::Kind) -> Result<(), Error> {
        let append = async {
            let offset = self.user_records.write(kind).await?;
            self.alerts.reached(offset).await;
            Ok::<(), rdkafka::error::KafkaError>(())
        };
        match tokio::time::timeout(COMMAND_TIMEOUT, append).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::warn!(%error, "alert topic write failed");
                Err(Error::Unavailable(Unavailable::Command))
            }
            Err(_) => {
                tracing::warn!("alert topic write timed out");
                Err(Error::Unavailable(Unavailable::Command))
            }
        }
    }

    /// Runs a command to its end even if the client disconnects, so that no change stays half done.
    pub async fn command<T, F>(&self, run: impl FnOnce(Commands) -> F) -> Result<T, CommandFailed>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, CommandError>> + Send + 'static,
    {
        let work = tokio::spawn(tokio::time::timeout(COMMAND_TIMEOUT, run(self.commands.clone())));
        match work.await {
            Ok(Ok(Ok(done))) => Ok(done),
            Ok(Ok(Err(error))) => Err(CommandFailed::from(error)),
            Ok(Err(_)) => {
                tracing::warn!("command timed out");
                Err(CommandFailed::Unavailable)
            }
            Err(error) => {
                tracing::error!(%error, "command task panicked");
                Err(CommandFailed::Unavailable)
            }
        }
    }
}

/// The reason why a command failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandFailed {
    /// The plan does not exist.
    UnknownPlan,
    /// The entity to change does not exist.
    NotFound,
    /// The entity has another version than the expected one.
    VersionMismatch,
    /// The entity's state does not allow the change.
    Conflict(Conflict),
    /// The outcome of the change is unknown.
    Unavailable,
}

impl From<CommandError> for CommandFailed {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::UnknownPlan(_) => Self::UnknownPlan,
            CommandError::NotFound => Self::NotFound,
            CommandError::VersionMismatch => Self::VersionMismatch,
            CommandError::Busy => Self::Conflict(Conflict::Busy),
            CommandError::TooManyKeys => Self::Conflict(Conflict::TooManyKeys),
            CommandError::Log(_) | CommandError::Redis(_) | CommandError::TooLate => {
                tracing::warn!(%error, "command failed");
                Self::Unavailable
            }
        }
    }
}

impl CommandFailed {
    /// Returns the error for the client: `not_found` if the entity to change does not exist.
    pub fn or(self, not_found: Error) -> Error {
        match self {
            Self::UnknownPlan => Faults::one("plan", FaultCode::UnknownPlan, UNKNOWN_PLAN).into(),
            Self::NotFound => not_found,
            Self::VersionMismatch => Error::VersionMismatch,
            Self::Conflict(conflict) => Error::Conflict(conflict),
            Self::Unavailable => Error::Unavailable(Unavailable::Command),
        }
    }
}

/// The message of the fault `unknown_plan`.
pub const UNKNOWN_PLAN: &str = "must be the name of a plan, such as free, pro, scale or unlimited";
