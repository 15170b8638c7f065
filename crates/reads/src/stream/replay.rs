//! Reads again what a listener missed, by a reader of its own that ends where the listener's queue begins.

use service::kafka::KafkaBrokers;
use super::tail::is_fatal;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// How long it may take in all.
const TIME: Duration = Duration::from_secs(30);
/// How long Kafka may take to answer each question.
const ANSWER: Duration = Duration::from_secs(5);

/// What is to be read again: of each partition the offsets from the first up to, without it, the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed(Vec<(i64, i64)>);

/// Why it was not read.
#[derive(Debug, PartialEq)]
pub enum Failed {
    /// The records are not there, or no longer.
    Gone,
    /// Kafka did not give them.
    Kafka(KafkaError),
    /// Nobody listens any more.
    Left,
}

impl From<KafkaError> for Failed {
    fn from(error: KafkaError) -> Self {
        if is_fatal(&error) { Self::Gone } else { Self::Kafka(error) }
    }
}

impl Missed {
    /// From `seen` to `now`, both by partition.
    pub fn between(seen: impl Fn(usize) -> i64, now: &[i64]) -> Self {
        Self(now.iter().enumerate().map(|(partition, now)| (seen(partition), *now)).collect())
    }

    /// How many records at most.
    pub fn records(&self) -> i64 {
        self.0.iter().map(|(from, to)| (to - from).max(0)).sum()
    }

    /// Whether there is nothing to read, and all that was seen is there.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|(from, to)| from == to)
    }

    /// Gives each record to `take` (partition, offset, payload) until that says that nobody listens. Blocks.
    pub fn read(
        &self,
        brokers: &KafkaBrokers,
        topic: &str,
        mut take: impl FnMut(i32, i64, &[u8]) -> bool,
    ) -> Result<(), Failed> {
        let consumer: BaseConsumer<DefaultConsumerContext> =
            service::kafka::client(brokers, "tidemark-query-replay")
                .set("group.id", "tidemark-query-replay")
                .set("enable.auto.commit", "false")
                .set("enable.auto.offset.store", "false")
                .set("auto.offset.reset", "error")
                .set("enable.partition.eof", "true")
                .set("fetch.wait.max.ms", "100")
                .create()?;
        let mut places = TopicPartitionList::new();
        let mut open = Vec::new();
        for (partition, (from, to)) in (0..).zip(&self.0) {
            if from == to {
                continue;
            }
            let (low, high) = consumer.fetch_watermarks(topic, partition, ANSWER)?;
            if *from < low || *from > high {
                return Err(Failed::Gone);
            }
            // Another process was ahead of us: what it showed comes here too, and is passed over.
            if from < to {
                places.add_partition_offset(topic, partition, Offset::Offset(*from))?;
                open.push(partition);
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        consumer.assign(&places)?;
        let begun = Instant::now();
        while !open.is_empty() {
            if begun.elapsed() > TIME {
                return Err(Failed::Kafka(KafkaError::Canceled));
            }
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(message)) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    let to = usize::try_from(partition)
                        .ok()
                        .and_then(|place| self.0.get(place))
                        .map_or(0, |(_, to)| *to);
                    if offset < to && !take(partition, offset, message.payload().unwrap_or_default()) {
                        return Err(Failed::Left);
                    }
                    if offset + 1 >= to {
                        open.retain(|open| *open != partition);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => open.retain(|open| *open != partition),
                Some(Err(error)) if is_fatal(&error) => return Err(Failed::Gone),
                Some(Err(error)) => tracing::debug!(%error, "reading again"),
            }
        }
        Ok(())
    }
}
