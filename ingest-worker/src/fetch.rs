//! Fetches the records of any partition from any offset.
//!
//! The consumer group assigns partitions to this worker ([`crate::membership`]), and the chain decides where to begin. So
//! records are fetched by a client of their own, which is told partition and offset and commits nothing.
//!
//! An offset that is missing between two records is either a gap in the log (left by compaction or by a transaction
//! marker) or a fault of the fetch. The protocol stores any gap that it is given, so a fault would be a silent loss. A
//! gap is therefore accepted only if a second fetch from its beginning shows it again.

use crate::block;
use crate::fetched_record::FetchedRecord;
use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::KafkaBrokers;
use service::kafka::reader::{Reader, is_stalled};
use service::traces::Traces;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Memory budget of one partition, in bytes of records: one block that is being inserted and one that is being gathered.
const PARTITION_BUDGET_BYTES: u32 = 2 * block::MAX_BYTES as u32;
/// Minimum charge for a record, which bounds the number of small records too.
const MIN_CHARGE_BYTES: u32 = 256;

/// Requests records from the fetch task. Clones share the client.
#[derive(Clone)]
pub struct Fetcher {
    sessions: mpsc::UnboundedSender<Session>,
}

/// The fetch of one partition; lasts until its receiver is dropped.
struct Session {
    partition: i32,
    /// The next expected offset.
    next: i64,
    records: mpsc::UnboundedSender<FetchedRecord>,
    budget: Arc<Semaphore>,
    /// Offset of the record after a gap that was seen once.
    suspected_gap_end: Option<i64>,
}

impl Fetcher {
    /// Starts the task that fetches `topic`.
    pub fn start(
        brokers: &KafkaBrokers,
        topic: &str,
        traces: Traces,
        stop: CancellationToken,
    ) -> Result<Self, KafkaError> {
        let mut config = service::kafka::client(brokers, "tidemark-ingest-fetch");
        config
            .set("group.id", "tidemark-ingest-fetch")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // A missing offset means loss; fetching must not begin elsewhere because of it.
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "100")
            .set("queued.max.messages.kbytes", "16384");
        let (sessions, opened) = mpsc::unbounded_channel();
        let consumer = Reader::new(&config, topic)?;
        let topic = topic.to_owned();
        let task = FetchTask { config, consumer, topic, traces, sessions: HashMap::new() };
        tokio::spawn(task.run(opened, stop));
        Ok(Self { sessions })
    }

    /// Returns the records of `partition` from offset `from` on, in order. The channel closes when fetching fails, or when
    /// the partition is opened again.
    pub fn open(&self, partition: i32, from: i64) -> mpsc::UnboundedReceiver<FetchedRecord> {
        let (records, received) = mpsc::unbounded_channel();
        let budget = Arc::new(Semaphore::new(PARTITION_BUDGET_BYTES as usize));
        // If the task has stopped, the channel closes immediately, which tells the caller.
        let _ =
            self.sessions.send(Session { partition, next: from, records, budget, suspected_gap_end: None });
        received
    }
}

struct FetchTask {
    config: ClientConfig,
    consumer: Reader,
    topic: String,
    traces: Traces,
    sessions: HashMap<i32, Session>,
}

