//! The control log, topic `control.v1`: writing it, reading it from an offset, and identifying it.
//!
//! Offsets are only comparable within one log. A log is identified by the id in its first `LogBirth` record. Each
//! `LogBirth` has a unique key, so compaction never removes it. Redis stores the log id with every offset.

use proto::control::EntityKey;
use proto::topics::Topics;
use proto::v1::{Entity, LogBirth, entity::Kind};
use proto::{DecodeError, Message as _};
use rdkafka::consumer::{BaseConsumer, Consumer as _, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::FutureRecord;
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::KafkaBrokers;
use service::kafka::reader::Reader;
use service::kafka::writer::Writer;
use std::time::Duration;

/// The log has a single partition, so all events have one order.
const PARTITION: i32 = 0;
/// Maximum time for Kafka to acknowledge a control event.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Kafka failed.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// A record is not an entity: it was written by something else or is damaged.
    #[error("the record at offset {0} of the control log cannot be decoded: {1}")]
    Undecodable(i64, DecodeError),
    /// The entity to publish has no kind and therefore no record key.
    #[error("an entity without a kind cannot be published")]
    NoKind,
    /// The task that waited for Kafka was cancelled.
    #[error("interrupted while waiting for Kafka")]
    Interrupted,
}

/// A record of the log.
#[derive(Debug, Clone)]
pub struct Event {
    /// Offset in the log.
    pub offset: i64,
    /// Kind and id of the entity; none for a kind that this version does not know.
    pub key: Option<EntityKey>,
    /// The new state, encoded; none if the entity was removed.
    pub value: Option<Vec<u8>>,
}

/// Writes the log.
#[derive(Clone)]
pub struct ControlWriter {
    writer: Writer,
    topic: String,
}

impl ControlWriter {
    /// Creates a writer. A record fails unless all in-sync replicas acknowledge it within `timeout`.
    pub fn new(brokers: &KafkaBrokers, topics: &Topics, timeout: Duration) -> Result<Self, LogError> {
        let mut config = service::kafka::client(brokers, "tidemark-control");
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .set("message.timeout.ms", timeout.as_millis().to_string());
        Ok(Self { writer: Writer::new(&config)?, topic: topics.control.clone() })
    }

    /// Publishes the entity's new state. Returns once all in-sync replicas have it.
    pub async fn publish(&self, entity: &Entity) -> Result<Event, LogError> {
        let key = EntityKey::of(entity).ok_or(LogError::NoKind)?;
        let value = entity.encode_to_vec();
        let text = key.to_string();
        let record = FutureRecord::to(&self.topic).partition(PARTITION).key(&text).payload(&value);
        let delivery = self.writer.write(record).await?;
        Ok(Event { offset: delivery.offset, key: Some(key), value: Some(value) })
    }
}

/// Reads the log from an offset.
pub struct ControlReader {
    consumer: Reader,
}

impl ControlReader {
    /// Creates a reader that starts at `offset`.
    pub fn starting_at(brokers: &KafkaBrokers, topics: &Topics, offset: i64) -> Result<Self, LogError> {
        let mut config = service::kafka::client(brokers, "tidemark-control");
        config
            .set("group.id", "tidemark-control-reader")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "100");
        let consumer = Reader::new(&config, &topics.control)?;
        let mut assignment = TopicPartitionList::new();
        let offset = if offset <= 0 { Offset::Beginning } else { Offset::Offset(offset) };
        assignment.add_partition_offset(&topics.control, PARTITION, offset)?;
        consumer.assign(&assignment)?;
        Ok(Self { consumer })
    }

    /// Waits for the next event.
    pub async fn next(&self) -> Result<Event, LogError> {
        let message = self.consumer.recv().await?;
        let key = message.key().and_then(|key| std::str::from_utf8(key).ok()).and_then(EntityKey::parse);
        Ok(Event { offset: message.offset(), key, value: message.payload().map(<[u8]>::to_vec) })
    }
}

/// Returns the offset after the log's last record.
pub async fn end_offset(brokers: &KafkaBrokers, topics: &Topics) -> Result<i64, LogError> {
    Ok(offset_bounds(brokers, topics).await?.1)
}

async fn offset_bounds(brokers: &KafkaBrokers, topics: &Topics) -> Result<(i64, i64), LogError> {
    let consumer: BaseConsumer<DefaultConsumerContext> =
        service::kafka::client(brokers, "tidemark-control").create()?;
    let topic = topics.control.clone();
    tokio::task::spawn_blocking(move || consumer.fetch_watermarks(&topic, PARTITION, METADATA_TIMEOUT))
        .await
        .map_err(|_| LogError::Interrupted)?
        .map_err(LogError::from)
}

/// Reads the latest event of each entity, in log order, and the end offset.
pub async fn snapshot(brokers: &KafkaBrokers, topics: &Topics) -> Result<(Vec<Event>, i64), LogError> {
    let (begin, end) = offset_bounds(brokers, topics).await?;
    let mut events = Vec::new();
    if begin < end {
        let reader = ControlReader::starting_at(brokers, topics, begin)?;
        // Compaction never removes the last record, so the loop ends.
        while events.last().is_none_or(|last: &Event| last.offset + 1 < end) {
            events.push(reader.next().await?);
        }
    }
    let mut latest = std::collections::HashMap::new();
    for event in &events {
        latest.insert(event.key.clone(), event.offset);
    }
    events.retain(|event| latest.get(&event.key) == Some(&event.offset));
    Ok((events, end))
}

/// Returns the log's id. Publishes one if the log has none. If several writers do so at once, the first id in the log
/// counts.
pub async fn log_id(
    brokers: &KafkaBrokers,
    topics: &Topics,
    writer: &ControlWriter,
) -> Result<String, LogError> {
    let (begin, end) = offset_bounds(brokers, topics).await?;
    if let Some(id) = find_log_id(brokers, topics, begin, end).await? {
        return Ok(id);
    }
    let new = LogBirth { log_id: uuid::Uuid::new_v4().to_string() };
    let event = writer.publish(&Entity { kind: Some(Kind::LogBirth(new.clone())) }).await?;
    Ok(find_log_id(brokers, topics, begin, event.offset + 1).await?.unwrap_or(new.log_id))
}

async fn find_log_id(
    brokers: &KafkaBrokers,
    topics: &Topics,
    begin: i64,
    end: i64,
) -> Result<Option<String>, LogError> {
    if begin >= end {
        return Ok(None);
    }
    let reader = ControlReader::starting_at(brokers, topics, begin)?;
    loop {
        let event = reader.next().await?;
        if let Some(value) = &event.value {
            let entity = Entity::decode(value.as_slice())
                .map_err(|error| LogError::Undecodable(event.offset, error))?;
            if let Some(Kind::LogBirth(birth)) = entity.kind {
                return Ok(Some(birth.log_id));
            }
        }
        if event.offset + 1 >= end {
            return Ok(None);
        }
    }
}
