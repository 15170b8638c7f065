//! Writes `alerts.v1`.
//!
//! [`Journal`] is the evaluator's: its transactional id is the installation's, so that a second evaluator that opens one
//! fences the first off. What a fenced one writes is never read; its term ends at the first attempt. [`Notes`] is
//! everybody's, for what people say.

use proto::Message as _;
use proto::topics::Topics;
use proto::v1::{AlertRecord, alert_record::Kind};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use service::kafka::KafkaBrokers;
use service::kafka::writer::Writer;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long a transaction may take; beyond it the broker ends it.
const TRANSACTION: Duration = Duration::from_secs(10);
/// How long a record of [`Notes`] may take.
const NOTE: Duration = Duration::from_secs(5);
/// So many records are written in one transaction.
const BATCH: usize = 10_000;

/// Why nothing was written; what became of it is known from the topic alone.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Kafka did not do what was asked of it, or the writer was fenced off.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The journal ended before.
    #[error("the journal was closed")]
    Closed,
}

type Asked = (Vec<AlertRecord>, oneshot::Sender<i64>);

/// The evaluator's writer. Clones write to the same; once a write has failed, all do.
#[derive(Clone)]
pub struct Journal {
    asked: mpsc::Sender<Asked>,
}

impl Journal {
    /// Opens it, and closes every other one of the installation. The task ends with the journal, or with what ended it.
    pub async fn open(
        brokers: &KafkaBrokers,
        namespace: &str,
    ) -> Result<(Self, tokio::task::JoinHandle<JournalError>), JournalError> {
        let topic = Topics::new(namespace).alerts;
        let producer: FutureProducer = service::kafka::client(brokers, "tidemark-alerts")
            .set("transactional.id", format!("{topic}.evaluator"))
            .set("transaction.timeout.ms", TRANSACTION.as_millis().to_string())
            .set("message.timeout.ms", (TRANSACTION / 2).as_millis().to_string())
            .set("linger.ms", "0")
            .create()?;
        let producer = blocking(producer, |producer| producer.init_transactions(TRANSACTION)).await?;
        let (asked, asks) = mpsc::channel(1024);
        Ok((Self { asked }, tokio::spawn(serve(producer, topic, asks))))
    }

    /// Writes `records` in one transaction, together with what others write at the same time; returns the offset of the
    /// last of them.
    pub async fn write(&self, records: Vec<AlertRecord>) -> Result<i64, JournalError> {
        let (done, written) = oneshot::channel();
        self.asked.send((records, done)).await.map_err(|_| JournalError::Closed)?;
        written.await.map_err(|_| JournalError::Closed)
    }
}

async fn serve(mut producer: FutureProducer, topic: String, mut asks: mpsc::Receiver<Asked>) -> JournalError {
    while let Some(first) = asks.recv().await {
        let mut batch = vec![first];
        while batch.iter().map(|(records, _)| records.len()).sum::<usize>() < BATCH {
            let Ok(next) = asks.try_recv() else { break };
            batch.push(next);
        }
        match commit(producer, &topic, &batch).await {
            Ok((same, offsets)) => {
                producer = same;
                for ((_, done), offset) in batch.into_iter().zip(offsets) {
                    let _ = done.send(offset);
                }
            }
            // The transaction is left open: the next one to open the journal aborts it.
            Err(error) => return error,
        }
    }
    JournalError::Closed
}

/// One transaction; the last offset of each part of the batch.
async fn commit(
    producer: FutureProducer,
    topic: &str,
    batch: &[Asked],
) -> Result<(FutureProducer, Vec<i64>), JournalError> {
    producer.begin_transaction()?;
    let mut deliveries = Vec::new();
    for (records, _) in batch {
        for record in records {
            let (key, value) = (key(record), record.encode_to_vec());
            let message = FutureRecord::to(topic).partition(0).key(key).payload(&value);
            let sent = producer.send_result(message).map_err(|(error, _)| error)?;
            deliveries.push(sent);
        }
    }
    let mut deliveries = deliveries.into_iter();
    let mut offsets = Vec::with_capacity(batch.len());
    for (records, _) in batch {
        let mut last = -1;
        for delivery in deliveries.by_ref().take(records.len()) {
            let delivery = delivery.await.map_err(|_| KafkaError::Canceled)?;
            last = delivery.map_err(|(error, _)| error)?.offset;
        }
        offsets.push(last);
    }
    let producer = blocking(producer, |producer| producer.commit_transaction(TRANSACTION)).await?;
    Ok((producer, offsets))
}

/// Calls that block must not hold up other tasks.
async fn blocking(
    producer: FutureProducer,
    call: impl FnOnce(&FutureProducer) -> Result<(), KafkaError> + Send + 'static,
) -> Result<FutureProducer, KafkaError> {
    let call = move || call(&producer).map(|()| producer);
    tokio::task::spawn_blocking(call).await.unwrap_or(Err(KafkaError::Canceled))
}

/// Writes what people say: acknowledgements, tests, what they have read.
#[derive(Clone)]
pub struct Notes {
    writer: Writer,
    topic: String,
}

impl Notes {
    /// A writer whose records all in-sync replicas have acknowledged.
    pub fn new(brokers: &KafkaBrokers, namespace: &str) -> Result<Self, KafkaError> {
        let mut config = service::kafka::client(brokers, "tidemark-notes");
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .set("message.timeout.ms", NOTE.as_millis().to_string());
        Ok(Self { writer: Writer::new(&config)?, topic: Topics::new(namespace).alerts })
    }

    /// Writes one record; returns its offset.
    pub async fn write(&self, kind: Kind) -> Result<i64, KafkaError> {
        let record = AlertRecord { kind: Some(kind) };
        let value = record.encode_to_vec();
        let message = FutureRecord::to(&self.topic).partition(0).key(key(&record)).payload(&value);
        Ok(self.writer.write(message).await?.offset)
    }
}

/// The record's key: the rule, else the project.
fn key(record: &AlertRecord) -> &str {
    match &record.kind {
        Some(Kind::Transition(it)) => it.subject.as_ref().map_or("", |subject| &subject.alert_id),
        Some(Kind::Test(it)) => it.subject.as_ref().map_or("", |subject| &subject.project_id),
        Some(Kind::Delivery(it)) => &it.project_id,
        Some(Kind::Acknowledgement(it)) => &it.alert_id,
        Some(Kind::InboxRead(it)) => &it.project_id,
        Some(Kind::Term(it)) => &it.term_id,
        None => "",
    }
}
