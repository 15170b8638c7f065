//! Writes outcome counts to `outcomes.v1`: the changed counts every second, and the rest at shutdown.

use super::Outcomes;
use super::tally::Snapshot;
use crate::publish::{KafkaPublisher, PublishError};
use futures::future::join_all;
use proto::Message as _;
use proto::v1::{OutcomeCount, OutcomeCounts};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of counts in one record. With all their addresses, they stay far below Kafka's message size
/// limit.
const MAX_COUNTS_PER_RECORD: usize = 1_000;
/// Maximum time for the final report at shutdown.
const FINAL_REPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Publishes outcome reports.
pub trait ReportSink: Send + Sync + 'static {
    /// Returns once all in-sync replicas have acknowledged the report, or once no acknowledgement can be
    /// expected any more.
    fn report(
        &self,
        project_id: &str,
        payload: &[u8],
    ) -> impl Future<Output = Result<(), PublishError>> + Send;
}

/// Publishes outcome reports to a Kafka topic.
pub struct OutcomeTopic {
    pub publisher: Arc<KafkaPublisher>,
    pub topic: String,
}

impl ReportSink for OutcomeTopic {
    async fn report(&self, project_id: &str, payload: &[u8]) -> Result<(), PublishError> {
        self.publisher.publish_to(&self.topic, project_id, payload).await
    }
}

impl Outcomes {
    /// Reports the changed counts every second until `stop`, and then the remaining ones.
    pub async fn report_until(self, sink: impl ReportSink, stop: CancellationToken) {
        let mut tick = interval(REPORT_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let stopping = tokio::select! {
                _ = tick.tick() => false,
                () = stop.cancelled() => true,
            };
            if !stopping {
                self.report(&sink).await;
                continue;
            }
            if timeout(FINAL_REPORT_TIMEOUT, self.report(&sink)).await != Ok(true) {
                tracing::warn!("final outcome report failed; the usage reports lack its counts");
            }
            return;
        }
    }

    /// Reports the changed counts. Returns whether all of them were acknowledged.
    async fn report(&self, sink: &impl ReportSink) -> bool {
        let reports = reports(self.unreported());
        let sent = reports
            .iter()
            .map(|(message, _)| async { sink.report(&message.project_id, &message.encode_to_vec()).await });
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
                    tracing::debug!(%error, "outcome report not acknowledged; its counts will be reported again");
                }
            }
        }
        self.mark_reported(&acknowledged);
        complete
    }
}

/// Groups `snapshots` into one record for each counter and project. Returns each record with the snapshots in
/// it.
fn reports(mut snapshots: Vec<Snapshot>) -> Vec<(OutcomeCounts, Vec<Snapshot>)> {
    fn group_key(snapshot: &Snapshot) -> (Uuid, &str) {
        (snapshot.counter(), snapshot.project_id())
    }
    snapshots.sort_unstable_by(|one, other| group_key(one).cmp(&group_key(other)));
    let groups = snapshots.chunk_by(|one, other| group_key(one) == group_key(other));
    groups
        .flat_map(|group| group.chunks(MAX_COUNTS_PER_RECORD))
        .map(|group| (message(group), group.to_vec()))
        .collect()
}

/// Builds the record for snapshots of the same counter and project.
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

    /// Keeps the reports in memory, or rejects all of them.
    #[derive(Default)]
    struct FakeTopic {
        unavailable: bool,
        records: Mutex<Vec<OutcomeCounts>>,
    }

    impl ReportSink for &'static FakeTopic {
        async fn report(&self, project_id: &str, payload: &[u8]) -> Result<(), PublishError> {
            if self.unavailable {
                return Err(PublishError::NotConnected);
            }
            let record = OutcomeCounts::decode(payload).expect("a valid report");
            assert_eq!(record.project_id, project_id);
            self.records.lock().expect("not poisoned").push(record);
            Ok(())
        }
    }

    fn topic(unavailable: bool) -> &'static FakeTopic {
        Box::leak(Box::new(FakeTopic { unavailable, ..FakeTopic::default() }))
    }

    #[tokio::test]
    async fn failed_reports_are_repeated_at_shutdown() {
        let outcomes = Outcomes::default();
        outcomes.count(None, "missing_key", 0, 7);
        assert!(!outcomes.report(&topic(true)).await);
        outcomes.count(None, "missing_key", 0, 8);
        let available = topic(false);
        let stop = CancellationToken::new();
        stop.cancel();
        outcomes.clone().report_until(available, stop).await;
        let records = available.records.lock().expect("not poisoned");
        let counts: Vec<&OutcomeCount> = records.iter().flat_map(|record| &record.counts).collect();
        // There are two counts if a minute ended between the two requests.
        assert_eq!(counts.iter().map(|count| count.requests).sum::<u64>(), 2);
        assert!(records.iter().all(|record| record.counter_id.len() == 16 && record.project_id.is_empty()));
        drop(records);
        assert!(outcomes.unreported().is_empty(), "acknowledged counts are not reported again");
    }
}
