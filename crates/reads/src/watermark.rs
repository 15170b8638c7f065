//! Watermarks: the time up to which an answer is complete.
//!
//! A watermark `w` promises that every point that was accepted with `receivedAt <= w` is in the answer. It
//! follows from three facts:
//! - A gateway stamps `receivedAt` before it publishes, and gives up after a fixed time. A record in Kafka
//!   with the stamp `r` was appended by `r + D`, where `D` (the setting `--max-publish-time`) also covers
//!   clock differences between machines.
//! - So at a time `t` every point that was accepted with `receivedAt < t - D` lies before the ends that the
//!   partitions have at `t` or later. A [`Snapshot`] consists of a time `t` and ends that were read after it.
//! - A store whose chains have reached those ends contains all these points, because a chain has no gaps.
//!
//! For each answer the heads of the chains are read *before* the data. The watermark is that of the newest
//! snapshot that the heads cover. Snapshots are taken on demand, at most about five per second, and otherwise
//! once per second. In a busy installation the newest records are never stored yet, so answers use a slightly
//! older snapshot. While Kafka is unavailable, earlier snapshots remain in use. Without a covered snapshot
//! the watermark is 0, which promises nothing.
//!
//! A process that starts while the store is far behind has no earlier snapshots. It derives some from Kafka's
//! timestamps: the first record of a partition with a timestamp of `t` or later, and all records after it,
//! were written at `t` or later. So the offset before that record serves as the end of the partition at `t`.
//!
//! Records that expired from Kafka before any store had them are not considered: they are lost, and the
//! ingest worker reports it.

use crate::metrics::Metrics;
use crate::store::Head;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::KafkaBrokers;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Age up to which a snapshot is used without taking a new one.
const MAX_AGE: Duration = Duration::from_millis(200);
/// Age up to which an answer does not wait for the new snapshot. It is slightly longer than [`PERIOD`].
const MAX_AGE_WITHOUT_WAIT: Duration = Duration::from_millis(1200);
/// Interval of snapshots without demand.
const PERIOD: Duration = Duration::from_secs(1);
/// Maximum time that an answer waits for a new snapshot.
const MAX_WAIT: Duration = Duration::from_millis(300);
/// Timeout of each Kafka request.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(2);
/// Age of the youngest snapshot that is derived from Kafka's timestamps; each older one has twice the age of
/// the next.
const PAST_MIN_AGE: Duration = Duration::from_secs(15);
/// Number of snapshots that are derived from Kafka's timestamps; they cover 34 hours.
const PAST_COUNT: u32 = 14;
/// Maximum number of snapshots. Beyond it, every second snapshot of the older half is dropped.
const MAX_SNAPSHOTS: usize = 512;

/// Ends of the partitions at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Time before the ends were requested, Unix milliseconds.
    pub at_ms: i64,
    /// Last offset of each partition that contains records.
    pub last: Vec<(i32, i64)>,
}

impl Snapshot {
    /// Returns whether chains with these heads contain every record up to the ends.
    fn is_covered_by(&self, heads: &[Head]) -> bool {
        self.last.iter().all(|(partition, last)| {
            // An empty partition has no end to reach.
            *last < 0 || heads.iter().any(|head| head.partition == *partition && head.last >= *last)
        })
    }
}

/// Snapshots, oldest first. Their density decreases with age, so that a store that is far behind still covers
/// one.
#[derive(Debug, Default)]
struct History(VecDeque<Snapshot>);

impl History {
    fn add(&mut self, snapshot: Snapshot) {
        // After the clock was set back, snapshots with later times are dropped.
        while self.0.back().is_some_and(|last| last.at_ms >= snapshot.at_ms) {
            self.0.pop_back();
        }
        self.0.push_back(snapshot);
        if self.0.len() > MAX_SNAPSHOTS {
            let mut index = 0;
            self.0.retain(|_| {
                index += 1;
                index > MAX_SNAPSHOTS / 2 || index % 2 == 1
            });
        }
    }

    fn newest_covered(&self, heads: &[Head]) -> Option<&Snapshot> {
        self.0.iter().rev().find(|snapshot| snapshot.is_covered_by(heads))
    }
}

/// Determines watermarks. Clones share the snapshots.
#[derive(Clone)]
pub struct Watermarks(Arc<Inner>);

struct Inner {
    history: Mutex<History>,
    /// Time of the last snapshot.
    taken: watch::Sender<Option<Instant>>,
    demand: Notify,
    max_publish_time_ms: i64,
    metrics: Metrics,
}

