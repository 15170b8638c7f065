//! Reads the dead-letter topic, and writes the notes that settle dead letters.

use super::Failure;
use super::open_dead_letters::{self, DeadLetter, Entry};
use proto::topics::{RecordPosition, Topics, dead_letter_header};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::KafkaBrokers;
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(10);

pub struct DeadLetterTopic {
    brokers: KafkaBrokers,
    topic: String,
}

impl DeadLetterTopic {
    pub fn new(brokers: &KafkaBrokers, topics: &Topics) -> Self {
        Self { brokers: brokers.clone(), topic: topics.dead.clone() }
    }

    /// Reads the whole topic and returns the open dead letters.
    pub async fn open(&self) -> Result<Vec<DeadLetter>, Failure> {
        let (brokers, topic) = (self.brokers.clone(), self.topic.clone());
        let read = move || {
            let mut entries = Vec::new();
            let consumer = consumer(&brokers)?;
            let metadata = consumer.fetch_metadata(Some(&topic), TIMEOUT)?;
            for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
                let (start, end) = consumer.fetch_watermarks(&topic, partition.id(), TIMEOUT)?;
                for_each_record(&consumer, &topic, partition.id(), start..end, |message| {
                    entries.extend(parse_entry(message))
                })?;
            }
            Ok::<_, Failure>(open_dead_letters::open(entries))
        };
        tokio::task::spawn_blocking(read).await?
    }

    /// Reads the payload of a dead letter.
    pub async fn payload(&self, letter: &DeadLetter) -> Result<Vec<u8>, Failure> {
        let (brokers, topic, (partition, offset)) =
            (self.brokers.clone(), self.topic.clone(), letter.kept_at);
        let read = move || {
            let mut payload = None;
            for_each_record(&consumer(&brokers)?, &topic, partition, offset..offset + 1, |message| {
                payload = message.payload().map(<[u8]>::to_vec);
            })?;
            // A record without a value is an undecodable one of no bytes.
            Ok::<_, Failure>(payload.unwrap_or_default())
        };
        tokio::task::spawn_blocking(read).await?
    }

    /// Writes a note that settles a dead letter: `retried` or `dropped`.
    pub async fn settle(
        &self,
        producer: &FutureProducer,
        letter: &DeadLetter,
        note: &str,
    ) -> Result<(), Failure> {
        let (source, position) = (letter.source.to_string(), letter.position.to_string());
        let headers = [
            (dead_letter_header::NOTE, note),
            (dead_letter_header::SOURCE, &source),
            (dead_letter_header::POSITION, &position),
        ];
        let headers = headers.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let record = FutureRecord::<_, ()>::to(&self.topic).key(&source).headers(headers);
        producer.send(record, Duration::ZERO).await.map_err(|(error, _)| error)?;
        Ok(())
    }

    /// Creates a producer for notes and retried records.
    pub fn producer(&self) -> Result<FutureProducer, Failure> {
        let mut config = service::kafka::client(&self.brokers, "tidemark-ingest-command");
        config.set("acks", "all").set("enable.idempotence", "true").set("message.timeout.ms", "10000");
        Ok(config.create()?)
    }
}

fn consumer(brokers: &KafkaBrokers) -> Result<BaseConsumer, Failure> {
    let mut config = service::kafka::client(brokers, "tidemark-ingest-command");
    config
        .set("group.id", "tidemark-ingest-command")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error");
    Ok(config.create()?)
}

/// Passes the records of a range of offsets to `visit`.
fn for_each_record(
    consumer: &BaseConsumer,
    topic: &str,
    partition: i32,
    offsets: std::ops::Range<i64>,
    mut visit: impl FnMut(&BorrowedMessage<'_>),
) -> Result<(), Failure> {
    if offsets.is_empty() {
        return Ok(());
    }
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offsets.start))?;
    consumer.assign(&list)?;
    let mut last_message = Instant::now();
    while last_message.elapsed() < TIMEOUT {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                last_message = Instant::now();
                if message.offset() < offsets.end {
                    visit(&message);
                }
                if message.offset() + 1 >= offsets.end {
                    return Ok(());
                }
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => return Ok(()),
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
    }
    Err(format!("timed out reading topic {topic}: check that the Kafka brokers are reachable").into())
}

/// Parses a record of the topic; none if it is neither a dead letter nor a note.
fn parse_entry(message: &BorrowedMessage<'_>) -> Option<Entry> {
    let headers = message.headers()?;
    let header = |key: &str| {
        let found = headers.iter().find(|header| header.key == key)?;
        std::str::from_utf8(found.value?).ok()
    };
    let source = RecordPosition::parse(header(dead_letter_header::SOURCE)?)?;
    let position = header(dead_letter_header::POSITION)
        .and_then(RecordPosition::parse)
        .unwrap_or_else(|| source.clone());
    if header(dead_letter_header::NOTE).is_some() {
        return Some(Entry::Note { source, position });
    }
    Some(Entry::DeadLetter(DeadLetter {
        source,
        position,
        reason: header(dead_letter_header::REASON)?.to_owned(),
        message: header(dead_letter_header::MESSAGE).unwrap_or_default().to_owned(),
        at_ms: message.timestamp().to_millis().unwrap_or(0),
        size: message.payload_len(),
        kept_at: (message.partition(), message.offset()),
    }))
}
