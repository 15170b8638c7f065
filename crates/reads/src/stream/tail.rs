//! Tail of the log: reads new records once per process, for all listeners and for the [`Cache`].

use super::is_fatal;
use super::listeners::{JoinError, Listeners, MetricFilter};
use super::session::Session;
use crate::cache::Cache;
use crate::deletions::DeletionMask;
use crate::error::Error;
use proto::Message as _;
use proto::v1::MetricBatch;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::KafkaBrokers;
use service::kafka::reader::{self, Reader, is_stalled};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Number of earlier records of each partition that are read at the start to fill the deduplication window.
const WARM_UP_RECORDS: i64 = 20_000;
/// Delay before the tail restarts after a failure.
const RESTART_DELAY: Duration = Duration::from_millis(500);
/// Interval of checks for added partitions.
const PARTITION_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Timeout of each Kafka metadata request.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of concurrent replays.
pub(super) const MAX_CONCURRENT_REPLAYS: usize = 4;

/// Limits and intervals of streams.
#[derive(Debug, Clone)]
pub struct StreamSettings {
    /// Interval between two heartbeat comments.
    pub heartbeat_interval: Duration,
    /// Interval of checks whether the API key is still valid.
    pub key_check_interval: Duration,
    /// Maximum number of records in the queue of a listener.
    pub queue_capacity: usize,
    /// Maximum number of listeners of a project.
    pub max_listeners: usize,
    /// Maximum number of records that are replayed to a client that reconnects. If it missed more, it gets a
    /// `gap` event.
    pub max_replayed_records: i64,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(15),
            key_check_interval: Duration::from_millis(500),
            queue_capacity: 1000,
            max_listeners: 100,
            max_replayed_records: 100_000,
        }
    }
}

/// Live streams of points. Clones share the tail.
#[derive(Clone)]
pub struct Streams(pub(super) Arc<Inner>);

pub(super) struct Inner {
    listeners: Mutex<Listeners>,
    cache: Cache,
    pub(super) settings: StreamSettings,
    pub(super) brokers: KafkaBrokers,
    pub(super) topic: String,
    pub(super) replays: Arc<Semaphore>,
    pub(super) stop: CancellationToken,
}

