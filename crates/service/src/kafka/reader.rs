//! A consumer that says when it has lost its way to Kafka.
//!
//! A client that was told by a broker that there are no brokers (one that had stood still and was not let in again yet
//! says so) lets go of all that it knew. It has nobody left to ask then, not even those that it was given at first, and
//! reports nothing: its reader would wait for ever. So each consumer is asked for its topic now and then, and where a new
//! client is answered and the old one is not, reading fails with an error of which [`is_lost`] is true. Only a new
//! [`Reader`] goes on from there.

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

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How long Kafka may take to describe the topic.
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);
/// After so many looks without an answer a new client is asked.
const DOUBT_AFTER: u32 = 2;

/// A consumer of a topic. Its other methods are those of [`StreamConsumer`].
pub struct Reader<C: ConsumerContext + 'static = DefaultConsumerContext> {
    consumer: Arc<StreamConsumer<C>>,
    topic: String,
    lost: CancellationToken,
    watch: AbortHandle,
}

/// Whether the error says that the reader will never read again.
pub fn is_lost(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Global(RDKafkaErrorCode::AllBrokersDown))
}

/// The partitions that `topic` has; they are numbered from 0 on. Blocks for up to `timeout`.
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
    /// A consumer with these settings, [`super::client`]'s among them, for `topic`. Needs a runtime.
    pub fn new(config: &ClientConfig, topic: &str) -> KafkaResult<Self> {
        Self::with_context(config, topic, DefaultConsumerContext)
    }
}

impl<C: ConsumerContext + 'static> Reader<C> {
    /// As [`Reader::new`], with a context that is told of rebalances.
    pub fn with_context(config: &ClientConfig, topic: &str, context: C) -> KafkaResult<Self> {
        let consumer: Arc<StreamConsumer<C>> = Arc::new(config.create_with_context(context)?);
        let lost = CancellationToken::new();
        let brokers = config.get("bootstrap.servers").unwrap_or_default().to_owned();
        let watch = watch(brokers, topic.to_owned(), consumer.clone(), lost.clone());
        let watch = tokio::spawn(watch).abort_handle();
        Ok(Self { consumer, topic: topic.to_owned(), lost, watch })
    }

    /// The partitions that the topic has now.
    pub async fn partitions(&self, timeout: Duration) -> KafkaResult<Range<i32>> {
        let (consumer, topic) = (self.consumer.clone(), self.topic.clone());
        // The client blocks while it asks, so no task waits behind it.
        let asked = spawn_blocking(move || partitions(&*consumer, &topic, timeout)).await;
        asked.unwrap_or(Err(KafkaError::Canceled))
    }

    /// Reads a partition too that was added to the topic, from its beginning.
    pub fn add_partition(&self, partition: i32) -> KafkaResult<()> {
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(&self.topic, partition, Offset::Beginning)?;
        self.consumer.incremental_assign(&place)
    }

    /// The next message.
    pub async fn recv(&self) -> KafkaResult<BorrowedMessage<'_>> {
        tokio::select! {
            message = self.consumer.recv() => message,
            () = self.lost.cancelled() => Err(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown)),
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
        self.watch.abort();
        if self.lost.is_cancelled() {
            // It leaves its group by way of Kafka, which it no longer knows: no task may wait for that.
            let consumer = self.consumer.clone();
            std::thread::spawn(move || {
                while Arc::strong_count(&consumer) > 1 {
                    std::thread::sleep(LOOK_EVERY);
                }
                drop(consumer);
            });
        }
    }
}

async fn watch<C: ConsumerContext + 'static>(
    brokers: String,
    topic: String,
    consumer: Arc<StreamConsumer<C>>,
    lost: CancellationToken,
) {
    let mut failures = 0;
    loop {
        sleep(LOOK_EVERY).await;
        let (asked, of) = (consumer.clone(), topic.clone());
        failures = if answered(move || asked.fetch_metadata(Some(&of), LOOK_TIMEOUT).map(drop)).await {
            0
        } else {
            failures + 1
        };
        if failures < DOUBT_AFTER {
            continue;
        }
        let config = super::client(&brokers, "tidemark-look");
        let of = topic.clone();
        let reached = move || {
            let new: BaseConsumer = config.create()?;
            let metadata = new.fetch_metadata(Some(&of), LOOK_TIMEOUT)?;
            if metadata.brokers().is_empty() { Err(KafkaError::Canceled) } else { Ok(()) }
        };
        if answered(reached).await {
            tracing::warn!(topic, "a consumer has lost its way to Kafka: going on with a new one");
            lost.cancel();
            return;
        }
    }
}

/// The question blocks, so no task waits behind it.
async fn answered(question: impl FnOnce() -> KafkaResult<()> + Send + 'static) -> bool {
    spawn_blocking(question).await.is_ok_and(|answer| answer.is_ok())
}
