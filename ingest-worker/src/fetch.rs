//! Fetches records of any partition from any offset.
//!
//! The consumer group says which partitions this worker looks after ([`crate::membership`]); where to begin says the
//! chain. So fetching is a client of its own that is told partition and offset, and keeps no offsets.
//!
//! A record that is missing between two others is a gap in the log (compaction, a transaction's mark) or a fault of the
//! fetching. The protocol stores whatever gaps the log has, so a fault would be silent loss: a gap is believed only when
//! a second fetch from its beginning shows it again.

use opentelemetry::trace::SpanContext;
use proto::topics::{Place, dead};
use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::reader::{Reader, is_lost};
use service::traces::{TRACEPARENT, Traces};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// What one partition may hold in this process, in bytes of records: two blocks, one that is being inserted and one that
/// is being gathered.
const ROOM: u32 = 2 * crate::block::MAX_BYTES as u32;
/// No record counts less, so that the number of small ones is bounded too.
const LEAST: u32 = 256;

/// A record as it came from Kafka.
#[derive(Debug)]
pub struct Record {
    /// Its offset.
    pub offset: i64,
    /// Its value; empty if it had none.
    pub payload: Vec<u8>,
    /// The offset that it stood at first, in the same partition, if it is a retried dead letter.
    pub origin: Option<i64>,
    /// The span that sent it, if it is traced.
    pub trace: Option<SpanContext>,
    /// When it came.
    pub arrived: Instant,
    /// Its share of the partition's room; whoever is done with the record drops it.
    pub room: Option<OwnedSemaphorePermit>,
}

/// Asks for records. Clones share the client.
#[derive(Clone)]
pub struct Fetch {
    sessions: mpsc::UnboundedSender<Session>,
}

/// One partition that is being fetched, until its receiver is dropped.
struct Session {
    partition: i32,
    /// The next offset that is expected.
    next: i64,
    records: mpsc::UnboundedSender<Record>,
    room: Arc<Semaphore>,
    /// A gap that was seen once: the offset of the record after it.
    suspected: Option<i64>,
}

impl Fetch {
    /// Starts the client that fetches `topic`.
    pub fn start(
        brokers: &str,
        topic: &str,
        traces: Traces,
        stop: CancellationToken,
    ) -> Result<Self, KafkaError> {
        let mut config = service::kafka::client(brokers, "tidemark-ingest-fetch");
        config
            .set("group.id", "tidemark-ingest-fetch")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // An offset that is not there is loss, and never a reason to begin elsewhere.
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "100")
            .set("queued.max.messages.kbytes", "16384");
        let (sessions, opened) = mpsc::unbounded_channel();
        let consumer = Reader::new(&config, topic)?;
        let topic = topic.to_owned();
        let fetcher = Fetcher { config, consumer, topic, traces, sessions: HashMap::new() };
        tokio::spawn(fetcher.run(opened, stop));
        Ok(Self { sessions })
    }

    /// The records of `partition` from offset `from` on, in order. The channel ends when fetching failed, or when the
    /// partition was opened again.
    pub fn open(&self, partition: i32, from: i64) -> mpsc::UnboundedReceiver<Record> {
        let (records, received) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(ROOM as usize));
        // If the fetcher has stopped, the channel ends at once, which says so.
        let _ = self.sessions.send(Session { partition, next: from, records, room, suspected: None });
        received
    }
}

struct Fetcher {
    config: ClientConfig,
    consumer: Reader,
    topic: String,
    traces: Traces,
    sessions: HashMap<i32, Session>,
}