impl Watermarks {
    /// Starts taking snapshots of `topic` until `stop`.
    pub fn start(
        brokers: &KafkaBrokers,
        topic: &str,
        max_publish_time: Duration,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> Result<Self, KafkaError> {
        let config = service::kafka::client(brokers, "tidemark-query");
        let consumer = Arc::new(config.create()?);
        let watermarks = Self(Arc::new(Inner {
            history: Mutex::default(),
            taken: watch::Sender::new(None),
            demand: Notify::new(),
            max_publish_time_ms: i64::try_from(max_publish_time.as_millis()).unwrap_or(i64::MAX),
            metrics,
        }));
        let (worker, topic) = (watermarks.clone(), topic.to_owned());
        tokio::spawn(async move {
            tokio::select! {
                () = worker.run(&config, consumer, topic) => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(watermarks)
    }

    /// Requests a new snapshot unless there is a fresh one, and waits for it briefly if the last one is old.
    /// Call it before reading the heads.
    pub async fn refresh(&self) {
        let mut taken = self.0.taken.subscribe();
        let last = taken.borrow().map(|at| at.elapsed());
        if last.is_some_and(|age| age < MAX_AGE) {
            return;
        }
        self.0.demand.notify_one();
        if last.is_some_and(|age| age < MAX_AGE_WITHOUT_WAIT) {
            return;
        }
        let fresh = |at: &Option<Instant>| at.is_some_and(|at| at.elapsed() < MAX_AGE);
        // After the timeout an older snapshot is used: it promises less, but is still correct.
        let _ = tokio::time::timeout(MAX_WAIT, taken.wait_for(fresh)).await;
    }

    /// Returns the watermark of an answer whose data is read after `heads`.
    pub fn for_heads(&self, heads: &[Head]) -> i64 {
        let history = self.0.history.lock().unwrap_or_else(PoisonError::into_inner);
        let covered = history.newest_covered(heads).map(|snapshot| snapshot.at_ms);
        drop(history);
        if let Some(at_ms) = covered {
            self.0
                .metrics
                .watermark_age_ms
                .set(service::clock::now_ms() - at_ms + self.0.max_publish_time_ms);
        }
        // One millisecond less: a batch stamped exactly D before may have been published just after the
        // snapshot.
        covered.map_or(0, |at_ms| (at_ms - self.0.max_publish_time_ms - 1).max(0))
    }

    async fn run(&self, config: &ClientConfig, mut consumer: Arc<BaseConsumer>, topic: String) {
        let mut first = true;
        loop {
            let started = Instant::now();
            let at_ms = service::clock::now_ms();
            if std::mem::take(&mut first) {
                let (consumer, topic) = (consumer.clone(), topic.clone());
                let past =
                    tokio::task::spawn_blocking(move || past_snapshots(&consumer, &topic, at_ms)).await;
                // Without them the watermark is 0 until the store has caught up, which is still correct.
                let past = past.ok().and_then(Result::ok).unwrap_or_default();
                let mut history = self.0.history.lock().unwrap_or_else(PoisonError::into_inner);
                past.into_iter().for_each(|snapshot| history.add(snapshot));
            }
            let (client, client_topic) = (consumer.clone(), topic.clone());
            match tokio::task::spawn_blocking(move || last_offsets(&client, &client_topic)).await {
                Ok(Ok(last)) => {
                    self.0
                        .history
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .add(Snapshot { at_ms, last });
                    self.0.taken.send_replace(Some(started));
                    // Bounds the rate of snapshots on demand.
                    tokio::time::sleep(MAX_AGE.saturating_sub(started.elapsed()) / 2).await;
                    let _ = tokio::time::timeout(PERIOD, self.0.demand.notified()).await;
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "watermark snapshot failed: Kafka unavailable; watermarks do not advance");
                    // The client itself may be stalled.
                    if let Ok(new) = config.create() {
                        consumer = Arc::new(new);
                    }
                    tokio::time::sleep(PERIOD).await;
                }
                Err(error) => {
                    tracing::error!(%error, "watermark snapshot task failed");
                    tokio::time::sleep(PERIOD).await;
                }
            }
        }
    }
}

/// Derives snapshots of the time before `now_ms` from Kafka's timestamps, oldest first.
fn past_snapshots(consumer: &BaseConsumer, topic: &str, now_ms: i64) -> Result<Vec<Snapshot>, KafkaError> {
    let ends = last_offsets(consumer, topic)?;
    let youngest = i64::try_from(PAST_MIN_AGE.as_millis()).unwrap_or(i64::MAX);
    let ages = (0..PAST_COUNT).rev().map(|doubled| youngest << doubled);
    ages.map(|age| {
        let at_ms = now_ms - age;
        let mut times = TopicPartitionList::new();
        for (partition, _) in &ends {
            times.add_partition_offset(topic, *partition, Offset::Offset(at_ms))?;
        }
        let found = consumer.offsets_for_times(times, KAFKA_TIMEOUT)?;
        let last = ends.iter().map(|(partition, end)| {
            let first = found.find_partition(topic, *partition).map(|found| found.offset());
            match first {
                Some(Offset::Offset(first)) => (*partition, (first - 1).min(*end)),
                // No record since then.
                _ => (*partition, *end),
            }
        });
        Ok(Snapshot { at_ms, last: last.collect() })
    })
    .collect()
}

/// Returns the last offset of each partition that contains records.
fn last_offsets(consumer: &BaseConsumer, topic: &str) -> Result<Vec<(i32, i64)>, KafkaError> {
    // An unknown topic, or one without partitions, is an error: otherwise it would count as covered.
    let partitions = service::kafka::reader::partitions(consumer, topic, KAFKA_TIMEOUT)?;
    let mut last = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let (begin, end) = consumer.fetch_watermarks(topic, partition, KAFKA_TIMEOUT)?;
        if begin < end {
            last.push((partition, end - 1));
        }
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn heads(last: &[i64]) -> Vec<Head> {
        (0..).zip(last).map(|(partition, &last)| Head { partition, last }).collect()
    }

    #[test]
    fn snapshot_is_covered_once_every_chain_reached_its_end() {
        let snapshot = Snapshot { at_ms: 1, last: vec![(0, 9), (1, 4)] };
        assert!(snapshot.is_covered_by(&heads(&[9, 4])));
        assert!(snapshot.is_covered_by(&heads(&[10, 4])));
        assert!(!snapshot.is_covered_by(&heads(&[8, 4])));
        assert!(!snapshot.is_covered_by(&heads(&[100])), "a partition without a chain is not covered");
        assert!(
            Snapshot { at_ms: 1, last: vec![] }.is_covered_by(&[]),
            "no point was accepted, so none is missing"
        );
    }

    proptest! {
        /// Model: each record is appended to Kafka at most D after its received time.
        #[test]
        fn no_point_accepted_up_to_the_watermark_is_missing(
            records in prop::collection::vec((0usize..3, 0i64..50, 0i64..=20), 0..200),
            pauses in prop::collection::vec(1i64..200, 0..60),
            stored in prop::collection::vec(0.0f64..=1.0, 3),
        ) {
            const D: i64 = 20;
            let mut now = 1000;
            let (mut logs, mut history) = ([const { Vec::new() }; 3], History::default());
            let mut pauses = pauses.into_iter();
            for (partition, gap, delay) in records {
                now += gap;
                logs[partition].push(now - delay);
                if let Some(pause) = pauses.next().filter(|pause| pause % 3 == 0) {
                    now += pause;
                    let last = (0..).zip(&logs).filter(|(_, log)| !log.is_empty()).map(|(p, log)| (p, log.len() as i64 - 1));
                    history.add(Snapshot { at_ms: now, last: last.collect() });
                }
            }
            let lengths: Vec<i64> = logs.iter().zip(&stored).map(|(log, part)| (log.len() as f64 * part) as i64).collect();
            let heads = heads(&lengths.iter().map(|length| length - 1).collect::<Vec<_>>());
            let watermark = history.newest_covered(&heads).map_or(0, |snapshot| snapshot.at_ms - D - 1);
            for (log, length) in logs.iter().zip(lengths) {
                for stamp in &log[length as usize..] {
                    prop_assert!(*stamp > watermark, "{stamp} is not stored, the watermark is {watermark}");
                }
            }
        }
    }

    #[test]
    fn store_far_behind_covers_a_snapshot_of_the_bounded_history() {
        let mut history = History::default();
        for at_ms in 0..100_000 {
            history.add(Snapshot { at_ms, last: vec![(0, at_ms)] });
        }
        assert!(history.0.len() <= MAX_SNAPSHOTS);
        assert!(history.newest_covered(&heads(&[10])).is_some());
        let recent = history.newest_covered(&heads(&[99_990])).map(|snapshot| snapshot.at_ms);
        assert_eq!(recent, Some(99_990));
    }
}
