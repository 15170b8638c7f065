//! What all handlers share, and the router around them.

use crate::alerts::follower::Follower;
use crate::alerts::history::History;
use crate::alerts::journal::Notes;
use crate::auth::OperatorToken;
use crate::cache::Cache;
use crate::error::{Conflict, Error, Unavailable};
use crate::fault::{Code, Faults};
use crate::generations::Generations;
use crate::hidden::{DeletedSamples, Hidden, View};
use crate::metrics::Metrics;
use crate::outgoing::client::Client;
use crate::session::Sessions;
use crate::session::ended::EndedSessions;
use crate::store::Store;
use crate::stream::tail::Streams;
use crate::usage::Usage;
use crate::watermark::Watermarks;
use crate::{answer, prometheus, routes};
use control::commands::{CommandError, Commands};
use control::directory::Directory;
use control::keys::KeyCache;
use control::projection::ReadError;
use axum::Router;
use axum::middleware::from_fn_with_state;
use proto::v1::alert_record;
use service::client::Clients;
use service::slowdown::Slowdown;
use service::traces::Traces;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How long a change may take; longer than Kafka may take to acknowledge it.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(12);

/// What all handlers share.
pub struct App {
    /// Keys.
    pub keys: KeyCache,
    /// What there is.
    pub directory: Directory,
    /// Changes.
    pub commands: Commands,
    /// The operator's token.
    pub operator: OperatorToken,
    /// Session cookies.
    pub sessions: Sessions,
    /// Which of them were ended before their time.
    pub ended_sessions: EndedSessions,
    /// Which store is read.
    pub generations: Arc<Generations>,
    /// What was deleted.
    pub deleted: Arc<DeletedSamples>,
    /// ClickHouse.
    pub store: Store,
    /// What was read from it lately.
    pub cache: Cache,
    /// Up to when answers are complete.
    pub watermarks: Watermarks,
    /// What became of alert rules.
    pub alerts: Follower,
    /// Where what people say of alerts is written.
    pub notes: Notes,
    /// What happened to alert rules.
    pub history: History,
    /// How often all alert rules are evaluated.
    pub alert_interval: Duration,
    /// Who calls receivers; it knows which it refuses.
    pub outgoing: Client,
    /// Points as they come.
    pub streams: Streams,
    /// Where clients send metrics to.
    pub webhook_url: String,
    /// What projects are used for.
    pub usage: Usage,
    /// Who the clients are.
    pub clients: Clients,
    /// What holds up those who try keys.
    pub slowdown: Slowdown,
    /// Traces of requests.
    pub traces: Traces,
    /// What is counted.
    pub metrics: Metrics,
}

impl App {
    /// The routes with all that is around them.
    pub fn router(self: Arc<Self>) -> Router {
        let (router, _) = routes::all().split_for_parts();
        router
            .merge(routes::docs::serve())
            .nest("/prometheus/api/v1", prometheus::routes())
            .fallback(routes::page::serve)
            .layer(from_fn_with_state(self.clone(), answer::finish))
            .with_state(self)
    }

    /// An error unless the project's plan has alerts.
    pub async fn alerts_allowed(&self, project_id: &str) -> Result<(), Error> {
        let project =
            self.directory.project(project_id).await.map_err(unreadable)?.ok_or(Error::NoProject)?;
        let plan = self.directory.plan(&project.plan).await.map_err(unreadable)?;
        if plan.is_some_and(|plan| plan.alerts) { Ok(()) } else { Err(Error::PlanRequired) }
    }

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

    /// What a request of `project` reads, and what of it is hidden.
    pub async fn view(&self, project: &str) -> Result<View, Error> {
        Ok(self.view_and_deletions(project).await?.0)
    }

    /// The same, with all deletions of the project's metrics.
    pub async fn view_and_deletions(&self, project: &str) -> Result<(View, Hidden), Error> {
        let store = self.generations.store().await?;
        let deleted = self.deleted.of(project, store.number).await?;
        Ok((View { database: store.database, hidden: deleted.open }, deleted.all))
    }

    /// What one who follows `project` in the log must pass over.
    pub async fn hidden_in_log(&self, project: &str) -> Result<Hidden, Error> {
        let store = self.generations.store().await?;
        Ok(self.deleted.of(project, store.number).await?.all)
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
    faults.into_error()
}

/// What is wrong with a plan that does not exist.
pub const UNKNOWN_PLAN: &str = "must be the name of a plan, such as free, pro, scale or unlimited";

/// The error for one who wanted to know what there is.
pub fn unreadable(error: ReadError) -> Error {
    tracing::warn!(%error, "Redis does not say what there is");
    Error::Unavailable(Unavailable::Directory)
}
