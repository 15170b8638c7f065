//! Records that cannot be stored: kept as they were, with the reason and their place.

use crate::record::Poison;
use proto::topics::{Place, dead};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use service::kafka::writer::Writer;

/// Writes the topic of dead letters.
#[derive(Clone)]
pub struct DeadLetters {
    writer: Writer,
    topic: String,
    source_topic: String,
}

impl DeadLetters {
    /// A writer to `topic` for records of `source_topic`.
    pub fn new(brokers: &str, topic: &str, source_topic: &str) -> Result<Self, KafkaError> {
        let mut config = service::kafka::client(brokers, "tidemark-dead-letters");
        config.set("acks", "all").set("enable.idempotence", "true").set("message.timeout.ms", "10000");
        Ok(Self {
            writer: Writer::new(&config)?,
            topic: topic.to_owned(),
            source_topic: source_topic.to_owned(),
        })
    }

    /// Keeps the record at `offset`, under the place where it stood first (`origin`, if it was retried); returns once
    /// all in-sync replicas have it.
    pub async fn keep(
        &self,
        partition: i32,
        offset: i64,
        origin: Option<i64>,
        payload: &[u8],
        poison: &Poison,
    ) -> Result<(), KafkaError> {
        let place = |offset| Place { topic: self.source_topic.clone(), partition, offset }.to_string();
        let (source, place) = (place(origin.unwrap_or(offset)), place(offset));
        let message = poison.to_string();
        let headers = [
            (dead::REASON, poison.reason()),
            (dead::MESSAGE, &message),
            (dead::SOURCE, &source),
            (dead::PLACE, &place),
        ];
        let headers = headers.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let record = FutureRecord::to(&self.topic).key(&source).payload(payload).headers(headers);
        self.writer.write(record).await.map(drop)
    }
}
