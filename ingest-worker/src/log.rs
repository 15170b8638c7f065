//! What Kafka holds of a partition: where it begins and ends, and which record stands at an offset.

use crate::chain::LogView;
use crate::record;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Looks at the log by clients of its own, so that no fetching is disturbed. Clones share the one that reads bounds.
#[derive(Clone)]
pub struct Log {
    brokers: String,
    topic: String,
    /// Made when it is needed, and let go of when it fails: it may have lost its way to Kafka. Reading a record takes a
    /// client of its own, for it is assigned.
    watcher: Arc<Mutex<Option<Arc<BaseConsumer>>>>,
}

impl Log {
    /// The log `topic`.
    pub fn new(brokers: &str, topic: &str) -> Self {
        Self { brokers: brokers.to_owned(), topic: topic.to_owned(), watcher: Arc::default() }
    }

    /// The bounds of `partition` and, if asked for, the identity of the record at `at`.
    pub async fn view(&self, partition: i32, at: Option<i64>) -> Result<LogView, KafkaError> {
        let log = self.clone();
        blocking(move || {
            let consumer = log.consumer()?;
            let (start, end) = consumer.fetch_watermarks(&log.topic, partition, TIMEOUT)?;
            let identity = match at.filter(|at| (start..end).contains(at)) {
                Some(at) => log.identity_at(&consumer, partition, at)?,
                None => None,
            };
            Ok(LogView { start, end, identity })
        })
        .await
    }

    /// The first and the next offset of every partition.
    pub async fn bounds(&self) -> Result<Vec<(i32, i64, i64)>, KafkaError> {
        self.watched(|consumer, topic| {
            let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
            let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|p| p.id());
            partitions
                .map(|id| consumer.fetch_watermarks(topic, id, TIMEOUT).map(|(start, end)| (id, start, end)))
                .collect()
        })
        .await
    }

    /// By partition, the offset of the first record that was written at `time_ms` or later; the log's end if none was.
    pub async fn offsets_at(&self, time_ms: i64) -> Result<HashMap<i32, i64>, KafkaError> {
        let bounds = self.bounds().await?;
        self.watched(move |consumer, topic| {
            let mut wanted = TopicPartitionList::new();
            for &(partition, ..) in &bounds {
                wanted.add_partition_offset(topic, partition, Offset::Offset(time_ms))?;
            }
            let found = consumer.offsets_for_times(wanted, TIMEOUT)?;
            let found = found.to_topic_map();
            let offset = |(partition, start, end)| match found.get(&(topic.to_owned(), partition)) {
                Some(Offset::Offset(offset)) => (partition, (*offset).clamp(start, end)),
                _ => (partition, end),
            };
            Ok(bounds.into_iter().map(offset).collect())
        })
        .await
    }

    /// Asks by the shared client.
    async fn watched<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&BaseConsumer, &str) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, KafkaError> {
        let log = self.clone();
        blocking(move || {
            let watcher = log.watcher()?;
            ask(&watcher, &log.topic).inspect_err(|_| drop(log.slot().take()))
        })
        .await
    }

    fn watcher(&self) -> Result<Arc<BaseConsumer>, KafkaError> {
        if let Some(watcher) = &*self.slot() {
            return Ok(watcher.clone());
        }
        // Of two that are made at once one is kept.
        let made = Arc::new(self.consumer()?);
        Ok(self.slot().get_or_insert(made).clone())
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<BaseConsumer>>> {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn consumer(&self) -> Result<BaseConsumer, KafkaError> {
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
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(&self.topic, partition, Offset::Offset(at))?;
        consumer.assign(&place)?;
        let begun = Instant::now();
        while begun.elapsed() < TIMEOUT {
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
