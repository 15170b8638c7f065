//! Reads the bounds of the metrics topic, and the identity of a record at a given offset.

use crate::chain::LogView;
use crate::record;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::KafkaBrokers;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Bounds of a partition of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionBounds {
    pub partition: i32,
    /// Offset of the first record.
    pub start: i64,
    /// Offset after the last record.
    pub end: i64,
}

/// Reads the log with clients of its own, so that fetching is not disturbed. Clones share the client that reads bounds.
#[derive(Clone)]
pub struct KafkaLog {
    brokers: KafkaBrokers,
    topic: String,
    /// Client that reads bounds. Created on demand and dropped after an error, because a stalled client does not recover.
    /// Reading a record needs a client of its own, because it is assigned a partition.
    shared: Arc<Mutex<Option<Arc<BaseConsumer>>>>,
}

impl KafkaLog {
    pub fn new(brokers: &KafkaBrokers, topic: &str) -> Self {
        Self { brokers: brokers.clone(), topic: topic.to_owned(), shared: Arc::default() }
    }

    /// Reads the bounds of `partition` and, if given, the identity of the record at offset `at`.
    pub async fn view(&self, partition: i32, at: Option<i64>) -> Result<LogView, KafkaError> {
        let log = self.clone();
        blocking(move || {
            let consumer = log.create_consumer()?;
            let (start, end) = consumer.fetch_watermarks(&log.topic, partition, TIMEOUT)?;
            let identity = match at.filter(|at| (start..end).contains(at)) {
                Some(at) => log.identity_at(&consumer, partition, at)?,
                None => None,
            };
            Ok(LogView { start, end, identity })
        })
        .await
    }

    /// Reads the bounds of every partition.
    pub async fn bounds(&self) -> Result<Vec<PartitionBounds>, KafkaError> {
        self.with_shared(|consumer, topic| {
            let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
            let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|p| p.id());
            let bounds = |partition| {
                let (start, end) = consumer.fetch_watermarks(topic, partition, TIMEOUT)?;
                Ok(PartitionBounds { partition, start, end })
            };
            partitions.map(bounds).collect()
        })
        .await
    }

    /// Returns, by partition, the offset of the first record written at `time_ms` or later, or the end of the partition if
    /// there is none.
    pub async fn offsets_at(&self, time_ms: i64) -> Result<HashMap<i32, i64>, KafkaError> {
        let bounds = self.bounds().await?;
        self.with_shared(move |consumer, topic| {
            let mut request = TopicPartitionList::new();
            for bounds in &bounds {
                request.add_partition_offset(topic, bounds.partition, Offset::Offset(time_ms))?;
            }
            let found = consumer.offsets_for_times(request, TIMEOUT)?;
            let found = found.to_topic_map();
            let offset =
                |PartitionBounds { partition, start, end }| match found.get(&(topic.to_owned(), partition)) {
                    Some(Offset::Offset(offset)) => (partition, (*offset).clamp(start, end)),
                    _ => (partition, end),
                };
            Ok(bounds.into_iter().map(offset).collect())
        })
        .await
    }

    /// Runs a request on the shared client; drops the client if the request fails.
    async fn with_shared<T: Send + 'static>(
        &self,
        request: impl FnOnce(&BaseConsumer, &str) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, KafkaError> {
        let log = self.clone();
        blocking(move || {
            let consumer = log.shared_consumer()?;
            request(&consumer, &log.topic).inspect_err(|_| drop(log.shared_slot().take()))
        })
        .await
    }

    fn shared_consumer(&self) -> Result<Arc<BaseConsumer>, KafkaError> {
        if let Some(consumer) = &*self.shared_slot() {
            return Ok(consumer.clone());
        }
        // If two are created at the same time, one is kept.
        let created = Arc::new(self.create_consumer()?);
        Ok(self.shared_slot().get_or_insert(created).clone())
    }

    fn shared_slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<BaseConsumer>>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn create_consumer(&self) -> Result<BaseConsumer, KafkaError> {
        service::kafka::client(&self.brokers, "tidemark-ingest-log")
            .set("group.id", "tidemark-ingest-log")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .create()
    }

    fn identity_at(
        &self,
        consumer: &BaseConsumer,
        partition: i32,
        at: i64,
    ) -> Result<Option<uuid::Uuid>, KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, Offset::Offset(at))?;
        consumer.assign(&list)?;
        let started = Instant::now();
        while started.elapsed() < TIMEOUT {
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                let message = message?;
                let found = message.offset() == at;
                return Ok(found.then(|| record::identity(message.payload().unwrap_or_default())));
            }
        }
        Err(KafkaError::MessageConsumption(rdkafka::types::RDKafkaErrorCode::OperationTimedOut))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, KafkaError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(KafkaError::Canceled))
}
