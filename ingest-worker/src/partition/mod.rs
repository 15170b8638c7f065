//! Drives one Kafka partition: performs the actions that the exactly-once protocol ([`crate::chain`]) asks for, and reports
//! their results as events.

mod gather;

use crate::block::Block;
use crate::chain::{Action, Event, InsertOutcome, Machine, Refusal};
use crate::dead_letter::DeadLetterWriter;
use crate::fetch::Fetcher;
use crate::fetched_record::FetchedRecord;
use crate::insert_rate::InsertRate;
use crate::kafka_log::KafkaLog;
use crate::membership::Membership;
use crate::metrics::{Metrics, PartitionLabels};
use crate::store::{InsertResult, Store};
use opentelemetry::KeyValue;
use service::backoff::{Backoff, jitter};
use service::clock::BootInstant;
use service::traces::Traces;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Delay before failed requests and inserts with an unknown outcome are retried.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
/// Pause before a refused partition is checked again, so that nobody has to restart the worker after fixing the cause.
const REFUSED_PAUSE: Duration = Duration::from_secs(15);
const WAIT: Duration = Duration::from_millis(500);
/// A partition with work to do that makes no progress for this long makes the process fail its liveness check.
const LIVENESS_LIMIT: Duration = Duration::from_secs(180);

/// Dependencies that all partitions of a pipeline share.
#[derive(Clone)]
pub struct PartitionContext {
    pub store: Store,
    pub fetcher: Fetcher,
    pub log: KafkaLog,
    /// Commits offsets, and reads those that were committed; none for a scratch database.
    pub membership: Option<Membership>,
    /// None for a scratch database, because the live generation has written the dead letters already.
    pub dead_letters: Option<DeadLetterWriter>,
    pub scope: ReplayScope,
    /// Number of the generation.
    pub generation: u32,
    pub insert_rate: InsertRate,
    pub traces: Traces,
    pub metrics: Arc<Metrics>,
    pub health: service::health::Health,
}

/// The part of the log that is stored. The default is all of it; `verify` replays less.
#[derive(Clone, Default)]
pub struct ReplayScope {
    /// Store the records of this project only.
    pub project: Option<Arc<str>>,
    /// Store that holds the receipts of the records before the beginning of the chain.
    pub earlier_receipts: Option<Store>,
}

/// Drives one partition of one generation.
pub struct PartitionDriver {
    context: PartitionContext,
    partition: i32,
    /// First offset of the chain.
    begin: i64,
    machine: Machine,
    liveness: service::health::Watch,
    records: Option<mpsc::UnboundedReceiver<FetchedRecord>>,
    /// The block that was offered last.
    block: Option<Block>,
    /// Error of the last rejected block, if a single record can be the cause.
    record_error: Option<String>,
    /// Offsets of the records that ClickHouse rejects, with its error, until the chain has passed them.
    rejected_offsets: BTreeMap<i64, String>,
    chain_read_at: BootInstant,
    /// Number of consecutive inserts with an unknown outcome.
    unknown_outcomes: u32,
}

impl PartitionDriver {
    /// Creates a driver for `partition`, whose chain begins at offset `begin`.
    pub fn new(context: PartitionContext, partition: i32, begin: i64) -> Self {
        let name = format!("partition {partition} of generation {}", context.generation);
        let liveness = context.health.watch(&name, LIVENESS_LIMIT);
        Self {
            context,
            partition,
            begin,
            machine: Machine::new(begin),
            liveness,
            records: None,
            block: None,
            record_error: None,
            rejected_offsets: BTreeMap::new(),
            chain_read_at: BootInstant::now(),
            unknown_outcomes: 0,
        }
    }

    /// Stores records until `stop`. An insert that is in flight is completed; if the process ended before that, the next
    /// owner of the partition would read the outcome from the chain.
    pub async fn run(mut self, stop: CancellationToken) {
        let (partition, generation) = (self.partition, self.context.generation);
        tracing::info!(partition, generation, "partition started");
        tokio::select! {
            () = self.expect_committed_offset() => {}
            () = stop.cancelled() => return,
        }
        let mut event = Event::Start;
        loop {
            let action = self.machine.on(event);
            let interruptible = !matches!(action, Action::Insert { .. });
            let performed = self.perform(action);
            event = if interruptible {
                tokio::select! {
                    event = performed => event,
                    () = stop.cancelled() => break,
                }
            } else {
                performed.await
            };
        }
        self.context.insert_rate.forget(partition);
        self.context.metrics.forget_partition(self.labels());
        tracing::info!(partition, generation, "partition stopped");
    }

    /// Tells the machine the committed offset, which reveals a table that lost blocks while no worker was running.
    async fn expect_committed_offset(&mut self) {
        let Some(membership) = self.context.membership.clone() else { return };
        let partition = self.partition;
        let read = || membership.committed_offset(partition);
        if let Some(next) = self.retry_until_ok("read the committed offset", read).await {
            self.machine.expect_stored_before(next);
        }
    }

    fn labels(&self) -> PartitionLabels {
        PartitionLabels { generation: self.context.generation, partition: self.partition }
    }

