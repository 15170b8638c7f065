//! Reads the log from its end, once for all who listen and for the [`Cache`].

use service::kafka::KafkaBrokers;
use super::hub::{Hub, Refused, Wanted};
use super::session::Session;
use crate::cache::Cache;
use crate::error::Error;
use crate::hidden::Hidden;
use proto::Message as _;
use proto::v1::MetricBatch;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::reader::{self, Reader, is_stalled};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How many records of each partition are read that were there before, for their idempotency keys.
const WARM: i64 = 20_000;
/// Between two tries to begin.
const RETRY: Duration = Duration::from_millis(500);
/// How often partitions are looked for that were added.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long Kafka may take to answer each question.
const ANSWER: Duration = Duration::from_secs(5);
/// How many listeners are replayed to at once.
const REPLAYS: usize = 4;

/// How streams behave.
#[derive(Debug, Clone)]
pub struct StreamSettings {
    /// Between two comments.
    pub beat: Duration,
    /// How often the key is looked at again.
    pub key_check: Duration,
    /// How many records may wait for one listener.
    pub room: usize,
    /// How many listeners a project may have.
    pub listeners: usize,
    /// How many records of the log are read for one that comes back; for more it is told of a gap.
    pub replayed: i64,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            beat: Duration::from_secs(15),
            key_check: Duration::from_millis(500),
            room: 1000,
            listeners: 100,
            replayed: 100_000,
        }
    }
}

/// Lets listeners in. Clones share the reader.
#[derive(Clone)]
pub struct Streams(pub(super) Arc<Inner>);

pub(super) struct Inner {
    hub: Mutex<Hub>,
    cache: Cache,
    pub(super) settings: StreamSettings,
    pub(super) brokers: KafkaBrokers,
    pub(super) topic: String,
    pub(super) replays: Arc<Semaphore>,
    pub(super) stop: CancellationToken,
}

impl Streams {
    /// Starts to read `topic` until `stop`, when all streams end, and tells `cache` what it reads.
    pub fn start(
        brokers: &KafkaBrokers,
        topic: &str,
        settings: StreamSettings,
        cache: Cache,
        stop: CancellationToken,
    ) -> Result<Self, KafkaError> {
        let mut config = service::kafka::client(brokers, "tidemark-query-stream");
        config
            // It joins no group: the library wants a name where partitions are assigned by hand.
            .set("group.id", "tidemark-query-stream")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "100")
            .set("queued.max.messages.kbytes", "16384");
        let mut consumer = Reader::new(&config, topic)?;
        let streams = Self(Arc::new(Inner {
            hub: Mutex::default(),
            cache,
            settings,
            brokers: brokers.clone(),
            topic: topic.to_owned(),
            replays: Arc::new(Semaphore::new(REPLAYS)),
            stop: stop.clone(),
        }));
        let tail = streams.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = tail.keep_reading(&config, &mut consumer) => {}
                () = stop.cancelled() => {}
            }
            tail.0.hub().end();
            tail.0.cache.end();
        });
        Ok(streams)
    }

    /// Lets a listener in, from which `hidden` is to be kept. `resume`: the id of the last event that it has.
    pub fn join(
        &self,
        project: &str,
        wanted: Wanted,
        hidden: Hidden,
        resume: Option<&str>,
    ) -> Result<Session, Error> {
        let StreamSettings { room, listeners, .. } = self.0.settings;
        let joined = self.0.hub().join(project, wanted.clone(), room, listeners);
        match joined {
            Ok((now, entries)) => {
                let wanted = (wanted, hidden);
                Ok(Session::new(self.clone(), project, wanted, now, entries, resume))
            }
            Err(Refused::TooMany) => Err(Error::TooManyStreams),
            Err(Refused::NotReading) => Err(Error::QueryFailed),
        }
    }

    async fn keep_reading(&self, config: &ClientConfig, consumer: &mut Reader) {
        loop {
            if let Err(error) = self.read_until_failure(consumer).await {
                tracing::warn!(%error, "the log cannot be followed: streams ended and are resumed later");
                if is_stalled(&error)
                    && let Ok(new) = Reader::new(config, &self.0.topic)
                {
                    *consumer = new;
                }
            }
            self.0.hub().end();
            self.0.cache.end();
            let _ = consumer.unassign();
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn read_until_failure(&self, consumer: &Reader) -> Result<(), KafkaError> {
        let (brokers, topic) = (self.0.brokers.clone(), self.0.topic.clone());
        let limits = ask(move || limits(&brokers, &topic)).await?;
        let from: Vec<i64> = limits.iter().map(|(low, high)| *low.max(&(high - WARM))).collect();
        let ends: Vec<i64> = limits.iter().map(|(_, high)| *high).collect();
        let mut places = TopicPartitionList::new();
        for (partition, offset) in (0..).zip(&from) {
            places.add_partition_offset(&self.0.topic, partition, Offset::Offset(*offset))?;
        }
        self.0.cache.begin(&from);
        self.0.hub().begin(from, ends);
        consumer.assign(&places)?;
        let mut partitions = i32::try_from(limits.len()).unwrap_or(i32::MAX);
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                message = consumer.recv() => match message {
                    Ok(message) => {
                        let batch = MetricBatch::decode(message.payload().unwrap_or_default()).ok();
                        let (partition, offset) = (message.partition(), message.offset());
                        self.0.cache.pass(partition, offset, batch.as_ref());
                        self.0.hub().take(partition, offset, batch);
                    }
                    Err(error) if is_fatal(&error) || is_stalled(&error) => return Err(error),
                    // The library goes on by itself.
                    Err(error) => tracing::debug!(%error, "following the log"),
                },
                _ = look.tick() => partitions = self.add_partitions(consumer, partitions).await?,
            }
        }
    }

    /// Follows partitions that were added since, from their beginning.
    async fn add_partitions(&self, consumer: &Reader, known: i32) -> Result<i32, KafkaError> {
        // Kafka being away is no reason to end anything.
        let Ok(found) = consumer.partitions(ANSWER).await else { return Ok(known) };
        for partition in known..found.end {
            self.0.cache.add_partition();
            self.0.hub().add_partition();
            consumer.add_partition(partition)?;
        }
        Ok(found.end.max(known))
    }
}

impl Inner {
    pub(super) fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client blocks while it asks, so no task waits behind it.
pub(super) async fn ask<T: Send + 'static>(
    question: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, KafkaError> {
    tokio::task::spawn_blocking(question).await.unwrap_or(Err(KafkaError::Canceled))
}

fn client(brokers: &KafkaBrokers) -> Result<BaseConsumer<DefaultConsumerContext>, KafkaError> {
    service::kafka::client(brokers, "tidemark-query-stream").create()
}

/// The first offset and the end of each partition.
fn limits(brokers: &KafkaBrokers, topic: &str) -> Result<Vec<(i64, i64)>, KafkaError> {
    let consumer = client(brokers)?;
    reader::partitions(&consumer, topic, ANSWER)?
        .map(|partition| consumer.fetch_watermarks(topic, partition, ANSWER))
        .collect()
}

/// The place that was to be read is not there: it is no use to go on.
pub(super) fn is_fatal(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::OffsetOutOfRange
                | Code::AutoOffsetReset
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
                | Code::UnknownTopic
        )
    )
}
