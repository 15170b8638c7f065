//! `dead`: what could not be stored, seen, sent again, given up.

use super::letters::{self, Entry, Letter};
use super::{Failure, deletions};
use crate::deletion::ledger::Ledger;
use crate::generation::Generator;
use crate::settings::{Dead, Settings};
use proto::Message as _;
use proto::topics::{Place, Topics, dead};
use proto::v1::MetricBatch;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant, UNIX_EPOCH};

const TIMEOUT: Duration = Duration::from_secs(10);
/// So much of a record's bytes is shown.
const SHOWN: usize = 4_096;

/// Carries out what is to be done with dead letters.
pub async fn run(
    settings: &Settings,
    topics: &Topics,
    generator: &Generator,
    command: &Dead,
) -> Result<(), Failure> {
    let letterbox = Letterbox { brokers: settings.common.kafka_brokers.clone(), topics: topics.clone() };
    let open = letterbox.open().await?;
    match command {
        Dead::List => {
            for letter in &open {
                println!("{}", describe(letter));
            }
            println!("{} dead letters", open.len());
        }
        Dead::Show { source } => letterbox.show(find(&open, source)?).await?,
        Dead::Drop { source } => {
            let letter = find(&open, source)?;
            letterbox.note(&letterbox.producer()?, letter, "dropped").await?;
            println!("{source} is given up");
        }
        Dead::Retry { source, .. } => {
            let letters = match source {
                Some(source) => vec![find(&open, source)?],
                None => open.iter().collect(),
            };
            letterbox.retry(&letters, &deletions::recorded(generator).await?).await?;
        }
    }
    Ok(())
}

fn describe(letter: &Letter) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(letter.at_ms.unsigned_abs());
    let again = if letter.place == letter.source {
        String::new()
    } else {
        format!(", sent again at offset {}", letter.place.offset)
    };
    let Letter { source, reason, message, size, .. } = letter;
    format!("{source}  {}  {reason}  {size} bytes{again}: {message}", humantime::format_rfc3339_seconds(at))
}

fn find<'a>(open: &'a [Letter], source: &str) -> Result<&'a Letter, Failure> {
    let place = Place::parse(source).ok_or_else(|| format!("`{source}` is not `topic/partition/offset`"))?;
    let found = open.iter().find(|letter| letter.source == place);
    Ok(found
        .ok_or_else(|| format!("{source} is not among the dead letters: see `ingest-worker dead list`"))?)
}

/// The record `bytes` without the samples that were deleted since it was written; none if they were all of it. What
/// cannot be read is left as it is.
fn without_deleted(bytes: Vec<u8>, source: &Place, deleted: &Ledger) -> Option<Vec<u8>> {
    let Ok(mut batch) = MetricBatch::decode(bytes.as_slice()) else { return Some(bytes) };
    let count = batch.samples.len();
    let MetricBatch { project_id, samples, .. } = &mut batch;
    samples.retain(|sample| !deleted.covers(project_id, &sample.metric_id, source.partition, source.offset));
    match batch.samples.len() {
        left if left == count => Some(bytes),
        0 => None,
        _ => Some(batch.encode_to_vec()),
    }
}

/// The topic of dead letters.
struct Letterbox {
    brokers: String,
    topics: Topics,
}

