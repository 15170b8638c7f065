//! Writes `alerts.v1`.
//!
//! [`Journal`] belongs to the leader. All leaders of an installation share one transactional id, so a new leader fences its
//! predecessor: records of a fenced leader are never read, and its leadership ends with its first write. [`UserRecords`] is the
//! writer of every replica, for acknowledgements, tests and read marks.

use proto::Message as _;
use proto::topics::Topics;
use proto::v1::{AlertRecord, alert_record::Kind};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use service::kafka::KafkaBrokers;
use service::kafka::writer::Writer;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Time limit of a transaction, after which the broker aborts it.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for a record of [`UserRecords`].
const USER_RECORD_TIMEOUT: Duration = Duration::from_secs(5);
/// Number of records from which on a transaction takes no further request.
const MAX_BATCH: usize = 10_000;

/// Reason why a write failed. Its outcome is known from the topic only.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Kafka rejected the write, or the writer was fenced.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The journal has ended.
    #[error("the journal is closed")]
    Closed,
}

/// Records to write, and the receiver of the last one's offset.
type WriteRequest = (Vec<AlertRecord>, oneshot::Sender<i64>);

/// The leader's writer. Clones share it. After a failed write all writes fail.
#[derive(Clone)]
pub struct Journal {
    requests: mpsc::Sender<WriteRequest>,
}

impl Journal {
    /// Opens the journal and fences all others of the installation. The task ends when the journal does, with the reason.
    pub async fn open(
        brokers: &KafkaBrokers,
        namespace: &str,
    ) -> Result<(Self, tokio::task::JoinHandle<JournalError>), JournalError> {
        let topic = Topics::new(namespace).alerts;
        let producer: FutureProducer = service::kafka::client(brokers, "tidemark-alerts")
            .set("transactional.id", format!("{topic}.evaluator"))
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string())
            .set("message.timeout.ms", (TRANSACTION_TIMEOUT / 2).as_millis().to_string())
            .set("linger.ms", "0")
            .create()?;
        let producer = blocking(producer, |producer| producer.init_transactions(TRANSACTION_TIMEOUT)).await?;
        let (requests, receiver) = mpsc::channel(1024);
        Ok((Self { requests }, tokio::spawn(serve(producer, topic, receiver))))
    }

    /// Writes `records` in one transaction, together with concurrent writes. Returns the offset of the last record.
    pub async fn write(&self, records: Vec<AlertRecord>) -> Result<i64, JournalError> {
        let (done, written) = oneshot::channel();
        self.requests.send((records, done)).await.map_err(|_| JournalError::Closed)?;
        written.await.map_err(|_| JournalError::Closed)
    }
}

async fn serve(
    mut producer: FutureProducer,
    topic: String,
    mut requests: mpsc::Receiver<WriteRequest>,
) -> JournalError {
    while let Some(first) = requests.recv().await {
        let mut batch = vec![first];
        while batch.iter().map(|(records, _)| records.len()).sum::<usize>() < MAX_BATCH {
            let Ok(next) = requests.try_recv() else { break };
            batch.push(next);
        }
        match commit(producer, &topic, &batch).await {
            Ok((same, offsets)) => {
                producer = same;
                for ((_, done), offset) in batch.into_iter().zip(offsets) {
                    let _ = done.send(offset);
                }
            }
            // The transaction stays open: the next leader aborts it.
            Err(error) => return error,
        }
    }
    JournalError::Closed
}

/// Executes one transaction. Returns the last offset of each part of the batch.
async fn commit(
    producer: FutureProducer,
    topic: &str,
    batch: &[WriteRequest],
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
    let producer = blocking(producer, |producer| producer.commit_transaction(TRANSACTION_TIMEOUT)).await?;
    Ok((producer, offsets))
}

/// Runs a blocking call without delaying other tasks.
async fn blocking(
    producer: FutureProducer,
    call: impl FnOnce(&FutureProducer) -> Result<(), KafkaError> + Send + 'static,
) -> Result<FutureProducer, KafkaError> {
    let call = move || call(&producer).map(|()| producer);
    tokio::task::spawn_blocking(call).await.unwrap_or(Err(KafkaError::Canceled))
}

/// Writes records that users cause: acknowledgements, tests, read marks.
#[derive(Clone)]
pub struct UserRecords {
    writer: Writer,
    topic: String,
}

impl UserRecords {
    /// Creates a writer whose records are acknowledged by all in-sync replicas.
    pub fn new(brokers: &KafkaBrokers, namespace: &str) -> Result<Self, KafkaError> {
        let mut config = service::kafka::client(brokers, "tidemark-notes");
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .set("message.timeout.ms", USER_RECORD_TIMEOUT.as_millis().to_string());
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

/// Returns the record's key: the rule, the project or the leadership.
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
