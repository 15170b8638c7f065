//! Reads `alerts.v1` into the [`Book`]. Every replica runs one; what was not committed it never sees.

use super::book::{Book, News};
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

/// Between two tries to read.
const RETRY: Duration = Duration::from_secs(1);

/// The book, and up to where it was read. Clones share it.
#[derive(Clone)]
pub struct Follower {
    book: Arc<Mutex<Book>>,
    next: watch::Sender<i64>,
    tasks: watch::Sender<u64>,
    notices: watch::Sender<u64>,
}

impl Follower {
    /// Reads the topic of the installation until `stop`.
    pub fn start(brokers: &KafkaBrokers, namespace: &str, stop: CancellationToken) -> Self {
        let follower = Self {
            book: Arc::default(),
            next: watch::Sender::new(0),
            tasks: watch::Sender::new(0),
            notices: watch::Sender::new(0),
        };
        let (topic, brokers, worker) = (Topics::new(namespace).alerts, brokers.clone(), follower.clone());
        tokio::spawn(async move {
            let work = async {
                loop {
                    let from = *worker.next.borrow();
                    let Err(error) = worker.read(&brokers, &topic, from).await;
                    tracing::warn!(%error, "the topic of alerts cannot be read; trying again");
                    tokio::time::sleep(RETRY).await;
                }
            };
            tokio::select! {
                () = work => {}
                () = stop.cancelled() => {}
            }
        });
        follower
    }

    /// Looks into the book.
    pub fn look<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        look(&self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until the record at `offset` is in the book.
    pub async fn reached(&self, offset: i64) {
        // The sender lives as long as this, so it is never an error.
        let _ = self.next.subscribe().wait_for(|next| *next > offset).await;
    }

    /// Changes whenever channels may have something new to be told.
    pub fn tasks(&self) -> watch::Receiver<u64> {
        self.tasks.subscribe()
    }

    /// Changes whenever there is a new notice in an inbox.
    pub fn notices(&self) -> watch::Receiver<u64> {
        self.notices.subscribe()
    }

    async fn read(
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
                    let news = self.book.lock().unwrap_or_else(PoisonError::into_inner).apply(offset, record);
                    match news {
                        News::Nothing => {}
                        News::Tasks => self.tasks.send_modify(|count| *count += 1),
                        News::Notice => self.notices.send_modify(|count| *count += 1),
                    }
                }
                Err(error) => {
                    tracing::error!(offset, %error, "a record of the topic of alerts cannot be read")
                }
            }
            self.next.send_replace(offset + 1);
        }
    }
}

/// A reader of what was committed, from `from` on.
pub(super) fn reader(brokers: &KafkaBrokers, topic: &str, from: i64) -> Result<Reader, KafkaError> {
    let mut config = service::kafka::client(brokers, "tidemark-alerts-reader");
    config
        .set("group.id", "tidemark-alerts-reader")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "50");
    let consumer = Reader::new(&config, topic)?;
    let mut place = TopicPartitionList::new();
    let offset = if from <= 0 { Offset::Beginning } else { Offset::Offset(from) };
    place.add_partition_offset(topic, 0, offset)?;
    consumer.assign(&place)?;
    Ok(consumer)
}
