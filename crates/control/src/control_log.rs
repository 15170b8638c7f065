//! The log `control.v1`: writing it, reading it from a place on, and knowing which log it is.
//!
//! Offsets mean something within one log only. A log is known by its certificate of birth: the first `LogBirth` in it,
//! whose key is like no other's, so that compaction never takes it away. Redis keeps the log's id beside every offset.

use proto::control::EntityKey;
use proto::topics::Topics;
use proto::v1::{Entity, LogBirth, entity::Kind};
use proto::{DecodeError, Message as _};
use rdkafka::consumer::{BaseConsumer, Consumer as _, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::KafkaBrokers;
use service::kafka::reader::Reader;
use service::kafka::writer::Writer;
use std::time::Duration;

/// The log has one partition: one order for all.
const PARTITION: i32 = 0;
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Kafka did not do what was asked of it.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// A record that is no entity: written by something else, or damaged.
    #[error("the record at offset {0} of the control log cannot be read: {1}")]
    Undecodable(i64, DecodeError),
    /// The entity has no kind, so it has no key to be written under.
    #[error("an entity without a kind was to be written")]
    NoKind,
    /// The task that waited for Kafka was ended.
    #[error("interrupted while waiting for Kafka")]
    Interrupted,
}

/// An entity as it stands in the log.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its place in the log.
    pub offset: i64,
    /// Which entity it is; none for a kind that this version does not know.
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
    /// A writer whose records are acknowledged by all in-sync replicas within `timeout`, or fail.
    pub fn new(brokers: &KafkaBrokers, topics: &Topics, timeout: Duration) -> Result<Self, LogError> {
        let mut config = service::kafka::client(brokers, "tidemark-control");
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .set("message.timeout.ms", timeout.as_millis().to_string());
        Ok(Self { writer: Writer::new(&config)?, topic: topics.control.clone() })
    }

    /// Writes the entity's new state; returns its offset once all in-sync replicas have it.
    pub async fn publish(&self, entity: &Entity) -> Result<Event, LogError> {
        let key = EntityKey::of(entity).ok_or(LogError::NoKind)?;
        let value = entity.encode_to_vec();
        let text = key.to_string();
        let record = FutureRecord::to(&self.topic).partition(PARTITION).key(&text).payload(&value);
        let delivery = self.writer.write(record).await?;
        Ok(Event { offset: delivery.offset, key: Some(key), value: Some(value) })
    }

    /// Waits for what is on its way.
    pub fn flush(&self, timeout: Duration) {
        if let Err(error) = self.writer.producer().flush(timeout) {
            tracing::warn!(%error, "control events were still on their way at the stop");
        }
    }
}

/// Reads the log from a place on.
pub struct ControlReader {
    consumer: Reader,
}

impl ControlReader {
    /// A reader that begins at `offset`.
    pub fn from(brokers: &KafkaBrokers, topics: &Topics, offset: i64) -> Result<Self, LogError> {
        let mut config = service::kafka::client(brokers, "tidemark-control");
        config
            .set("group.id", "tidemark-control-reader")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "100");
        let consumer = Reader::new(&config, &topics.control)?;
        let mut place = TopicPartitionList::new();
        let offset = if offset <= 0 { Offset::Beginning } else { Offset::Offset(offset) };
        place.add_partition_offset(&topics.control, PARTITION, offset)?;
        consumer.assign(&place)?;
        Ok(Self { consumer })
    }

    /// The next event.
    pub async fn next(&self) -> Result<Event, LogError> {
        let message = self.consumer.recv().await?;
        let key = message.key().and_then(|key| std::str::from_utf8(key).ok()).and_then(EntityKey::parse);
        Ok(Event { offset: message.offset(), key, value: message.payload().map(<[u8]>::to_vec) })
    }
}

/// The offset after the log's last record.
pub async fn end(brokers: &KafkaBrokers, topics: &Topics) -> Result<i64, LogError> {
    Ok(bounds(brokers, topics).await?.1)
}

async fn bounds(brokers: &KafkaBrokers, topics: &Topics) -> Result<(i64, i64), LogError> {
    let consumer: BaseConsumer<DefaultConsumerContext> =
        service::kafka::client(brokers, "tidemark-control").create()?;
    let topic = topics.control.clone();
    tokio::task::spawn_blocking(move || consumer.fetch_watermarks(&topic, PARTITION, METADATA_TIMEOUT))
        .await
        .map_err(|_| LogError::Interrupted)?
        .map_err(LogError::from)
}

/// Every entity's last state, in the order of the log, and the offset after what was read.
pub async fn snapshot(brokers: &KafkaBrokers, topics: &Topics) -> Result<(Vec<Event>, i64), LogError> {
    let (begin, end) = bounds(brokers, topics).await?;
    let mut events = Vec::new();
    if begin < end {
        let reader = ControlReader::from(brokers, topics, begin)?;
        // Compaction never takes the last record, so it arrives.
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

/// The log's id. A log without one is given one; of two writers that meet there, the first to arrive names it.
pub async fn log_id(
    brokers: &KafkaBrokers,
    topics: &Topics,
    writer: &ControlWriter,
) -> Result<String, LogError> {
    let (begin, end) = bounds(brokers, topics).await?;
    if let Some(id) = find_birth(brokers, topics, begin, end).await? {
        return Ok(id);
    }
    let birth = LogBirth { log_id: uuid::Uuid::new_v4().to_string() };
    let event = writer.publish(&Entity { kind: Some(Kind::LogBirth(birth.clone())) }).await?;
    Ok(find_birth(brokers, topics, begin, event.offset + 1).await?.unwrap_or(birth.log_id))
}

async fn find_birth(
    brokers: &KafkaBrokers,
    topics: &Topics,
    begin: i64,
    end: i64,
) -> Result<Option<String>, LogError> {
    if begin >= end {
        return Ok(None);
    }
    let reader = ControlReader::from(brokers, topics, begin)?;
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
