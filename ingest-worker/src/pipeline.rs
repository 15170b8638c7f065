//! The way of the data: every generation that lives is fed from the log ([`crate::feed`]). Usually there is one; while a
//! rebuild is under way there are two, side by side, each with chains and a consumer group of its own.

use crate::feed::{Parts, feed};
use crate::follow;
use crate::generation::{GenerationError, Generator};
use crate::log::Log;
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::settings::Settings;
use accounts::control_log::{self, ControlWriter};
use proto::topics::Topics;
use proto::v1::Generation;
use service::health::{Condition, Health};
use service::traces::Traces;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const RETRY: Duration = Duration::from_secs(2);

/// Stores metrics until `stop`.
pub struct Pipeline {
    /// The settings.
    pub settings: Settings,
    /// The installation's topics.
    pub topics: Topics,
    /// Writes the control log.
    pub writer: ControlWriter,
    /// Traces of records.
    pub traces: Traces,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Health.
    pub health: Health,
    /// Holds once the worker writes to the generation that is read.
    pub ready: Condition,
}

impl Pipeline {
    /// Runs until `stop`, then brings what has begun to its end.
    pub async fn run(self, stop: CancellationToken) {
        let generator = Generator::new(&self.settings, &self.topics, &self.writer);
        let Some(log_id) = begin(&generator, &stop).await else { return };
        let followed = follow::start(generator.clone(), stop.clone());
        let mut generations = followed.generations.clone();
        let parts = Parts {
            log: Log::new(&generator.brokers, &self.topics.metrics),
            generator,
            log_id,
            pace: Pace::default(),
            traces: self.traces,
            metrics: self.metrics,
            health: self.health,
            ready: self.ready,
            followed,
        };
        let mut fed: Vec<(Generation, CancellationToken)> = Vec::new();
        let mut feeds = JoinSet::new();
        loop {
            let live = generations.borrow_and_update().generations.clone();
            fed.retain(|(generation, token)| {
                let lives = live.contains(generation);
                if !lives {
                    token.cancel();
                }
                lives
            });
            for generation in live {
                if !fed.iter().any(|(known, _)| *known == generation) {
                    let token = stop.child_token();
                    feeds.spawn(feed(parts.clone(), generation.clone(), token.clone()));
                    fed.push((generation, token));
                }
            }
            tokio::select! {
                changed = generations.changed() => if changed.is_err() { break },
                () = stop.cancelled() => break,
                Some(ended) = feeds.join_next() => if let Err(error) = ended {
                    // A bug: no part of the work may stop without a word. Whoever starts us starts anew.
                    tracing::error!(%error, "the feed of a generation died");
                    std::process::exit(70);
                },
            }
        }
        while feeds.join_next().await.is_some() {}
    }
}

/// Sees to it that there is a generation; gives the control log's id. What is in the way is said, and tried again.
async fn begin(generator: &Generator, stop: &CancellationToken) -> Option<String> {
    loop {
        let attempt = async {
            let log_id =
                control_log::log_id(&generator.brokers, &generator.topics, &generator.writer).await?;
            generator.make_first().await?;
            Ok(log_id)
        };
        let begun: Result<_, GenerationError> = tokio::select! {
            begun = attempt => begun,
            () = stop.cancelled() => return None,
        };
        match begun {
            Ok(log_id) => return Some(log_id),
            Err(error @ GenerationError::Refused(_)) => {
                tracing::error!(%error, "REFUSED: nothing is written")
            }
            Err(error) => tracing::warn!(%error, "cannot begin yet"),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = stop.cancelled() => return None,
        }
    }
}
