//! Deletions of samples.
//!
//! A deletion records the end offset of each partition of the metrics topic at that moment: the *cut-off offset*.
//! It covers the records below. A batch that was acknowledged with 200 before the call is below the cut-off
//! offset, because the gateway acknowledges it only after all in-sync replicas have the record, and that advances
//! the end offset that Kafka reports. Records at or above the cut-off offset belong to a new metric of the same
//! name.

use super::error::CommandError;
use super::executor::Commands;
use super::lock::Lock;
use crate::control_log::LogError;
use proto::control::{EntityKind, deletion_id};
use proto::v1::{Deletion, entity::Kind};
use rdkafka::consumer::{BaseConsumer, Consumer as _, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use service::clock::now_ms;
use service::kafka::KafkaBrokers;
use std::collections::HashMap;
use std::time::Duration;

/// Timeout of each metadata request to Kafka.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(2);

impl Commands {
    /// Deletes the current samples of a metric of the project. The caller has checked that the metric exists.
    pub async fn delete_metric(&self, project_id: &str, metric_id: &str) -> Result<(), CommandError> {
        let mut lock = self.lock(&deletion_id(project_id, metric_id)).await?;
        let done = self.delete_locked(&mut lock, project_id, metric_id).await;
        lock.end(done).await
    }

    /// Deletes the metric's samples under the caller's lock. An empty `metric_id` stands for the whole project.
    pub(super) async fn delete_locked(
        &self,
        lock: &mut Lock,
        project_id: &str,
        metric_id: &str,
    ) -> Result<(), CommandError> {
        let id = deletion_id(project_id, metric_id);
        let entities = [(EntityKind::Deletion, id.as_str())];
        let earlier = match self.projection.read(&mut self.redis.clone(), entities, None).await? {
            ([Some(Kind::Deletion(earlier))], _) => earlier,
            _ => Deletion::default(),
        };
        let end_offsets = log_end_offsets(&self.brokers, &self.topics.metrics).await?;
        let deletion = next_deletion(earlier, project_id, metric_id, end_offsets, now_ms());
        self.publish_and_apply(lock, [Kind::Deletion(deletion)]).await
    }
}

/// Returns the deletion that follows `earlier`. It covers everything that `earlier` covers and has a later time.
fn next_deletion(
    earlier: Deletion,
    project_id: &str,
    metric_id: &str,
    end_offsets: HashMap<i32, i64>,
    now_ms: i64,
) -> Deletion {
    let mut cuts = earlier.cuts;
    for (partition, end) in end_offsets {
        let cut_off_offset = cuts.entry(partition).or_default();
        *cut_off_offset = end.max(*cut_off_offset);
    }
    Deletion {
        project_id: project_id.to_owned(),
        metric_id: metric_id.to_owned(),
        deleted_at_ms: now_ms.max(earlier.deleted_at_ms + 1),
        cuts,
    }
}

/// Returns, by partition, the offset after the last record that all in-sync replicas have.
async fn log_end_offsets(brokers: &KafkaBrokers, topic: &str) -> Result<HashMap<i32, i64>, LogError> {
    let consumer: BaseConsumer<DefaultConsumerContext> = service::kafka::client(brokers, "tidemark-deletion")
        // Not the last stable offset: an open transaction must not hold back the cut-off offset.
        .set("isolation.level", "read_uncommitted")
        .create()?;
    let topic = topic.to_owned();
    let fetch = move || {
        let metadata = consumer.fetch_metadata(Some(&topic), KAFKA_TIMEOUT)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
        let partitions = found.map(|found| found.partitions()).filter(|partitions| !partitions.is_empty());
        let partitions = partitions.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic))?;
        partitions
            .iter()
            .map(|partition| {
                Ok((partition.id(), consumer.fetch_watermarks(&topic, partition.id(), KAFKA_TIMEOUT)?.1))
            })
            .collect::<Result<_, KafkaError>>()
    };
    Ok(tokio::task::spawn_blocking(fetch).await.map_err(|_| LogError::Interrupted)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_deletion_covers_the_earlier_one_and_has_a_later_time() {
        let first = next_deletion(Deletion::default(), "p", "m", HashMap::from([(0, 5), (1, 9)]), 100);
        assert_eq!((first.deleted_at_ms, first.cuts.clone()), (100, HashMap::from([(0, 5), (1, 9)])));
        // The clock is behind, and the topic has one more partition.
        let second = next_deletion(first, "p", "m", HashMap::from([(0, 7), (2, 1)]), 90);
        assert_eq!(second.deleted_at_ms, 101);
        assert_eq!(second.cuts, HashMap::from([(0, 7), (1, 9), (2, 1)]));
    }
}
