//! The path of the data into one generation of the store. A newcomer reads this file first.
//!
//! | stage | where | what it does |
//! |---|---|---|
//! | assign | [`crate::membership`] | the consumer group distributes the partitions of `metrics.v1` over the workers |
//! | source | [`crate::fetch`] | reads a partition from the offset after the head of its chain, within a memory budget |
//! | decode | [`crate::record`] | turns a record into a batch, or rejects it; a rejected record becomes a dead letter |
//! | gather | [`crate::partition`] | collects batches into a block for as long as [`crate::insert_rate`] allows |
//! | deduplicate | [`crate::idempotency`] | drops records that repeat a stored one |
//! | write | [`crate::store`] | inserts the block as one part whose last row is a marker |
//! | verify | [`crate::chain`] | reads the head again; only a marker proves that a block is stored |
//! | report | [`crate::partition`] | updates metrics and traces, and commits the Kafka offset for display |
//!
//! The marker is the commit: where a worker continues follows from the table alone. Beside the partitions, one worker
//! applies deletions ([`crate::deletion`]).
//!
//! Usually there is one generation. During a rebuild there are two, and [`crate::supervisor`] runs a pipeline for each,
//! with chains and a consumer group of its own.

use crate::control_state::ControlState;
use crate::dead_letter::DeadLetterWriter;
use crate::deletion::{self, Deleter};
use crate::fetch::Fetcher;
use crate::generation::{GenerationError, GenerationManager};
use crate::insert_rate::InsertRate;
use crate::kafka_log::KafkaLog;
use crate::membership::{self, Change, Membership};
use crate::metrics::Metrics;
use crate::partition::{PartitionContext, PartitionDriver, ReplayScope};
use crate::store::Store;
use proto::v1::Generation;
use rdkafka::error::KafkaError;
use service::health::{Condition, Health};
use service::traces::Traces;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const RETRY: Duration = Duration::from_secs(2);
const LAG_INTERVAL: Duration = Duration::from_secs(2);

/// Dependencies that the pipelines of a worker share.
#[derive(Clone)]
pub struct PipelineContext {
    pub manager: GenerationManager,
    /// Id of the control log; part of every deduplication token.
    pub log_id: String,
    pub log: KafkaLog,
    pub insert_rate: InsertRate,
    pub traces: Traces,
    pub metrics: Arc<Metrics>,
    pub health: Health,
    /// Readiness condition: the worker writes to the live generation.
    pub ready: Condition,
    pub control_state: ControlState,
}

/// Writes the log to `generation` until `stop`, and completes inserts that are in flight. Retries after errors.
pub async fn run(context: PipelineContext, generation: Generation, stop: CancellationToken) {
    let number = generation.number;
    while !stop.is_cancelled() {
        let checked = tokio::select! {
            checked = context.manager.check(&generation) => checked,
            () = stop.cancelled() => return,
        };
        match checked {
            Ok(()) => {
                if let Err(error) = run_until_lost(&context, &generation, &stop).await {
                    tracing::warn!(generation = number, %error, "pipeline could not be started; retrying");
                }
            }
            Err(error @ GenerationError::Refused(_)) => {
                tracing::error!(generation = number, %error,
                    "generation refused: nothing is written to it until the cause is fixed");
            }
            Err(error) => tracing::warn!(generation = number, %error, "generation check failed; retrying"),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = stop.cancelled() => {}
        }
    }
    context.metrics.forget_generation(number);
    tracing::info!(generation = number, "stopped writing to the generation");
}