impl Streams {
    /// Starts the tail of `topic`, which also invalidates entries of `cache`. `stop` ends it and all streams.
    pub fn start(
        brokers: &KafkaBrokers,
        topic: &str,
        settings: StreamSettings,
        cache: Cache,
        stop: CancellationToken,
    ) -> Result<Self, KafkaError> {
        let mut config = service::kafka::client(brokers, "tidemark-query-stream");
        config
            // The consumer joins no group, but librdkafka requires a name to assign partitions manually.
            .set("group.id", "tidemark-query-stream")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "100")
            .set("queued.max.messages.kbytes", "16384");
        let mut consumer = Reader::new(&config, topic)?;
        let streams = Self(Arc::new(Inner {
            listeners: Mutex::default(),
            cache,
            settings,
            brokers: brokers.clone(),
            topic: topic.to_owned(),
            replays: Arc::new(Semaphore::new(MAX_CONCURRENT_REPLAYS)),
            stop: stop.clone(),
        }));
        let tail = streams.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = tail.run(&config, &mut consumer) => {}
                () = stop.cancelled() => {}
            }
            tail.0.listeners().stop();
            tail.0.cache.stop_following();
        });
        Ok(streams)
    }

    /// Adds a listener. It gets no points that `deletions` covers. `resume`: id of the last event that the
    /// client has received.
    pub fn join(
        &self,
        project: &str,
        filter: MetricFilter,
        deletions: DeletionMask,
        resume: Option<&str>,
    ) -> Result<Session, Error> {
        let StreamSettings { queue_capacity, max_listeners, .. } = self.0.settings;
        let joined = self.0.listeners().join(project, filter.clone(), queue_capacity, max_listeners);
        match joined {
            Ok((cursor, queue)) => {
                Ok(Session::new(self.clone(), project, (filter, deletions), cursor, queue, resume))
            }
            Err(JoinError::TooManyListeners) => Err(Error::TooManyStreams),
            Err(JoinError::NotReading) => Err(Error::QueryFailed),
        }
    }

    async fn run(&self, config: &ClientConfig, consumer: &mut Reader) {
        loop {
            if let Err(error) = self.read_until_failure(consumer).await {
                tracing::warn!(%error, "stream tail failed: streams disconnected and the cache was emptied; restarting");
                if is_stalled(&error)
                    && let Ok(new) = Reader::new(config, &self.0.topic)
                {
                    *consumer = new;
                }
            }
            self.0.listeners().stop();
            self.0.cache.stop_following();
            let _ = consumer.unassign();
            tokio::time::sleep(RESTART_DELAY).await;
        }
    }

    async fn read_until_failure(&self, consumer: &Reader) -> Result<(), KafkaError> {
        let (brokers, topic) = (self.0.brokers.clone(), self.0.topic.clone());
        let ranges = run_blocking(move || offset_ranges(&brokers, &topic)).await?;
        let from: Vec<i64> = ranges.iter().map(|(low, high)| *low.max(&(high - WARM_UP_RECORDS))).collect();
        let ends: Vec<i64> = ranges.iter().map(|(_, high)| *high).collect();
        let mut assignment = TopicPartitionList::new();
        for (partition, offset) in (0..).zip(&from) {
            assignment.add_partition_offset(&self.0.topic, partition, Offset::Offset(*offset))?;
        }
        self.0.cache.start_following(&from);
        self.0.listeners().start(from, ends);
        consumer.assign(&assignment)?;
        let mut partitions = i32::try_from(ranges.len()).unwrap_or(i32::MAX);
        let mut partition_check = tokio::time::interval(PARTITION_CHECK_INTERVAL);
        loop {
            tokio::select! {
                message = consumer.recv() => match message {
                    Ok(message) => {
                        let batch = MetricBatch::decode(message.payload().unwrap_or_default()).ok();
                        let (partition, offset) = (message.partition(), message.offset());
                        self.0.cache.apply_record(partition, offset, batch.as_ref());
                        self.0.listeners().deliver(partition, offset, batch);
                    }
                    Err(error) if is_fatal(&error) || is_stalled(&error) => return Err(error),
                    // librdkafka recovers from other errors itself.
                    Err(error) => tracing::debug!(%error, "stream tail: transient Kafka error"),
                },
                _ = partition_check.tick() => partitions = self.add_partitions(consumer, partitions).await?,
            }
        }
    }

    /// Follows partitions that were added to the topic, from their first offset. Returns the number of
    /// partitions.
    async fn add_partitions(&self, consumer: &Reader, count: i32) -> Result<i32, KafkaError> {
        // A failed check must not end the streams.
        let Ok(found) = consumer.partitions(KAFKA_TIMEOUT).await else { return Ok(count) };
        for partition in count..found.end {
            self.0.cache.add_partition();
            self.0.listeners().add_partition();
            consumer.add_partition(partition)?;
        }
        Ok(found.end.max(count))
    }
}

impl Inner {
    pub(super) fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a blocking request of the Kafka client on a thread of its own.
async fn run_blocking<T: Send + 'static>(
    request: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, KafkaError> {
    tokio::task::spawn_blocking(request).await.unwrap_or(Err(KafkaError::Canceled))
}

fn client(brokers: &KafkaBrokers) -> Result<BaseConsumer<DefaultConsumerContext>, KafkaError> {
    service::kafka::client(brokers, "tidemark-query-stream").create()
}

/// Returns the first offset and the end of each partition.
fn offset_ranges(brokers: &KafkaBrokers, topic: &str) -> Result<Vec<(i64, i64)>, KafkaError> {
    let consumer = client(brokers)?;
    reader::partitions(&consumer, topic, KAFKA_TIMEOUT)?
        .map(|partition| consumer.fetch_watermarks(topic, partition, KAFKA_TIMEOUT))
        .collect()
}
