//! Membership of the consumer group, which distributes the partitions over the workers.
//!
//! Nothing is fetched here: partitions are paused as soon as they are assigned. Offsets are committed after a block is
//! stored, so that the usual tools show the lag. A committed offset never decides where to continue, but everything before
//! it was stored, so a table that ends before it has lost something.

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use service::kafka::KafkaBrokers;
use service::kafka::reader::{Reader, is_stalled};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the consumer group of the workers that write to the generation in `database`.
pub fn group_id(database: &str) -> String {
    format!("tidemark-ingest-{database}")
}

/// A change of the partitions that this worker owns.
#[derive(Debug)]
pub enum Change {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
    /// The consumer stalled; the worker must join the group again.
    Lost,
}

/// Membership of this worker in the group. Clones share the consumer.
#[derive(Clone)]
pub struct Membership {
    consumer: Arc<Reader<Context>>,
    topic: String,
}

struct Context(mpsc::UnboundedSender<Change>);

impl ClientContext for Context {}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            // The receiver is gone only while the process shuts down.
            let _ = self.0.send(Change::Revoked(partitions(list)));
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            if let Err(error) = consumer.pause(list) {
                tracing::warn!(%error, "assigned partitions could not be paused");
            }
            let _ = self.0.send(Change::Assigned(partitions(list)));
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(|element| element.partition()).collect()
}

impl Membership {
    /// Joins `group`, and sends changes to the returned channel until `stop`.
    pub fn join(
        brokers: &KafkaBrokers,
        topic: &str,
        group: &str,
        stop: CancellationToken,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Change>), KafkaError> {
        let (sender, changes) = mpsc::unbounded_channel();
        let mut config = service::kafka::client(brokers, "tidemark-ingest");
        config
            .set("group.id", group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "1500")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "latest");
        let consumer = Reader::with_context(&config, topic, Context(sender.clone()))?;
        consumer.subscribe(&[topic])?;
        let membership = Self { consumer: Arc::new(consumer), topic: topic.to_owned() };
        let polled = membership.consumer.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    // Polling serves the rebalances. No record arrives, because all partitions are paused.
                    message = polled.recv() => if let Err(error) = message {
                        tracing::warn!(%error, "consumer group error");
                        if is_stalled(&error) {
                            let _ = sender.send(Change::Lost);
                            return;
                        }
                    },
                    () = stop.cancelled() => break,
                }
            }
            polled.unsubscribe();
        });
        Ok((membership, changes))
    }

    /// Reads the committed offset: everything before it was stored. None if nothing was committed.
    pub async fn committed_offset(&self, partition: i32) -> Result<Option<i64>, KafkaError> {
        let (consumer, topic) = (self.consumer.clone(), self.topic.clone());
        let request = move || {
            let mut list = TopicPartitionList::new();
            list.add_partition(&topic, partition);
            consumer.committed_offsets(list, TIMEOUT)
        };
        let committed = tokio::task::spawn_blocking(request).await.unwrap_or(Err(KafkaError::Canceled))?;
        Ok(committed.elements().first().and_then(|element| match element.offset() {
            Offset::Offset(next) => Some(next),
            _ => None,
        }))
    }

    /// Commits that everything before `next` is stored. A failure is harmless, because the next block commits again.
    pub fn commit_offset(&self, partition: i32, next: i64) {
        let mut list = TopicPartitionList::new();
        let committed = list
            .add_partition_offset(&self.topic, partition, Offset::Offset(next))
            .and_then(|()| self.consumer.commit(&list, CommitMode::Async));
        if let Err(error) = committed {
            tracing::debug!(partition, %error, "offset commit failed");
        }
    }
}
