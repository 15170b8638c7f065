//! Reader of the tail of `metrics.v1`, for the evaluation of rules whose metrics have new points.

use proto::Message as _;
use proto::v1::MetricBatch;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::KafkaBrokers;
use service::kafka::reader::{self, Reader};
use std::time::Duration;
use tokio::sync::mpsc;

/// Time limit of metadata requests to Kafka.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval between checks for added partitions.
const PARTITION_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// A batch and its position (partition, offset) in the topic.
pub(super) type PositionedBatch = (MetricBatch, (i32, i64));

/// Opens a reader at the current end of the topic. Returns it with the number of partitions.
pub(super) async fn open(brokers: &KafkaBrokers, topic: &str) -> Result<(Reader, i32), KafkaError> {
    let mut config = service::kafka::client(brokers, "tidemark-alerts-tail");
    config
        .set("group.id", "tidemark-alerts-tail")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "latest")
        .set("fetch.wait.max.ms", "50");
    let consumer = Reader::new(&config, topic)?;
    let topic = topic.to_owned();
    // Records after this point are read, and records before it are covered by the first evaluation.
    let work = move || {
        let partitions = reader::partitions(&*consumer, &topic, KAFKA_TIMEOUT)?;
        let mut assignment = TopicPartitionList::new();
        for partition in partitions.clone() {
            let (_, end) = consumer.fetch_watermarks(&topic, partition, KAFKA_TIMEOUT)?;
            assignment.add_partition_offset(&topic, partition, Offset::Offset(end))?;
        }
        consumer.assign(&assignment)?;
        Ok((consumer, partitions.end))
    };
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(KafkaError::Canceled))
}

/// Forwards batches as they arrive, also those of added partitions.
pub(super) async fn forward(
    consumer: Reader,
    mut partitions: i32,
    batches: mpsc::Sender<PositionedBatch>,
) -> KafkaError {
    let mut partition_check = tokio::time::interval(PARTITION_CHECK_INTERVAL);
    loop {
        let message = tokio::select! {
            message = consumer.recv() => message,
            _ = partition_check.tick() => {
                // A failed check does not end the leadership: Kafka may be unavailable for a while.
                let Ok(found) = consumer.partitions(KAFKA_TIMEOUT).await else { continue };
                for partition in partitions..found.end {
                    if let Err(error) = consumer.add_partition(partition) {
                        return error;
                    }
                }
                partitions = partitions.max(found.end);
                continue;
            }
        };
        let message = match message {
            Ok(message) => message,
            Err(error) => return error,
        };
        // Undecodable records are handled by the worker.
        let Ok(batch) = MetricBatch::decode(message.payload().unwrap_or_default()) else { continue };
        if batches.send((batch, (message.partition(), message.offset()))).await.is_err() {
            return KafkaError::Canceled;
        }
    }
}