/// Joins the consumer group and drives the assigned partitions until `stop`, or until the group is lost.
async fn run_until_lost(
    context: &PipelineContext,
    generation: &Generation,
    stop: &CancellationToken,
) -> Result<(), KafkaError> {
    let Generation { number, database, .. } = generation;
    let GenerationManager { brokers, topics, client, .. } = &context.manager;
    // Cancelled at the end of this function, with the worker or before it.
    let stop = stop.child_token();
    let group = membership::group_id(database);
    let (membership, changes) = Membership::join(brokers, &topics.metrics, &group, stop.clone())?;
    // Fetching continues until the drivers have ended.
    let stop_fetching = CancellationToken::new();
    let partitions = PartitionContext {
        store: Store::new(client, database, format!("{number}/{}", context.log_id)),
        fetcher: Fetcher::start(brokers, &topics.metrics, context.traces.clone(), stop_fetching.clone())?,
        log: context.log.clone(),
        membership: Some(membership),
        dead_letters: Some(DeadLetterWriter::new(brokers, &topics.dead, &topics.metrics)?),
        scope: ReplayScope::default(),
        generation: *number,
        insert_rate: context.insert_rate.for_generation(*number),
        traces: context.traces.clone(),
        metrics: context.metrics.clone(),
        health: context.health.clone(),
    };
    tracing::info!(generation = number, database, "writing to the generation");
    if context.control_state.generations.borrow().read == *number {
        context.ready.set(true);
    }
    tokio::spawn(report_lag(partitions.clone(), stop.clone()));
    let assignment = Assignment {
        context,
        generation,
        partitions,
        stop: stop.clone(),
        owned: HashMap::new(),
        drivers: JoinSet::new(),
    };
    assignment.follow(changes).await;
    stop_fetching.cancel();
    Ok(())
}

/// The partitions that this worker owns, with a driver for each.
struct Assignment<'a> {
    context: &'a PipelineContext,
    generation: &'a Generation,
    partitions: PartitionContext,
    stop: CancellationToken,
    owned: HashMap<i32, CancellationToken>,
    drivers: JoinSet<()>,
}

impl Assignment<'_> {
    /// Starts and stops drivers as partitions are assigned and revoked. Returns when all drivers have ended after a stop
    /// or the loss of the group.
    async fn follow(mut self, mut changes: mpsc::UnboundedReceiver<Change>) {
        loop {
            let change = tokio::select! {
                change = changes.recv() => change,
                () = self.stop.cancelled() => None,
                Some(ended) = self.drivers.join_next() => {
                    if let Err(error) = ended {
                        // A defect. No partition may stop silently, so the process exits and is restarted.
                        tracing::error!(%error, "partition driver panicked; exiting");
                        std::process::exit(70);
                    }
                    continue;
                }
            };
            match change {
                Some(Change::Assigned(partitions)) => {
                    partitions.into_iter().for_each(|partition| self.start(partition))
                }
                Some(Change::Revoked(partitions)) => {
                    for partition in partitions {
                        if let Some(token) = self.owned.remove(&partition) {
                            token.cancel();
                        }
                    }
                }
                Some(Change::Lost) | None => break,
            }
            self.partitions.insert_rate.set_owned_partitions(self.owned.len());
            self.context.metrics.set_owned_partitions(self.generation.number, self.owned.len());
        }
        self.stop.cancel();
        while self.drivers.join_next().await.is_some() {}
    }

    fn start(&mut self, partition: i32) {
        let begin = self.generation.begins.get(&partition).copied().unwrap_or(0);
        let token = self.stop.child_token();
        let driver = PartitionDriver::new(self.partitions.clone(), partition, begin);
        self.drivers.spawn(driver.run(token.clone()));
        if partition == deletion::DELETER_PARTITION {
            self.drivers.spawn(self.deleter().run(token.clone()));
        }
        if let Some(earlier) = self.owned.insert(partition, token) {
            earlier.cancel();
        }
    }

    fn deleter(&self) -> Deleter {
        let PipelineContext { manager, control_state, metrics, .. } = self.context;
        let deletions = control_state.deletions.clone();
        Deleter::new(manager.clone(), self.generation.clone(), deletions, metrics.clone())
    }
}

async fn report_lag(partitions: PartitionContext, stop: CancellationToken) {
    let mut tick = tokio::time::interval(LAG_INTERVAL);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        match partitions.log.bounds().await {
            Ok(bounds) => {
                partitions.insert_rate.set_topic_partitions(bounds.len());
                let ends = bounds.into_iter().map(|bounds| (bounds.partition, bounds.end));
                partitions.metrics.set_log_ends(partitions.generation, ends);
            }
            Err(error) => tracing::debug!(%error, "bounds of the log could not be read"),
        }
    }
}
