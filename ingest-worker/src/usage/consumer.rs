//! Takes records of `outcomes.v1` in batches, one for half a second.

use super::record;
use super::table::UsageRow;
use crate::record::Poison;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::reader::{Reader, is_lost};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long a batch is gathered.
const GATHER: Duration = Duration::from_millis(500);
/// How many rows it holds at most, but for the last record's.
const MOST_ROWS: usize = 50_000;
/// Between two errors of the group.
const PAUSE: Duration = Duration::from_millis(500);

/// A member of the group that reads the topic.
pub struct Consumer {
    consumer: Reader,
    topic: String,
}

/// Records that are stored together.
#[derive(Default)]
pub struct Batch {
    /// What they say.
    pub rows: Vec<UsageRow>,
    /// Those that cannot be stored: partition, offset, the record, and why.
    pub poison: Vec<(i32, i64, Vec<u8>, Poison)>,
    /// The offset after the last one of each partition.
    next: HashMap<i32, i64>,
}

impl Consumer {
    /// Joins `group`.
    pub fn join(brokers: &str, topic: &str, group: &str) -> Result<Self, KafkaError> {
        let mut config = service::kafka::client(brokers, "tidemark-usage");
        config
            .set("group.id", group)
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "1500")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("queued.max.messages.kbytes", "8192");
        let consumer = Reader::new(&config, topic)?;
        consumer.subscribe(&[topic])?;
        Ok(Self { consumer, topic: topic.to_owned() })
    }

    /// The next records, at least one; none if the consumer reads no more and another one has to join.
    pub async fn batch(&self) -> Option<Batch> {
        let mut batch = Batch::default();
        batch.add(&self.next().await?);
        let end = Instant::now() + GATHER;
        while batch.rows.len() < MOST_ROWS
            && let Ok(Some(message)) = timeout_at(end, self.next()).await
        {
            batch.add(&message);
        }
        Some(batch)
    }

    /// What was in `batch` is stored. If that is not written down, it is stored once more.
    pub fn commit(&self, batch: &Batch) {
        let mut places = TopicPartitionList::new();
        let added = batch.next.iter().try_for_each(|(&partition, &next)| {
            places.add_partition_offset(&self.topic, partition, Offset::Offset(next))
        });
        if let Err(error) = added.and_then(|()| self.consumer.commit(&places, CommitMode::Async)) {
            tracing::debug!(%error, "how far outcomes are stored was not written down");
        }
    }

    async fn next(&self) -> Option<BorrowedMessage<'_>> {
        loop {
            match self.consumer.recv().await {
                Ok(message) => return Some(message),
                Err(error) if is_lost(&error) => return None,
                Err(error) => tracing::warn!(%error, "the topic of outcomes cannot be read; trying again"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Batch {
    fn add(&mut self, message: &BorrowedMessage<'_>) {
        let (partition, offset) = (message.partition(), message.offset());
        let payload = message.payload().unwrap_or_default();
        match record::read(payload) {
            Ok(rows) => self.rows.extend(rows),
            Err(poison) => self.poison.push((partition, offset, payload.to_vec(), poison)),
        }
        self.next.insert(partition, offset + 1);
    }
}
