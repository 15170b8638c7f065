//! Writes records that cannot be stored to the dead-letter topic: the payload as it was, with the reason and the position
//! in headers.

use crate::record::RejectReason;
use proto::topics::{RecordPosition, dead_letter_header};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use service::kafka::KafkaBrokers;
use service::kafka::writer::Writer;

/// Writes dead letters. Clones share the producer.
#[derive(Clone)]
pub struct DeadLetterWriter {
    writer: Writer,
    topic: String,
    source_topic: String,
}

impl DeadLetterWriter {
    /// Creates a writer to `topic` for records of `source_topic`.
    pub fn new(brokers: &KafkaBrokers, topic: &str, source_topic: &str) -> Result<Self, KafkaError> {
        let mut config = service::kafka::client(brokers, "tidemark-dead-letters");
        config.set("acks", "all").set("enable.idempotence", "true").set("message.timeout.ms", "10000");
        Ok(Self {
            writer: Writer::new(&config)?,
            topic: topic.to_owned(),
            source_topic: source_topic.to_owned(),
        })
    }

    /// Writes the record at `offset` as a dead letter. Its source is the position where the record stood first: `origin` if
    /// it was retried. Returns once all in-sync replicas have it.
    pub async fn write(
        &self,
        partition: i32,
        offset: i64,
        origin: Option<i64>,
        payload: &[u8],
        reason: &RejectReason,
    ) -> Result<(), KafkaError> {
        let position =
            |offset| RecordPosition { topic: self.source_topic.clone(), partition, offset }.to_string();
        let (source, position) = (position(origin.unwrap_or(offset)), position(offset));
        let message = reason.to_string();
        let headers = [
            (dead_letter_header::REASON, reason.code()),
            (dead_letter_header::MESSAGE, &message),
            (dead_letter_header::SOURCE, &source),
            (dead_letter_header::POSITION, &position),
        ];
        let headers = headers.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let record = FutureRecord::to(&self.topic).key(&source).payload(payload).headers(headers);
        self.writer.write(record).await.map(drop)
    }
}
