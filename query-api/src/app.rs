//! What all handlers share, and the router around them.

use crate::alerts::follower::Follower;
use crate::alerts::history::History;
use crate::alerts::journal::Notes;
use crate::auth::OperatorToken;
use crate::error::Error;
use crate::generations::Generations;
use crate::metrics::Metrics;
use crate::outgoing::client::Client;
use crate::store::Store;
use crate::watermark::Watermarks;
use crate::{answer, routes};
use accounts::commands::{CommandError, Commands};
use accounts::keys::KeyCache;
use axum::Router;
use axum::middleware::from_fn_with_state;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How long a change may take; longer than Kafka may take to acknowledge it.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(12);

/// What all handlers share.
pub struct App {
    /// Keys.
    pub keys: KeyCache,
    /// Changes.
    pub commands: Commands,
    /// The operator's token.
    pub operator: OperatorToken,
    /// Which store is read.
    pub generations: Arc<Generations>,
    /// ClickHouse.
    pub store: Store,
    /// Up to when answers are complete.
    pub watermarks: Watermarks,
    /// What became of alert rules.
    pub alerts: Follower,
    /// Where what people say of alerts is written.
    pub notes: Notes,
    /// What happened to alert rules.
    pub history: History,
    /// Who calls receivers; it knows which it refuses.
    pub outgoing: Client,
    /// Where clients send metrics to.
    pub webhook_url: String,
    /// What is counted.
    pub metrics: Metrics,
}

impl App {
    /// The routes with all that is around them.
    pub fn router(self: Arc<Self>) -> Router {
        let (router, _) = routes::all().split_for_parts();
        router
            .merge(routes::openapi::serve(&routes::openapi::complete()))
            .fallback(async || Error::NoRoute)
            .layer(from_fn_with_state(self.clone(), answer::finish))
            .with_state(self)
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
            Ok(Ok(Err(CommandError::UnknownPlan(_)))) => Err(CommandFailed::UnknownPlan),
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, "a change was not carried out, or not to its end");
                Err(CommandFailed::Unavailable)
            }
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
    /// It may or may not have been made.
    Unavailable,
}