impl FetchTask {
    async fn run(mut self, mut opened: mpsc::UnboundedReceiver<Session>, stop: CancellationToken) {
        let mut sweep = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                session = opened.recv() => match session {
                    Some(session) => self.begin(session),
                    None => return,
                },
                message = self.consumer.recv() => {
                    let step = match message {
                        Ok(message) => accept(&mut self.sessions, &message, &self.traces),
                        Err(error) => {
                            self.on_error(&error);
                            continue;
                        }
                    };
                    self.perform(step).await;
                }
                _ = sweep.tick() => self.close_abandoned(),
            }
        }
    }

    fn begin(&mut self, session: Session) {
        let partition = session.partition;
        if self.sessions.remove(&partition).is_some() {
            self.unassign(partition);
        }
        match self.assign(partition, session.next) {
            Ok(()) => {
                self.sessions.insert(partition, session);
            }
            Err(error) => tracing::warn!(partition, %error, "fetch could not be started"),
        }
    }

    async fn perform(&mut self, step: Step) {
        match step {
            Step::Ignore => {}
            Step::Deliver { partition, mut record, budget, records } => {
                let charge = u32::try_from(record.payload.len())
                    .unwrap_or(PARTITION_BUDGET_BYTES)
                    .clamp(MIN_CHARGE_BYTES, PARTITION_BUDGET_BYTES);
                // While the budget of a partition is used up, nothing is fetched for any partition: Kafka holds the
                // backlog. The budget is returned when the block is stored or the receiver is dropped.
                let reserve = async { budget.acquire_many_owned(charge).await.ok() };
                record.budget = tokio::select! {
                    permit = reserve => permit,
                    () = records.closed() => None,
                };
                if records.send(record).is_err() {
                    self.close(partition);
                }
            }
            Step::FetchAgain { partition, from } => {
                self.unassign(partition);
                if let Err(error) = self.assign(partition, from) {
                    tracing::warn!(partition, %error, "fetch could not be restarted");
                    self.sessions.remove(&partition);
                }
            }
        }
    }

    /// Closes all sessions if the error ends fetching. librdkafka reports an offset out of range without its partition,
    /// so every partition is taken over again: the takeover compares chain and log, and finds the one concerned.
    fn on_error(&mut self, error: &KafkaError) {
        use rdkafka::types::RDKafkaErrorCode as Code;
        tracing::warn!(%error, "fetch failed");
        let stalled = is_stalled(error);
        let fatal = matches!(
            error.rdkafka_error_code(),
            Some(
                Code::OffsetOutOfRange
                    | Code::AutoOffsetReset
                    | Code::UnknownTopicOrPartition
                    | Code::UnknownPartition
                    | Code::UnknownTopic
            )
        );
        if stalled || fatal {
            for partition in self.sessions.keys().copied().collect::<Vec<_>>() {
                self.close(partition);
            }
        }
        if stalled {
            match Reader::new(&self.config, &self.topic) {
                Ok(new) => self.consumer = new,
                Err(error) => tracing::error!(%error, "Kafka consumer could not be recreated"),
            }
        }
    }

    fn close_abandoned(&mut self) {
        let abandoned = self.sessions.values().filter(|session| session.records.is_closed());
        for partition in abandoned.map(|session| session.partition).collect::<Vec<_>>() {
            self.close(partition);
        }
    }

    fn close(&mut self, partition: i32) {
        if self.sessions.remove(&partition).is_some() {
            self.unassign(partition);
        }
    }

    fn assign(&self, partition: i32, from: i64) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, Offset::Offset(from))?;
        self.consumer.incremental_assign(&list)
    }

    fn unassign(&self, partition: i32) {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        if let Err(error) = self.consumer.incremental_unassign(&list) {
            tracing::debug!(partition, %error, "partition was not assigned");
        }
    }
}

/// The next step after a message was received.
enum Step {
    Ignore,
    Deliver {
        partition: i32,
        record: FetchedRecord,
        budget: Arc<Semaphore>,
        records: mpsc::UnboundedSender<FetchedRecord>,
    },
    /// A gap was seen for the first time: fetch again from its beginning.
    FetchAgain {
        partition: i32,
        from: i64,
    },
}

/// Matches a message with the session of its partition, and detects gaps.
fn accept(sessions: &mut HashMap<i32, Session>, message: &BorrowedMessage<'_>, traces: &Traces) -> Step {
    let Some(session) = sessions.get_mut(&message.partition()) else { return Step::Ignore };
    let offset = message.offset();
    if offset < session.next {
        // A late message of an earlier session.
        return Step::Ignore;
    }
    if offset > session.next && session.suspected_gap_end != Some(offset) {
        session.suspected_gap_end = Some(offset);
        return Step::FetchAgain { partition: session.partition, from: session.next };
    }
    session.suspected_gap_end = None;
    session.next = offset + 1;
    Step::Deliver {
        partition: session.partition,
        record: FetchedRecord::from_message(message, traces),
        budget: session.budget.clone(),
        records: session.records.clone(),
    }
}
