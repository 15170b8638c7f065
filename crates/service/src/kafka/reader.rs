//! A Kafka consumer that detects its own stall.
//!
//! A broker that was suspended and has not rejoined its cluster yet answers metadata requests with an empty
//! list of brokers. librdkafka then forgets all brokers, including the bootstrap servers: the client can
//! connect to nothing, reports no error, and a consumer waits for ever. Therefore a task requests the topic's
//! metadata through each consumer at an interval. When these requests fail while one of a new client
//! succeeds, reading fails with an error for which [`is_stalled`] returns true. Only a new [`Reader`] can
//! continue.

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, DefaultConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Interval of the metadata checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(3);
/// Timeout of one metadata check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);
/// Number of consecutive failed checks after which a new client is tried.
const MAX_FAILED_CHECKS: u32 = 2;

/// A consumer of one topic that detects its own stall. Dereferences to [`StreamConsumer`].
pub struct Reader<C: ConsumerContext + 'static = DefaultConsumerContext> {
    consumer: Arc<StreamConsumer<C>>,
    topic: String,
    stalled: CancellationToken,
    stall_detector: AbortHandle,
}

/// Returns whether the error means that the reader has stalled and will never read again.
pub fn is_stalled(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Global(RDKafkaErrorCode::AllBrokersDown))
}

/// Returns the partitions of `topic`, which are numbered from 0. Blocks for up to `timeout`.
pub fn partitions<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topic: &str,
    timeout: Duration,
) -> KafkaResult<Range<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), timeout)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
    match found.map(|found| found.partitions().len()) {
        None | Some(0) => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic)),
        Some(count) => Ok(0..i32::try_from(count).unwrap_or(i32::MAX)),
    }
}

impl Reader {
    /// Creates a consumer for `topic`. `config` must extend that of [`super::client`]. Must be called within
    /// a tokio runtime.
    pub fn new(config: &ClientConfig, topic: &str) -> KafkaResult<Self> {
        Self::with_context(config, topic, DefaultConsumerContext)
    }
}

impl<C: ConsumerContext + 'static> Reader<C> {
    /// Creates a consumer like [`Reader::new`], with a context that is notified of rebalances.
    pub fn with_context(config: &ClientConfig, topic: &str, context: C) -> KafkaResult<Self> {
        let consumer: Arc<StreamConsumer<C>> = Arc::new(config.create_with_context(context)?);
        let stalled = CancellationToken::new();
        let detection = detect_stall(config.clone(), topic.to_owned(), consumer.clone(), stalled.clone());
        let stall_detector = tokio::spawn(detection).abort_handle();
        Ok(Self { consumer, topic: topic.to_owned(), stalled, stall_detector })
    }

    /// Requests the current partitions of the topic.
    pub async fn partitions(&self, timeout: Duration) -> KafkaResult<Range<i32>> {
        let (consumer, topic) = (self.consumer.clone(), self.topic.clone());
        // The request blocks its thread, so it must not run on a runtime worker.
        let result = spawn_blocking(move || partitions(&*consumer, &topic, timeout)).await;
        result.unwrap_or(Err(KafkaError::Canceled))
    }

    /// Adds a partition that was added to the topic, and reads it from its beginning.
    pub fn add_partition(&self, partition: i32) -> KafkaResult<()> {
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&self.topic, partition, Offset::Beginning)?;
        self.consumer.incremental_assign(&assignment)
    }

    /// Returns the next message. After a stall, returns an error for which [`is_stalled`] is true.
    pub async fn recv(&self) -> KafkaResult<BorrowedMessage<'_>> {
        tokio::select! {
            message = self.consumer.recv() => message,
            () = self.stalled.cancelled() => Err(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown)),
        }
    }
}

impl<C: ConsumerContext + 'static> Deref for Reader<C> {
    type Target = StreamConsumer<C>;

    fn deref(&self) -> &Self::Target {
        &self.consumer
    }
}

impl<C: ConsumerContext + 'static> Drop for Reader<C> {
    fn drop(&mut self) {
        self.stall_detector.abort();
        if self.stalled.is_cancelled() {
            // Dropping a consumer makes it leave its group, which blocks while it cannot connect to Kafka.
            // That must not happen on a runtime worker, so a thread of its own holds the last reference.
            let consumer = self.consumer.clone();
            std::thread::spawn(move || {
                while Arc::strong_count(&consumer) > 1 {
                    std::thread::sleep(CHECK_INTERVAL);
                }
                drop(consumer);
            });
        }
    }
}

/// Cancels `stalled` and returns once `consumer` fails its metadata checks while a new client passes one.
async fn detect_stall<C: ConsumerContext + 'static>(
    config: ClientConfig,
    topic: String,
    consumer: Arc<StreamConsumer<C>>,
    stalled: CancellationToken,
) {
    let mut failures = 0;
    loop {
        sleep(CHECK_INTERVAL).await;
        let (checked, name) = (consumer.clone(), topic.clone());
        let check = move || checked.fetch_metadata(Some(&name), CHECK_TIMEOUT).map(drop);
        failures = if succeeds(check).await { 0 } else { failures + 1 };
        if failures < MAX_FAILED_CHECKS {
            continue;
        }
        let config = probe_config(&config);
        let name = topic.clone();
        let check_with_new_client = move || {
            let client: BaseConsumer = config.create()?;
            let metadata = client.fetch_metadata(Some(&name), CHECK_TIMEOUT)?;
            if metadata.brokers().is_empty() { Err(KafkaError::Canceled) } else { Ok(()) }
        };
        if succeeds(check_with_new_client).await {
            tracing::warn!(topic, "Kafka consumer stalled; recreating it");
            stalled.cancel();
            return;
        }
    }
}

/// Runs a check on a blocking thread, because the request blocks.
async fn succeeds(check: impl FnOnce() -> KafkaResult<()> + Send + 'static) -> bool {
    spawn_blocking(check).await.is_ok_and(|result| result.is_ok())
}
/// Returns the configuration of a client for the same cluster that shares nothing else with the consumer.
fn probe_config(consumer: &ClientConfig) -> ClientConfig {
    let shared = ["bootstrap.servers", "security.", "ssl.", "sasl.", "socket."];
    let mut config = ClientConfig::new();
    for (name, value) in consumer.config_map() {
        if shared.iter().any(|prefix| name.starts_with(prefix)) {
            config.set(name, value);
        }
    }
    config.set("client.id", "tidemark-look");
    config
}