    async fn perform(&mut self, action: Action) -> Event {
        match action {
            Action::ReadChain => {
                let store = self.context.store.clone();
                let partition = self.partition;
                let before = BootInstant::now();
                let chain = self.retry_until_ok("read the chain", || store.chain(partition)).await;
                self.chain_read_at = before;
                Event::Chain(chain)
            }
            Action::ReadLog(at) => {
                let log = self.context.log.clone();
                let partition = self.partition;
                Event::Log(self.retry_until_ok("read the log", || log.view(partition, at)).await)
            }
            Action::NextBlock { from, keep_fetched } => self.next_block(from, keep_fetched).await,
            Action::Insert { token_form } => Event::Inserted(self.insert(token_form).await),
            Action::FindRunningInsert { token_form } => {
                let store = self.context.store.clone();
                let (partition, offset) = (self.partition, self.machine.next_offset());
                tracing::warn!(
                    partition,
                    offset,
                    token_form,
                    "insert acknowledged but its marker is missing"
                );
                let find = || store.is_insert_running(partition, offset, token_form);
                Event::InsertRunning(self.retry_until_ok("list running inserts", find).await)
            }
            Action::Bisect => self.bisect().await,
            Action::Wait => {
                tokio::time::sleep(WAIT).await;
                Event::Waited
            }
            Action::Refuse(refusal) => self.refuse(refusal).await,
        }
    }

    async fn refuse(&mut self, refusal: Refusal) -> Event {
        tracing::error!(partition = self.partition, generation = self.context.generation, reason = %refusal,
            "partition refused: nothing of it is stored until the cause is fixed");
        self.records = None;
        self.block = None;
        self.liveness.idle();
        self.context.metrics.set_refused(self.labels(), true);
        tokio::time::sleep(REFUSED_PAUSE).await;
        Event::Start
    }

    async fn insert(&mut self, token_form: u32) -> InsertOutcome {
        let Some(block) = &self.block else { return InsertOutcome::Abandoned };
        if self.unknown_outcomes > 0 {
            tokio::time::sleep(BACKOFF.delay(self.unknown_outcomes, jitter())).await;
        }
        let started = Instant::now();
        let store = &self.context.store;
        let InsertResult { outcome, record_error } =
            store.insert(self.partition, block, token_form, self.chain_read_at).await;
        self.record_error = record_error;
        self.context.metrics.insert_seconds.observe(started.elapsed().as_secs_f64());
        match outcome {
            InsertOutcome::Acknowledged => self.unknown_outcomes = 0,
            InsertOutcome::Unknown => {
                self.unknown_outcomes = self.unknown_outcomes.saturating_add(1);
                self.context.metrics.unclear_inserts.inc();
                // A retry counts as progress: the worker is meant to retry for as long as ClickHouse is away, and
                // readiness shows that it does.
                self.liveness.progress();
            }
            InsertOutcome::Rejected | InsertOutcome::Abandoned => {}
        }
        outcome
    }

    /// Reports a block whose marker was read: metrics, traces, and the committed offset.
    fn report_stored(&mut self, block: &Block, next: i64) {
        let metrics = &self.context.metrics;
        metrics.blocks.inc();
        metrics.samples.inc_by(block.samples as u64);
        metrics.block_samples.observe(block.samples as f64);
        if block.newest_ms > 0 {
            let age_ms = service::clock::now_ms().saturating_sub(block.newest_ms).max(0);
            metrics.newest_point_age_seconds.observe(age_ms as f64 / 1000.0);
        }
        metrics.set_next_offset(self.labels(), next);
        for (offset, trace, arrived_at) in &block.traced {
            let mut attributes = self.trace_attributes(*offset);
            let rows = i64::try_from(block.samples).unwrap_or(i64::MAX);
            attributes.push(KeyValue::new("tidemark.block.rows", rows));
            self.context.traces.record("store", trace, *arrived_at, attributes, None);
        }
        if let Some(membership) = &self.context.membership {
            membership.commit_offset(self.partition, next);
        }
        tracing::debug!(partition = self.partition, next, samples = block.samples, "block stored");
    }

    fn trace_attributes(&self, offset: i64) -> Vec<KeyValue> {
        vec![
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.destination.partition.id", self.partition.to_string()),
            KeyValue::new("messaging.kafka.offset", offset),
            KeyValue::new("tidemark.generation", i64::from(self.context.generation)),
        ]
    }

    /// Repeats a request to ClickHouse or Kafka until it succeeds. Failures show in the log, the metrics and readiness.
    async fn retry_until_ok<T, E, F>(&self, operation: &'static str, request: impl Fn() -> F) -> T
    where
        E: Display,
        F: Future<Output = Result<T, E>>,
    {
        let value = BACKOFF
            .retry(request, |attempt, error| {
                self.context.metrics.set_reachable(false);
                self.context.metrics.retries.inc();
                self.liveness.progress();
                tracing::warn!(partition = self.partition, operation, attempt, %error,
                    "request to ClickHouse or Kafka failed; retrying");
            })
            .await;
        self.context.metrics.set_reachable(true);
        value
    }
}
