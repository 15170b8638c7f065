//! `dead`: lists, shows, retries and drops dead letters.

use super::dead_letter_topic::DeadLetterTopic;
use super::open_dead_letters::DeadLetter;
use super::{Failure, deletions};
use crate::deletion::ledger::DeletionLedger;
use crate::generation::GenerationManager;
use crate::settings::{Dead, Settings};
use proto::Message as _;
use proto::topics::{RecordPosition, Topics, dead_letter_header};
use proto::v1::MetricBatch;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use std::time::{Duration, UNIX_EPOCH};

/// Number of bytes of a record that `dead show` prints.
const MAX_SHOWN_BYTES: usize = 4_096;

pub async fn run(
    settings: &Settings,
    topics: &Topics,
    manager: &GenerationManager,
    command: &Dead,
) -> Result<(), Failure> {
    let topic = DeadLetterTopic::new(&settings.connections.kafka, topics);
    let open = topic.open().await?;
    match command {
        Dead::List => {
            for letter in &open {
                println!("{}", describe(letter));
            }
            println!("{} dead letters", open.len());
        }
        Dead::Show { source } => show(&topic, find(&open, source)?).await?,
        Dead::Drop { source } => {
            let letter = find(&open, source)?;
            topic.settle(&topic.producer()?, letter, "dropped").await?;
            println!("{source} dropped");
        }
        Dead::Retry { source, .. } => {
            let letters = match source {
                Some(source) => vec![find(&open, source)?],
                None => open.iter().collect(),
            };
            retry(&topic, &letters, &deletions::recorded(manager).await?).await?;
        }
    }
    Ok(())
}

/// Returns the line of `dead list`.
fn describe(letter: &DeadLetter) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(letter.at_ms.unsigned_abs());
    let retried = if letter.position == letter.source {
        String::new()
    } else {
        format!(", retried at offset {}", letter.position.offset)
    };
    let DeadLetter { source, reason, message, size, .. } = letter;
    format!("{source}  {}  {reason}  {size} bytes{retried}: {message}", humantime::format_rfc3339_seconds(at))
}

fn find<'a>(open: &'a [DeadLetter], source: &str) -> Result<&'a DeadLetter, Failure> {
    let position = RecordPosition::parse(source)
        .ok_or_else(|| format!("`{source}` is not of the form `topic/partition/offset`"))?;
    let found = open.iter().find(|letter| letter.source == position);
    Ok(found.ok_or_else(|| {
        format!("no open dead letter has the source {source}; `ingest-worker dead list` shows all")
    })?)
}

/// Returns a record without the samples that were deleted after it was written, or none if no sample is left. A record
/// that cannot be decoded is returned unchanged.
fn without_deleted(bytes: Vec<u8>, source: &RecordPosition, deletions: &DeletionLedger) -> Option<Vec<u8>> {
    let Ok(mut batch) = MetricBatch::decode(bytes.as_slice()) else { return Some(bytes) };
    let count = batch.samples.len();
    let MetricBatch { project_id, samples, .. } = &mut batch;
    samples
        .retain(|sample| !deletions.covers(project_id, &sample.metric_id, source.partition, source.offset));
    match batch.samples.len() {
        left if left == count => Some(bytes),
        0 => None,
        _ => Some(batch.encode_to_vec()),
    }
}

async fn show(topic: &DeadLetterTopic, letter: &DeadLetter) -> Result<(), Failure> {
    let bytes = topic.payload(letter).await?;
    println!("{}", describe(letter));
    match MetricBatch::decode(bytes.as_slice()) {
        Ok(batch) => println!("{batch:#?}"),
        Err(error) => println!("the payload cannot be decoded: {error}"),
    }
    for line in bytes[..bytes.len().min(MAX_SHOWN_BYTES)].chunks(32) {
        let hex: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String =
            line.iter().map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '.' }).collect();
        println!("{hex:<64}  {text}");
    }
    if bytes.len() > MAX_SHOWN_BYTES {
        println!("… {} more bytes", bytes.len() - MAX_SHOWN_BYTES);
    }
    Ok(())
}

/// Sends records back to their partitions, without the samples that were deleted meanwhile. The note is written after the
/// record: if the command is interrupted in between, the dead letter stays open, and a record that is sent twice is stored
/// once.
async fn retry(
    topic: &DeadLetterTopic,
    letters: &[&DeadLetter],
    deletions: &DeletionLedger,
) -> Result<(), Failure> {
    let producer = topic.producer()?;
    let mut sent = 0;
    for letter in letters {
        let Some(bytes) = without_deleted(topic.payload(letter).await?, &letter.source, deletions) else {
            topic.settle(&producer, letter, "dropped").await?;
            println!("{} dropped: all its metrics have been deleted", letter.source);
            continue;
        };
        sent += 1;
        let source = letter.source.to_string();
        let origin =
            OwnedHeaders::new().insert(Header { key: dead_letter_header::ORIGIN, value: Some(&source) });
        let record = FutureRecord::<(), _>::to(&letter.source.topic)
            .partition(letter.source.partition)
            .payload(&bytes)
            .headers(origin);
        let delivery = producer.send(record, Duration::ZERO).await.map_err(|(error, _)| error)?;
        topic.settle(&producer, letter, "retried").await?;
        println!("{source} retried at offset {}", delivery.offset);
    }
    println!("{sent} dead letters retried");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::{Deletion, Sample, entity::Kind};

    #[test]
    fn samples_deleted_meanwhile_are_not_retried() {
        let deletion = Deletion {
            project_id: "p".to_owned(),
            metric_id: "m".to_owned(),
            cuts: [(0, 5)].into(),
            ..Deletion::default()
        };
        let mut deletions = DeletionLedger::default();
        deletions.apply_kind(Kind::Deletion(deletion));
        let position = |offset| RecordPosition { topic: "t".to_owned(), partition: 0, offset };
        let record = |metrics: &[&str]| {
            let sample = |metric: &&str| Sample { metric_id: (*metric).to_owned(), ..Sample::default() };
            let samples = metrics.iter().map(sample).collect();
            MetricBatch { project_id: "p".to_owned(), samples, ..MetricBatch::default() }.encode_to_vec()
        };
        let retried =
            |metrics: &[&str], offset| without_deleted(record(metrics), &position(offset), &deletions);
        assert_eq!(retried(&["m"], 4), None);
        assert_eq!(retried(&["m", "n"], 4), Some(record(&["n"])));
        assert_eq!(retried(&["m"], 5), Some(record(&["m"])));
        assert_eq!(without_deleted(b"\xff".to_vec(), &position(4), &deletions), Some(b"\xff".to_vec()));
    }
}
