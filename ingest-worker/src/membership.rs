//! Which partitions this worker looks after: its place in the consumer group.
//!
//! Nothing is fetched here; the partitions are paused as soon as they come. Offsets are committed after the fact, so that
//! the usual tools show the lag. They never say where to go on; but what was committed was stored, so a table that ends
//! before it has lost something.

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use service::kafka::reader::{Reader, is_lost};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The group of the workers that feed the generation in `database`.
pub fn group(database: &str) -> String {
    format!("tidemark-ingest-{database}")
}

/// A change of what this worker looks after.
#[derive(Debug)]
pub enum Change {
    /// These partitions came.
    Assigned(Vec<i32>),
    /// These went.
    Revoked(Vec<i32>),
    /// This worker is no longer in touch with the group, and has to join anew.
    Lost,
}

/// This worker's place in the group.
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
            // Nobody listens any more only when the process is leaving.
            let _ = self.0.send(Change::Revoked(partitions(list)));
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            if let Err(error) = consumer.pause(list) {
                tracing::warn!(%error, "could not pause the group's own fetching");
            }
            let _ = self.0.send(Change::Assigned(partitions(list)));
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(|element| element.partition()).collect()
}

impl Membership {
    /// Joins `group`; changes come through the channel until `stop`.
    pub fn join(
        brokers: &str,
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
                    // Polling serves the rebalances; no record comes, for all is paused.
                    message = polled.recv() => if let Err(error) = message {
                        tracing::warn!(%error, "the consumer group reported an error");
                        if is_lost(&error) {
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

    /// What the group was told last: everything before it was stored. None if nothing was.
    pub async fn shown(&self, partition: i32) -> Result<Option<i64>, KafkaError> {
        let (consumer, topic) = (self.consumer.clone(), self.topic.clone());
        let ask = move || {
            let mut place = TopicPartitionList::new();
            place.add_partition(&topic, partition);
            consumer.committed_offsets(place, TIMEOUT)
        };
        let committed = tokio::task::spawn_blocking(ask).await.unwrap_or(Err(KafkaError::Canceled))?;
        Ok(committed.elements().first().and_then(|element| match element.offset() {
            Offset::Offset(next) => Some(next),
            _ => None,
        }))
    }

    /// Tells the group, for the eyes of people, that everything before `next` is stored.
    pub fn show_progress(&self, partition: i32, next: i64) {
        let mut place = TopicPartitionList::new();
        let committed = place
            .add_partition_offset(&self.topic, partition, Offset::Offset(next))
            .and_then(|()| self.consumer.commit(&place, CommitMode::Async));
        if let Err(error) = committed {
            tracing::debug!(partition, %error, "progress was not shown");
        }
    }
}
