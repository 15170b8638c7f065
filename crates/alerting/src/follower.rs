//! Reads `alerts.v1` into [`AlertStates`]. Every replica runs a follower. It sees committed records only.

use super::alert_state::{AlertStates, Effect};
use proto::Message as _;
use proto::topics::Topics;
use proto::v1::AlertRecord;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::KafkaBrokers;
use service::kafka::reader::Reader;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Delay before a failed read is retried.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The alert states, and the offset up to which they were read. Clones share them.
#[derive(Clone)]
pub struct Follower {
    states: Arc<Mutex<AlertStates>>,
    next_offset: watch::Sender<i64>,
    pending_deliveries: watch::Sender<u64>,
    notices: watch::Sender<u64>,
}

impl Follower {
    /// Starts to read the topic of the installation until `stop`.
    pub fn start(brokers: &KafkaBrokers, namespace: &str, stop: CancellationToken) -> Self {
        let follower = Self {
            states: Arc::default(),
            next_offset: watch::Sender::new(0),
            pending_deliveries: watch::Sender::new(0),
            notices: watch::Sender::new(0),
        };
        let (topic, brokers, worker) = (Topics::new(namespace).alerts, brokers.clone(), follower.clone());
        tokio::spawn(async move {
            let work = async {
                loop {
                    let from = *worker.next_offset.borrow();
                    let Err(error) = worker.consume(&brokers, &topic, from).await;
                    tracing::warn!(%error, "alert topic read failed; retrying");
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            };
            tokio::select! {
                () = work => {}
                () = stop.cancelled() => {}
            }
        });
        follower
    }

    /// Reads the alert states under their lock.
    pub fn read<T>(&self, read: impl FnOnce(&AlertStates) -> T) -> T {
        read(&self.states.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until the record at `offset` is applied.
    pub async fn reached(&self, offset: i64) {
        // The sender lives as long as the follower, so this never fails.
        let _ = self.next_offset.subscribe().wait_for(|next| *next > offset).await;
    }

    /// Returns a counter that changes whenever new deliveries may be pending.
    pub fn pending_deliveries(&self) -> watch::Receiver<u64> {
        self.pending_deliveries.subscribe()
    }

    /// Returns a counter that changes whenever an inbox has a new notice.
    pub fn notices(&self) -> watch::Receiver<u64> {
        self.notices.subscribe()
    }

    async fn consume(
        &self,
        brokers: &KafkaBrokers,
        topic: &str,
        from: i64,
    ) -> Result<std::convert::Infallible, KafkaError> {
        let consumer = reader(brokers, topic, from)?;
        loop {
            let message = consumer.recv().await?;
            let offset = message.offset();
            match AlertRecord::decode(message.payload().unwrap_or_default()) {
                Ok(record) => {
                    let effect =
                        self.states.lock().unwrap_or_else(PoisonError::into_inner).apply(offset, record);
                    match effect {
                        Effect::None => {}
                        Effect::Deliveries => self.pending_deliveries.send_modify(|count| *count += 1),
                        Effect::Notice => self.notices.send_modify(|count| *count += 1),
                    }
                }
                Err(error) => {
                    tracing::error!(offset, %error, "record of the alert topic skipped: not decodable")
                }
            }
            self.next_offset.send_replace(offset + 1);
        }
    }
}

/// Returns a reader of committed records from the offset `from`.
pub(super) fn reader(brokers: &KafkaBrokers, topic: &str, from: i64) -> Result<Reader, KafkaError> {
    let mut config = service::kafka::client(brokers, "tidemark-alerts-reader");
    config
        .set("group.id", "tidemark-alerts-reader")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "50");
    let consumer = Reader::new(&config, topic)?;
    let mut assignment = TopicPartitionList::new();
    let offset = if from <= 0 { Offset::Beginning } else { Offset::Offset(from) };
    assignment.add_partition_offset(topic, 0, offset)?;
    consumer.assign(&assignment)?;
    Ok(consumer)
}
