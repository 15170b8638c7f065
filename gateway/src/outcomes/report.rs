//! Counts into `outcomes.v1`: every second what has changed, and at the end the rest.

use super::Outcomes;
use super::tally::Snapshot;
use crate::publish::{KafkaPublisher, NotPublished};
use futures::future::join_all;
use proto::Message as _;
use proto::v1::{OutcomeCount, OutcomeCounts};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How often counts are reported.
const EVERY: Duration = Duration::from_secs(1);
/// How many counts one record holds: with all their addresses it stays far below what Kafka takes.
const MOST_IN_ONE: usize = 1_000;
/// How long the last reports may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// Where reports go.
pub trait Report: Send + Sync + 'static {
    /// Returns once the report is acknowledged by all in-sync replicas, or it is known or assumed that it will not be.
    fn report(
        &self,
        project_id: &str,
        payload: &[u8],
    ) -> impl Future<Output = Result<(), NotPublished>> + Send;
}

/// The topic of outcomes.
pub struct OutcomeTopic {
    /// Reaches Kafka.
    pub publisher: Arc<KafkaPublisher>,
    /// The topic's name.
    pub topic: String,
}

impl Report for OutcomeTopic {
    async fn report(&self, project_id: &str, payload: &[u8]) -> Result<(), NotPublished> {
        self.publisher.publish_to(&self.topic, project_id, payload).await
    }
}

impl Outcomes {
    /// Reports until `stop`, and then once more what is left.
    pub async fn keep_reporting(self, destination: impl Report, stop: CancellationToken) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let stopping = tokio::select! {
                _ = tick.tick() => false,
                () = stop.cancelled() => true,
            };
            if !stopping {
                self.report(&destination).await;
                continue;
            }
            if timeout(FAREWELL, self.report(&destination)).await != Ok(true) {
                tracing::warn!("the last counts of how requests ended could not be reported");
            }
            return;
        }
    }

    /// Reports what has changed; tells whether all of it is acknowledged.
    async fn report(&self, destination: &impl Report) -> bool {
        let reports = reports(self.changed());
        let sent = reports.iter().map(|(message, _)| async {
            destination.report(&message.project_id, &message.encode_to_vec()).await
        });
        let mut complete = true;
        let results = join_all(sent).await;
        let mut acknowledged = Vec::new();
        for ((_, snapshots), result) in reports.into_iter().zip(results) {
            match result {
                Ok(()) => {
                    self.reports.inc();
                    acknowledged.extend(snapshots);
                }
                Err(error) => {
                    self.failures.inc();
                    complete = false;
                    tracing::debug!(%error, "counts were not acknowledged; they are reported again");
                }
            }
        }
        self.reported(&acknowledged);
        complete
    }
}

/// The records that say `snapshots`, each with what it says.
fn reports(mut snapshots: Vec<Snapshot>) -> Vec<(OutcomeCounts, Vec<Snapshot>)> {
    fn of(snapshot: &Snapshot) -> (Uuid, &str) {
        (snapshot.counter(), snapshot.project_id())
    }
    snapshots.sort_unstable_by(|one, other| of(one).cmp(&of(other)));
    let groups = snapshots.chunk_by(|one, other| of(one) == of(other));
    groups.flat_map(|group| group.chunks(MOST_IN_ONE)).map(|group| (message(group), group.to_vec())).collect()
}

/// The record of counts that have counter and project in common.
fn message(group: &[Snapshot]) -> OutcomeCounts {
    let first = group.first();
    OutcomeCounts {
        counter_id: first.map_or_else(Vec::new, |first| first.counter().into_bytes().to_vec()),
        project_id: first.map_or_else(String::new, |first| first.project_id().to_owned()),
        counts: group
            .iter()
            .map(|snapshot| OutcomeCount {
                minute_ms: snapshot.minute_ms(),
                connection_id: snapshot.connection_id().to_owned(),
                outcome: snapshot.outcome().to_owned(),
                requests: snapshot.count.requests,
                metrics: snapshot.count.metrics,
                last_at_ms: snapshot.count.last_at_ms,
                addresses: snapshot.count.addresses.clone(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Takes what it is given, or nothing.
    #[derive(Default)]
    struct Topic {
        away: bool,
        records: Mutex<Vec<OutcomeCounts>>,
    }

    impl Report for &'static Topic {
        async fn report(&self, project_id: &str, payload: &[u8]) -> Result<(), NotPublished> {
            if self.away {
                return Err(NotPublished::NotConnected);
            }
            let record = OutcomeCounts::decode(payload).expect("a report");
            assert_eq!(record.project_id, project_id);
            self.records.lock().expect("no panic").push(record);
            Ok(())
        }
    }

    fn topic(away: bool) -> &'static Topic {
        Box::leak(Box::new(Topic { away, ..Topic::default() }))
    }

    #[tokio::test]
    async fn what_could_not_be_reported_is_reported_at_the_end() {
        let outcomes = Outcomes::default();
        outcomes.count(None, "missing_key", 0, 7);
        assert!(!outcomes.report(&topic(true)).await);
        outcomes.count(None, "missing_key", 0, 8);
        let there = topic(false);
        let stop = CancellationToken::new();
        stop.cancel();
        outcomes.clone().keep_reporting(there, stop).await;
        let records = there.records.lock().expect("no panic");
        let counts: Vec<&OutcomeCount> = records.iter().flat_map(|record| &record.counts).collect();
        // Where a minute turned in between there are two counts.
        assert_eq!(counts.iter().map(|count| count.requests).sum::<u64>(), 2);
        assert!(records.iter().all(|record| record.counter_id.len() == 16 && record.project_id.is_empty()));
        drop(records);
        assert!(outcomes.changed().is_empty(), "what is acknowledged is not reported again");
    }
}
