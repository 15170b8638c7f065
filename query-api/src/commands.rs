//! Commands of the control log and of the alert log, carried out within a time limit.

use crate::app::App;
use crate::error::{Conflict, Error, Unavailable};
use crate::fault::{Code, Faults};
use control::commands::{CommandError, Commands};
use proto::v1::alert_record;
use std::time::Duration;

/// Time limit of a command; longer than Kafka may take to acknowledge it.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(12);

impl App {
    /// Records what somebody says of alerts, and waits until this replica has read it.
    pub async fn note(&self, kind: alert_record::Kind) -> Result<(), Error> {
        let written = async {
            let offset = self.notes.write(kind).await?;
            self.alerts.reached(offset).await;
            Ok::<(), rdkafka::error::KafkaError>(())
        };
        match tokio::time::timeout(COMMAND_TIMEOUT, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the topic of alerts cannot be written");
                Err(Error::Unavailable(Unavailable::Command))
            }
            Err(_) => Err(Error::Unavailable(Unavailable::Command)),
        }
    }

    /// Carries a change out to its end, also if the client leaves meanwhile: half of one would be of use to nobody.
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
                tracing::warn!("a change took too long");
                Err(CommandFailed::Unavailable)
            }
            Err(error) => {
                tracing::error!(%error, "a change was interrupted");
                Err(CommandFailed::Unavailable)
            }
        }
    }
}

/// Why a change was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandFailed {
    /// There is no such plan.
    UnknownPlan,
    /// What is to be changed is not there.
    NotFound,
    /// It has another version than the change was made for.
    VersionMismatch,
    /// Its state does not allow it.
    Conflict(Conflict),
    /// It may or may not have been made.
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
                tracing::warn!(%error, "a change was not carried out, or not to its end");
                Self::Unavailable
            }
        }
    }
}

impl CommandFailed {
    /// The error for the client; `missing` if what is to be changed is not there.
    pub fn or(self, missing: Error) -> Error {
        match self {
            Self::UnknownPlan => unknown_plan(),
            Self::NotFound => missing,
            Self::VersionMismatch => Error::VersionMismatch,
            Self::Conflict(conflict) => Error::Conflict(conflict),
            Self::Unavailable => Error::Unavailable(Unavailable::Command),
        }
    }
}

fn unknown_plan() -> Error {
    let mut faults = Faults::default();
    faults.add("plan", Code::UnknownPlan, UNKNOWN_PLAN);
    Error::from(faults)
}

/// What is wrong with a plan that does not exist.
pub const UNKNOWN_PLAN: &str = "must be the name of a plan, such as free, pro, scale or unlimited";