impl Letterbox {
    /// All letters that nobody has dealt with yet.
    async fn open(&self) -> Result<Vec<Letter>, Failure> {
        let (brokers, topic) = (self.brokers.clone(), self.topics.dead.clone());
        let read = move || {
            let mut entries = Vec::new();
            let consumer = consumer(&brokers)?;
            let metadata = consumer.fetch_metadata(Some(&topic), TIMEOUT)?;
            for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
                let (start, end) = consumer.fetch_watermarks(&topic, partition.id(), TIMEOUT)?;
                each(&consumer, &topic, partition.id(), start, end, |message| {
                    entries.extend(entry(message))
                })?;
            }
            Ok::<_, Failure>(letters::open(entries))
        };
        tokio::task::spawn_blocking(read).await?
    }

    /// The bytes of a letter.
    async fn bytes(&self, letter: &Letter) -> Result<Vec<u8>, Failure> {
        let (brokers, topic, (partition, offset)) =
            (self.brokers.clone(), self.topics.dead.clone(), letter.kept_at);
        let read = move || {
            let mut bytes = None;
            each(&consumer(&brokers)?, &topic, partition, offset, offset + 1, |message| {
                bytes = message.payload().map(<[u8]>::to_vec);
            })?;
            // A record without a value is an undecodable one of no bytes.
            Ok::<_, Failure>(bytes.unwrap_or_default())
        };
        tokio::task::spawn_blocking(read).await?
    }

    async fn show(&self, letter: &Letter) -> Result<(), Failure> {
        let bytes = self.bytes(letter).await?;
        println!("{}", describe(letter));
        match MetricBatch::decode(bytes.as_slice()) {
            Ok(batch) => println!("{batch:#?}"),
            Err(_) => println!("no MetricBatch"),
        }
        for line in bytes[..bytes.len().min(SHOWN)].chunks(32) {
            let hex: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
            let text: String = line
                .iter()
                .map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '.' })
                .collect();
            println!("{hex:<64}  {text}");
        }
        if bytes.len() > SHOWN {
            println!("… {} bytes more", bytes.len() - SHOWN);
        }
        Ok(())
    }

    /// Sends records back to where they came from, without what was deleted since. The note comes after the record: a
    /// command that was broken off between the two leaves the letter open, and the record that is sent twice is stored
    /// once.
    async fn retry(&self, letters: &[&Letter], deleted: &Ledger) -> Result<(), Failure> {
        let producer = self.producer()?;
        let mut sent = 0;
        for letter in letters {
            let Some(bytes) = without_deleted(self.bytes(letter).await?, &letter.source, deleted) else {
                self.note(&producer, letter, "dropped").await?;
                println!("{} is given up: all its metrics were deleted since", letter.source);
                continue;
            };
            sent += 1;
            let source = letter.source.to_string();
            let origin = OwnedHeaders::new().insert(Header { key: dead::ORIGIN, value: Some(&source) });
            let record = FutureRecord::<(), _>::to(&letter.source.topic)
                .partition(letter.source.partition)
                .payload(&bytes)
                .headers(origin);
            let delivery = producer.send(record, Duration::ZERO).await.map_err(|(error, _)| error)?;
            self.note(&producer, letter, "retried").await?;
            println!("{source} was sent again; it stands at offset {} now", delivery.offset);
        }
        println!("{sent} dead letters sent again");
        Ok(())
    }

    /// Notes what became of a letter.
    async fn note(&self, producer: &FutureProducer, letter: &Letter, what: &str) -> Result<(), Failure> {
        let (source, place) = (letter.source.to_string(), letter.place.to_string());
        let headers = [(dead::NOTE, what), (dead::SOURCE, &source), (dead::PLACE, &place)];
        let headers = headers.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let record = FutureRecord::<_, ()>::to(&self.topics.dead).key(&source).headers(headers);
        producer.send(record, Duration::ZERO).await.map_err(|(error, _)| error)?;
        Ok(())
    }

    fn producer(&self) -> Result<FutureProducer, Failure> {
        let mut config = service::kafka::client(&self.brokers, "tidemark-ingest-command");
        config.set("acks", "all").set("enable.idempotence", "true").set("message.timeout.ms", "10000");
        Ok(config.create()?)
    }
}

fn consumer(brokers: &str) -> Result<BaseConsumer, Failure> {
    let mut config = service::kafka::client(brokers, "tidemark-ingest-command");
    config
        .set("group.id", "tidemark-ingest-command")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error");
    Ok(config.create()?)
}

/// Shows `take` the records from `start` to before `end`.
fn each(
    consumer: &BaseConsumer,
    topic: &str,
    partition: i32,
    start: i64,
    end: i64,
    mut take: impl FnMut(&BorrowedMessage<'_>),
) -> Result<(), Failure> {
    if start >= end {
        return Ok(());
    }
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(topic, partition, Offset::Offset(start))?;
    consumer.assign(&place)?;
    let mut heard = Instant::now();
    while heard.elapsed() < TIMEOUT {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                heard = Instant::now();
                if message.offset() < end {
                    take(&message);
                }
                if message.offset() + 1 >= end {
                    return Ok(());
                }
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => return Ok(()),
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
    }
    Err(format!("Kafka did not answer while {topic} was read").into())
}

/// What a record of the topic says; none if it is neither letter nor note.
fn entry(message: &BorrowedMessage<'_>) -> Option<Entry> {
    let headers = message.headers()?;
    let header = |key: &str| {
        let found = headers.iter().find(|header| header.key == key)?;
        std::str::from_utf8(found.value?).ok()
    };
    let source = Place::parse(header(dead::SOURCE)?)?;
    let place = header(dead::PLACE).and_then(Place::parse).unwrap_or_else(|| source.clone());
    if header(dead::NOTE).is_some() {
        return Some(Entry::Note { source, place });
    }
    Some(Entry::Letter(Letter {
        source,
        place,
        reason: header(dead::REASON)?.to_owned(),
        message: header(dead::MESSAGE).unwrap_or_default().to_owned(),
        at_ms: message.timestamp().to_millis().unwrap_or(0),
        size: message.payload_len(),
        kept_at: (message.partition(), message.offset()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::{Deletion, Sample, entity::Kind};

    #[test]
    fn what_was_deleted_since_is_not_sent_again() {
        let deletion = Deletion {
            project_id: "p".to_owned(),
            metric_id: "m".to_owned(),
            cuts: [(0, 5)].into(),
            ..Deletion::default()
        };
        let mut deleted = Ledger::default();
        deleted.learn(Kind::Deletion(deletion));
        let place = |offset| Place { topic: "t".to_owned(), partition: 0, offset };
        let record = |metrics: &[&str]| {
            let sample = |metric: &&str| Sample { metric_id: (*metric).to_owned(), ..Sample::default() };
            let samples = metrics.iter().map(sample).collect();
            MetricBatch { project_id: "p".to_owned(), samples, ..MetricBatch::default() }.encode_to_vec()
        };
        let again = |metrics: &[&str], offset| without_deleted(record(metrics), &place(offset), &deleted);
        assert_eq!(again(&["m"], 4), None);
        assert_eq!(again(&["m", "n"], 4), Some(record(&["n"])));
        assert_eq!(again(&["m"], 5), Some(record(&["m"])));
        assert_eq!(without_deleted(b"\xff".to_vec(), &place(4), &deleted), Some(b"\xff".to_vec()));
    }
}
