//! Replay of the records that a listener missed. Each replay has its own consumer, and ends where the
//! listener's queue begins.

use super::is_fatal;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::KafkaBrokers;
use std::time::{Duration, Instant};

/// Maximum duration of a replay.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout of each Kafka metadata request.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);

/// Offsets to replay: start (inclusive) and end (exclusive) of each partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRange(Vec<(i64, i64)>);

/// Reason why a replay failed.
#[derive(Debug, PartialEq)]
pub enum ReplayError {
    /// The records do not exist, or no longer.
    Gone,
    /// Kafka could not be read.
    Kafka(KafkaError),
    /// The listener disconnected.
    Disconnected,
}

impl From<KafkaError> for ReplayError {
    fn from(error: KafkaError) -> Self {
        if is_fatal(&error) { Self::Gone } else { Self::Kafka(error) }
    }
}

impl ReplayRange {
    /// Creates the range from the offset `from` of each partition to the offsets `to`.
    pub fn between(from: impl Fn(usize) -> i64, to: &[i64]) -> Self {
        Self(to.iter().enumerate().map(|(partition, to)| (from(partition), *to)).collect())
    }

    /// Returns the maximum number of records.
    pub fn records(&self) -> i64 {
        self.0.iter().map(|(from, to)| (to - from).max(0)).sum()
    }

    /// Returns whether start and end are equal in every partition.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|(from, to)| from == to)
    }

    /// Passes each record to `take` (partition, offset, payload) until that returns false because the
    /// listener disconnected. Blocks the thread.
    pub fn read(
        &self,
        brokers: &KafkaBrokers,
        topic: &str,
        mut take: impl FnMut(i32, i64, &[u8]) -> bool,
    ) -> Result<(), ReplayError> {
        let consumer: BaseConsumer<DefaultConsumerContext> =
            service::kafka::client(brokers, "tidemark-query-replay")
                .set("group.id", "tidemark-query-replay")
                .set("enable.auto.commit", "false")
                .set("enable.auto.offset.store", "false")
                .set("auto.offset.reset", "error")
                .set("enable.partition.eof", "true")
                .set("fetch.wait.max.ms", "100")
                .create()?;
        let mut assignment = TopicPartitionList::new();
        let mut open = Vec::new();
        for (partition, (from, to)) in (0..).zip(&self.0) {
            if from == to {
                continue;
            }
            let (low, high) = consumer.fetch_watermarks(topic, partition, KAFKA_TIMEOUT)?;
            if *from < low || *from > high {
                return Err(ReplayError::Gone);
            }
            // If the process that sent the cursor was ahead of this one, the tail will read its records
            // again, and the cursor skips them.
            if from < to {
                assignment.add_partition_offset(topic, partition, Offset::Offset(*from))?;
                open.push(partition);
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        consumer.assign(&assignment)?;
        let started = Instant::now();
        while !open.is_empty() {
            if started.elapsed() > TIMEOUT {
                return Err(ReplayError::Kafka(KafkaError::Canceled));
            }
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(message)) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    let to = usize::try_from(partition)
                        .ok()
                        .and_then(|index| self.0.get(index))
                        .map_or(0, |(_, to)| *to);
                    if offset < to && !take(partition, offset, message.payload().unwrap_or_default()) {
                        return Err(ReplayError::Disconnected);
                    }
                    if offset + 1 >= to {
                        open.retain(|open| *open != partition);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => open.retain(|open| *open != partition),
                Some(Err(error)) if is_fatal(&error) => return Err(ReplayError::Gone),
                Some(Err(error)) => tracing::debug!(%error, "replay: transient Kafka error"),
            }
        }
        Ok(())
    }
}