impl Fetcher {
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
                    let delivered = match message {
                        Ok(message) => take(&mut self.sessions, &message, &self.traces),
                        Err(error) => {
                            self.failed(&error);
                            continue;
                        }
                    };
                    self.deliver(delivered).await;
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
            Err(error) => tracing::warn!(partition, %error, "could not begin to fetch"),
        }
    }

    async fn deliver(&mut self, delivered: Delivered) {
        match delivered {
            Delivered::Nothing => {}
            Delivered::Record(partition, mut record, room, records) => {
                let share = u32::try_from(record.payload.len()).unwrap_or(ROOM).clamp(LEAST, ROOM);
                // While a partition's room is full, nothing is fetched for anyone: Kafka holds the backlog. The room
                // comes back when its block is stored or its receiver is dropped.
                let wait = async { room.acquire_many_owned(share).await.ok() };
                record.room = tokio::select! {
                    share = wait => share,
                    () = records.closed() => None,
                };
                if records.send(record).is_err() {
                    self.close(partition);
                }
            }
            Delivered::Again(partition, from) => {
                self.unassign(partition);
                if let Err(error) = self.assign(partition, from) {
                    tracing::warn!(partition, %error, "could not fetch again");
                    self.sessions.remove(&partition);
                }
            }
        }
    }

    /// librdkafka tells of an offset out of range without its partition, so whoever may be concerned begins anew: a
    /// takeover compares chain and log and finds out which.
    fn failed(&mut self, error: &KafkaError) {
        use rdkafka::types::RDKafkaErrorCode as Code;
        tracing::warn!(%error, "fetching failed");
        let lost = is_lost(error);
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
        if lost || fatal {
            for partition in self.sessions.keys().copied().collect::<Vec<_>>() {
                self.close(partition);
            }
        }
        if lost {
            match Reader::new(&self.config, &self.topic) {
                Ok(new) => self.consumer = new,
                Err(error) => tracing::error!(%error, "a new consumer could not be made"),
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
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(&self.topic, partition, Offset::Offset(from))?;
        self.consumer.incremental_assign(&place)
    }

    fn unassign(&self, partition: i32) {
        let mut place = TopicPartitionList::new();
        place.add_partition(&self.topic, partition);
        if let Err(error) = self.consumer.incremental_unassign(&place) {
            tracing::debug!(partition, %error, "was not being fetched");
        }
    }
}

/// What a message comes to.
enum Delivered {
    Nothing,
    Record(i32, Record, Arc<Semaphore>, mpsc::UnboundedSender<Record>),
    /// A gap was seen for the first time: fetch again from its beginning.
    Again(i32, i64),
}

fn take(sessions: &mut HashMap<i32, Session>, message: &BorrowedMessage<'_>, traces: &Traces) -> Delivered {
    let Some(session) = sessions.get_mut(&message.partition()) else { return Delivered::Nothing };
    let offset = message.offset();
    if offset < session.next {
        // A late arrival from before this session.
        return Delivered::Nothing;
    }
    if offset > session.next && session.suspected != Some(offset) {
        session.suspected = Some(offset);
        return Delivered::Again(session.partition, session.next);
    }
    session.suspected = None;
    session.next = offset + 1;
    let record = Record {
        offset,
        payload: message.payload().unwrap_or_default().to_vec(),
        origin: origin(message),
        trace: header(message, TRACEPARENT)
            .filter(|_| is_recent(message))
            .and_then(|traceparent| traces.of_record(traceparent)),
        arrived: Instant::now(),
        room: None,
    };
    Delivered::Record(session.partition, record, session.room.clone(), session.records.clone())
}

/// Where a retried dead letter says that it comes from. One that names another partition says nothing of this one.
fn origin(message: &BorrowedMessage<'_>) -> Option<i64> {
    let place = Place::parse(std::str::from_utf8(header(message, dead::ORIGIN)?).ok()?)?;
    (place.topic == message.topic() && place.partition == message.partition()).then_some(place.offset)
}

fn header<'a>(message: &'a BorrowedMessage<'_>, key: &str) -> Option<&'a [u8]> {
    message.headers()?.iter().find(|header| header.key == key)?.value
}

/// Whether the log has had it for less than an hour: a replay is nothing that happens to requests.
fn is_recent(message: &BorrowedMessage<'_>) -> bool {
    const HOUR_MS: i64 = 3_600_000;
    message.timestamp().to_millis().is_some_and(|at| at > accounts::now_ms() - HOUR_MS)
}
