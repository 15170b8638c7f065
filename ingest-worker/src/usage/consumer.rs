//! Reads records of `outcomes.v1` in batches of half a second.

use super::record;
use super::table::UsageRow;
use crate::record::RejectReason;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::KafkaBrokers;
use service::kafka::reader::{Reader, is_stalled};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Gathering time of a batch.
const GATHER_TIME: Duration = Duration::from_millis(500);
/// A batch is complete once it has this many rows; the last record may add more.
const FULL_ROWS: usize = 50_000;
/// Pause after an error of the consumer group.
const ERROR_PAUSE: Duration = Duration::from_millis(500);

/// A member of the consumer group that reads the topic.
pub struct Consumer {
    consumer: Reader,
    topic: String,
}

/// Records that are stored together.
#[derive(Default)]
pub struct Batch {
    pub rows: Vec<UsageRow>,
    pub rejected: Vec<RejectedRecord>,
    /// Offset after the last record, by partition.
    next: HashMap<i32, i64>,
}

/// A record that cannot be stored.
pub struct RejectedRecord {
    pub partition: i32,
    pub offset: i64,
    pub payload: Vec<u8>,
    pub reason: RejectReason,
}

impl Consumer {
    /// Joins `group`.
    pub fn join(brokers: &KafkaBrokers, topic: &str, group: &str) -> Result<Self, KafkaError> {
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

    /// Reads the next records, at least one. None if the consumer stalled and has to be recreated.
    pub async fn next_batch(&self) -> Option<Batch> {
        let mut batch = Batch::default();
        batch.add(&self.next().await?);
        let deadline = Instant::now() + GATHER_TIME;
        while batch.rows.len() < FULL_ROWS
            && let Ok(Some(message)) = timeout_at(deadline, self.next()).await
        {
            batch.add(&message);
        }
        Some(batch)
    }

    /// Commits that `batch` is stored. If the commit fails, the batch is stored again, which changes nothing.
    pub fn commit(&self, batch: &Batch) {
        let mut list = TopicPartitionList::new();
        let added = batch.next.iter().try_for_each(|(&partition, &next)| {
            list.add_partition_offset(&self.topic, partition, Offset::Offset(next))
        });
        if let Err(error) = added.and_then(|()| self.consumer.commit(&list, CommitMode::Async)) {
            tracing::debug!(%error, "offset commit failed");
        }
    }

    async fn next(&self) -> Option<BorrowedMessage<'_>> {
        loop {
            match self.consumer.recv().await {
                Ok(message) => return Some(message),
                Err(error) if is_stalled(&error) => return None,
                Err(error) => tracing::warn!(%error, "outcomes could not be read; retrying"),
            }
            tokio::time::sleep(ERROR_PAUSE).await;
        }
    }
}

impl Batch {
    fn add(&mut self, message: &BorrowedMessage<'_>) {
        let (partition, offset) = (message.partition(), message.offset());
        let payload = message.payload().unwrap_or_default();
        match record::decode(payload) {
            Ok(rows) => self.rows.extend(rows),
            Err(reason) => {
                self.rejected.push(RejectedRecord { partition, offset, payload: payload.to_vec(), reason })
            }
        }
        self.next.insert(partition, offset + 1);
    }
}
