//! Runs one [`crate::pipeline`] for each generation that the control log lists: usually one, two during a rebuild.

use crate::control_state;
use crate::generation::{GenerationError, GenerationManager};
use crate::insert_rate::InsertRate;
use crate::kafka_log::KafkaLog;
use crate::metrics::Metrics;
use crate::pipeline::{self, PipelineContext};
use crate::settings::Settings;
use control::control_log::{self, ControlWriter};
use proto::topics::Topics;
use proto::v1::Generation;
use service::health::{Condition, Health};
use service::traces::Traces;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const RETRY: Duration = Duration::from_secs(2);

/// Stores metrics in every generation.
pub struct Supervisor {
    /// Settings of the worker.
    pub settings: Settings,
    /// Topics of the installation.
    pub topics: Topics,
    /// Writes the control log.
    pub writer: ControlWriter,
    /// Traces of records.
    pub traces: Traces,
    /// Metrics of the worker.
    pub metrics: Arc<Metrics>,
    /// Health of the process.
    pub health: Health,
    /// Readiness condition: the worker writes to the live generation.
    pub ready: Condition,
}

impl Supervisor {
    /// Runs until `stop`, then waits for the pipelines to complete inserts that are in flight.
    pub async fn run(self, stop: CancellationToken) {
        let manager = GenerationManager::new(&self.settings, &self.topics, &self.writer);
        let Some(log_id) = prepare(&manager, &stop).await else { return };
        let control_state = control_state::follow(manager.clone(), stop.clone());
        let mut generations = control_state.generations.clone();
        let context = PipelineContext {
            log: KafkaLog::new(&manager.brokers, &self.topics.metrics),
            manager,
            log_id,
            insert_rate: InsertRate::default(),
            traces: self.traces,
            metrics: self.metrics,
            health: self.health,
            ready: self.ready,
            control_state,
        };
        let mut running: Vec<(Generation, CancellationToken)> = Vec::new();
        let mut pipelines = JoinSet::new();
        loop {
            let listed = generations.borrow_and_update().generations.clone();
            running.retain(|(generation, token)| {
                let keep = listed.contains(generation);
                if !keep {
                    token.cancel();
                }
                keep
            });
            for generation in listed {
                if !running.iter().any(|(known, _)| *known == generation) {
                    let token = stop.child_token();
                    pipelines.spawn(pipeline::run(context.clone(), generation.clone(), token.clone()));
                    running.push((generation, token));
                }
            }
            tokio::select! {
                changed = generations.changed() => if changed.is_err() { break },
                () = stop.cancelled() => break,
                Some(ended) = pipelines.join_next() => if let Err(error) = ended {
                    // A defect. No pipeline may stop silently, so the process exits and is restarted.
                    tracing::error!(%error, "pipeline panicked; exiting");
                    std::process::exit(70);
                },
            }
        }
        while pipelines.join_next().await.is_some() {}
    }
}

/// Makes sure that there is a generation, and returns the id of the control log. Retries after errors until `stop`.
async fn prepare(manager: &GenerationManager, stop: &CancellationToken) -> Option<String> {
    loop {
        let attempt = async {
            let log_id = control_log::log_id(&manager.brokers, &manager.topics, &manager.writer).await?;
            manager.create_first().await?;
            Ok(log_id)
        };
        let prepared: Result<_, GenerationError> = tokio::select! {
            prepared = attempt => prepared,
            () = stop.cancelled() => return None,
        };
        match prepared {
            Ok(log_id) => return Some(log_id),
            Err(error @ GenerationError::Refused(_)) => {
                tracing::error!(%error, "first generation refused: nothing is written until the cause is fixed");
            }
            Err(error) => tracing::warn!(%error, "first generation could not be prepared; retrying"),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = stop.cancelled() => return None,
        }
    }
}
