//! Deletions of samples.
//!
//! A deletion says where each partition of the log ended at that moment: its *cut*. What was answered with 200 before the
//! call lies below it, for that answer came after the record was on all in-sync replicas, which is what moves the end
//! that Kafka tells. What lies at the cut or above it was sent to a new metric of the same name.

use super::{CommandError, Commands, lock::Lock};
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

/// How long Kafka may take to answer each question.
const ANSWER: Duration = Duration::from_secs(2);

impl Commands {
    /// Deletes what a metric of the project has now. Whether there is such a metric, the caller knows.
    pub async fn delete_metric(&self, project_id: &str, metric_id: &str) -> Result<(), CommandError> {
        let mut lock = self.lock(&deletion_id(project_id, metric_id)).await?;
        let done = self.delete_locked(&mut lock, project_id, metric_id).await;
        lock.end(done).await
    }

    /// The same under a lock of the caller's; all of the project where `metric_id` is empty.
    pub(super) async fn delete_locked(
        &self,
        lock: &mut Lock,
        project_id: &str,
        metric_id: &str,
    ) -> Result<(), CommandError> {
        let id = deletion_id(project_id, metric_id);
        let wanted = [(EntityKind::Deletion, id.as_str())];
        let earlier = match self.projection.read(&mut self.redis.clone(), wanted, None).await? {
            ([Some(Kind::Deletion(earlier))], _) => earlier,
            _ => Deletion::default(),
        };
        let ends = log_ends(&self.brokers, &self.topics.metrics).await?;
        let deletion = following(earlier, project_id, metric_id, ends, now_ms());
        self.carry_out(lock, [Kind::Deletion(deletion)]).await
    }
}

/// The deletion after `earlier`: it covers all that one did, and can be told from it.
fn following(
    earlier: Deletion,
    project_id: &str,
    metric_id: &str,
    ends: HashMap<i32, i64>,
    now: i64,
) -> Deletion {
    let mut cuts = earlier.cuts;
    for (partition, end) in ends {
        let cut = cuts.entry(partition).or_default();
        *cut = end.max(*cut);
    }
    Deletion {
        project_id: project_id.to_owned(),
        metric_id: metric_id.to_owned(),
        deleted_at_ms: now.max(earlier.deleted_at_ms + 1),
        cuts,
    }
}

/// By partition, the offset after the last record that all in-sync replicas have.
async fn log_ends(brokers: &KafkaBrokers, topic: &str) -> Result<HashMap<i32, i64>, LogError> {
    let consumer: BaseConsumer<DefaultConsumerContext> = service::kafka::client(brokers, "tidemark-deletion")
        // Not the end of what is committed: a transaction that somebody left open must not hold the cut back.
        .set("isolation.level", "read_uncommitted")
        .create()?;
    let topic = topic.to_owned();
    let ask = move || {
        let metadata = consumer.fetch_metadata(Some(&topic), ANSWER)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
        let partitions = found.map(|found| found.partitions()).filter(|partitions| !partitions.is_empty());
        let partitions = partitions.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic))?;
        partitions
            .iter()
            .map(|partition| {
                Ok((partition.id(), consumer.fetch_watermarks(&topic, partition.id(), ANSWER)?.1))
            })
            .collect::<Result<_, KafkaError>>()
    };
    Ok(tokio::task::spawn_blocking(ask).await.map_err(|_| LogError::Interrupted)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_deletion_covers_all_that_an_earlier_one_did_and_is_told_from_it() {
        let first = following(Deletion::default(), "p", "m", HashMap::from([(0, 5), (1, 9)]), 100);
        assert_eq!((first.deleted_at_ms, first.cuts.clone()), (100, HashMap::from([(0, 5), (1, 9)])));
        // By a clock that is behind, of a topic that has one partition more.
        let second = following(first, "p", "m", HashMap::from([(0, 7), (2, 1)]), 90);
        assert_eq!(second.deleted_at_ms, 101);
        assert_eq!(second.cuts, HashMap::from([(0, 7), (1, 9), (2, 1)]));
    }
}
