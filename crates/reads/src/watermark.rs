//! Up to when an answer is complete.
//!
//! A watermark `w` promises: every point that was accepted with `receivedAt <= w` is in the answer. It follows from
//! three facts.
//! - A gateway stamps `receivedAt` before it publishes, and gives up after a stated time: a record that is in Kafka with
//!   the stamp `r` got there by `r + D`, where `D` (the setting `--max-publish-time`) also covers what
//!   the machines' clocks differ by.
//! - So at a time `t` all that was accepted with `receivedAt < t - D` lies before the ends that the partitions have at
//!   `t` or later. Reading the ends after `t` was noted makes it a [`Snapshot`].
//! - A store whose chains have reached those ends has all of it, for a chain has no gaps.
//!
//! For each answer the heads of the chains are read, *then* the data; the watermark is that of the newest snapshot that
//! the heads cover. Snapshots are taken when somebody asks, at most five a second, and once a second otherwise. A busy
//! installation, where the newest records are never stored yet, is thus answered by a snapshot of a moment ago. While
//! Kafka is away, those that were taken before go on to serve. Without a covered snapshot the watermark is 0, which
//! promises nothing.
//!
//! A process that begins while the store is far behind has no snapshot from before. It takes some from what Kafka knows:
//! the first record of a partition that was made at `t` or later was written at `t` or later, and with it all that
//! follow, so what lies before that record serves as the end that the partition had at `t`.
//!
//! What expired from Kafka before any store had it is no longer asked for: it is lost, and the ingest worker says so.

use service::kafka::KafkaBrokers;
use crate::metrics::Metrics;
use crate::store::Head;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// A snapshot of this age is as good as a new one.
const FRESH: Duration = Duration::from_millis(200);
/// For a younger one nobody waits until there is a new one: a bit older than one that is taken unasked.
const FRESH_ENOUGH: Duration = Duration::from_millis(1200);
/// How often one is taken that nobody asked for.
const PERIOD: Duration = Duration::from_secs(1);
/// How long an answer waits for a new one.
const WAIT: Duration = Duration::from_millis(300);
/// How long Kafka may take to answer each of the questions.
const ANSWER: Duration = Duration::from_secs(2);
/// How long ago the youngest snapshot is that is taken from the log; each other one is twice as old as the next.
const PAST: Duration = Duration::from_secs(15);
/// How many are taken from the log: over a bit more than two days.
const PAST_COUNT: u32 = 14;
/// How many snapshots are kept; beyond that the older ones are thinned out.
const KEPT: usize = 512;

/// Where the partitions ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Noted before Kafka was asked, Unix milliseconds.
    pub at_ms: i64,
    /// Of each partition that holds records: the last offset.
    pub last: Vec<(i32, i64)>,
}

impl Snapshot {
    /// Whether chains that end at `heads` hold all that was there.
    fn covered(&self, heads: &[Head]) -> bool {
        self.last.iter().all(|(partition, last)| {
            // A partition that was empty has no end to reach.
            *last < 0 || heads.iter().any(|head| head.partition == *partition && head.last >= *last)
        })
    }
}

/// Snapshots, oldest first. The older, the fewer: a store that is far behind still finds one that it covers.
#[derive(Debug, Default)]
struct History(VecDeque<Snapshot>);

impl History {
    fn add(&mut self, snapshot: Snapshot) {
        // A clock that was set back makes no newer snapshot.
        while self.0.back().is_some_and(|last| last.at_ms >= snapshot.at_ms) {
            self.0.pop_back();
        }
        self.0.push_back(snapshot);
        if self.0.len() > KEPT {
            let mut index = 0;
            self.0.retain(|_| {
                index += 1;
                index > KEPT / 2 || index % 2 == 1
            });
        }
    }

    fn newest_covered(&self, heads: &[Head]) -> Option<&Snapshot> {
        self.0.iter().rev().find(|snapshot| snapshot.covered(heads))
    }
}

/// Knows watermarks. Clones share what they know.
#[derive(Clone)]
pub struct Watermarks(Arc<Inner>);

struct Inner {
    history: Mutex<History>,
    taken: watch::Sender<Option<Instant>>,
    wanted: Notify,
    max_publish_time_ms: i64,
    metrics: Metrics,
}

impl Watermarks {
    /// Starts to look at the ends of `topic` until `stop`.
    pub fn start(
        brokers: &KafkaBrokers,
        topic: &str,
        max_publish_time: Duration,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> Result<Self, KafkaError> {
        let config = service::kafka::client(brokers, "tidemark-query");
        let consumer = Arc::new(config.create()?);
        let marks = Self(Arc::new(Inner {
            history: Mutex::default(),
            taken: watch::Sender::new(None),
            wanted: Notify::new(),
            max_publish_time_ms: i64::try_from(max_publish_time.as_millis()).unwrap_or(i64::MAX),
            metrics,
        }));
        let (worker, topic) = (marks.clone(), topic.to_owned());
        tokio::spawn(async move {
            tokio::select! {
                () = worker.look(&config, consumer, topic) => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(marks)
    }

    /// Sees to it that there is a fresh snapshot soon, and waits for it where the last is old. Before the heads are read.
    pub async fn refresh(&self) {
        let mut taken = self.0.taken.subscribe();
        let last = taken.borrow().map(|at| at.elapsed());
        if last.is_some_and(|age| age < FRESH) {
            return;
        }
        self.0.wanted.notify_one();
        if last.is_some_and(|age| age < FRESH_ENOUGH) {
            return;
        }
        let fresh = |at: &Option<Instant>| at.is_some_and(|at| at.elapsed() < FRESH);
        // Late is no fault: an older snapshot promises less, and is as true.
        let _ = tokio::time::timeout(WAIT, taken.wait_for(fresh)).await;
    }

    /// The watermark of an answer whose data is read after `heads` were.
    pub fn at(&self, heads: &[Head]) -> i64 {
        let history = self.0.history.lock().unwrap_or_else(PoisonError::into_inner);
        let covered = history.newest_covered(heads).map(|snapshot| snapshot.at_ms);
        drop(history);
        if let Some(at_ms) = covered {
            self.0
                .metrics
                .watermark_age_ms
                .set(service::clock::now_ms() - at_ms + self.0.max_publish_time_ms);
        }
        // One less: a batch stamped exactly D before may have been published a moment after the snapshot.
        covered.map_or(0, |at_ms| (at_ms - self.0.max_publish_time_ms - 1).max(0))
    }

    async fn look(&self, config: &ClientConfig, mut consumer: Arc<BaseConsumer>, topic: String) {
        let mut begins = true;
        loop {
            let begun = Instant::now();
            let at_ms = service::clock::now_ms();
            if std::mem::take(&mut begins) {
                let (consumer, topic) = (consumer.clone(), topic.clone());
                let past = tokio::task::spawn_blocking(move || past(&consumer, &topic, at_ms)).await;
                // Without them the watermark is 0 until the store has caught up, which is true as well.
                let past = past.ok().and_then(Result::ok).unwrap_or_default();
                let mut history = self.0.history.lock().unwrap_or_else(PoisonError::into_inner);
                past.into_iter().for_each(|snapshot| history.add(snapshot));
            }
            let (asked, of) = (consumer.clone(), topic.clone());
            match tokio::task::spawn_blocking(move || ends(&asked, &of)).await {
                Ok(Ok(last)) => {
                    self.0
                        .history
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .add(Snapshot { at_ms, last });
                    self.0.taken.send_replace(Some(begun));
                    // Not more often than needed, whoever asks.
                    tokio::time::sleep(FRESH.saturating_sub(begun.elapsed()) / 2).await;
                    let _ = tokio::time::timeout(PERIOD, self.0.wanted.notified()).await;
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "Kafka does not say where its partitions end: watermarks stand still");
                    // It may be this client that has lost its way to Kafka.
                    if let Ok(new) = config.create() {
                        consumer = Arc::new(new);
                    }
                    tokio::time::sleep(PERIOD).await;
                }
                Err(error) => {
                    tracing::error!(%error, "looking at Kafka was interrupted");
                    tokio::time::sleep(PERIOD).await;
                }
            }
        }
    }
}

/// Snapshots of the time before `now_ms`, oldest first.
fn past(consumer: &BaseConsumer, topic: &str, now_ms: i64) -> Result<Vec<Snapshot>, KafkaError> {
    let ends = ends(consumer, topic)?;
    let youngest = i64::try_from(PAST.as_millis()).unwrap_or(i64::MAX);
    let ages = (0..PAST_COUNT).rev().map(|doubled| youngest << doubled);
    ages.map(|age| {
        let at_ms = now_ms - age;
        let mut wanted = TopicPartitionList::new();
        for (partition, _) in &ends {
            wanted.add_partition_offset(topic, *partition, Offset::Offset(at_ms))?;
        }
        let found = consumer.offsets_for_times(wanted, ANSWER)?;
        let last = ends.iter().map(|(partition, end)| {
            let first = found.find_partition(topic, *partition).map(|found| found.offset());
            match first {
                Some(Offset::Offset(first)) => (*partition, (first - 1).min(*end)),
                // Nothing was made since.
                _ => (*partition, *end),
            }
        });
        Ok(Snapshot { at_ms, last: last.collect() })
    })
    .collect()
}

/// The last offset of each partition that holds records.
fn ends(consumer: &BaseConsumer, topic: &str) -> Result<Vec<(i32, i64)>, KafkaError> {
    // A topic that is not known, or has no partitions, is an error: it must not pass for one that is covered.
    let partitions = service::kafka::reader::partitions(consumer, topic, ANSWER)?;
    let mut last = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let (begin, end) = consumer.fetch_watermarks(topic, partition, ANSWER)?;
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
    fn a_snapshot_is_covered_when_every_chain_has_reached_its_end() {
        let snapshot = Snapshot { at_ms: 1, last: vec![(0, 9), (1, 4)] };
        assert!(snapshot.covered(&heads(&[9, 4])));
        assert!(snapshot.covered(&heads(&[10, 4])));
        assert!(!snapshot.covered(&heads(&[8, 4])));
        assert!(!snapshot.covered(&heads(&[100])), "a partition without a chain is not covered");
        assert!(
            Snapshot { at_ms: 1, last: vec![] }.covered(&[]),
            "nothing was accepted, so nothing is missing"
        );
    }

    proptest! {
        /// The model: record i of a partition is accepted, by its stamp, within D before it is in Kafka.
        #[test]
        fn nothing_that_was_accepted_up_to_the_watermark_is_missing(
            records in prop::collection::vec((0usize..3, 0i64..50, 0i64..=20), 0..200),
            looks in prop::collection::vec(1i64..200, 0..60),
            stored in prop::collection::vec(0.0f64..=1.0, 3),
        ) {
            const D: i64 = 20;
            let mut now = 1000;
            let (mut logs, mut history) = ([const { Vec::new() }; 3], History::default());
            let mut looks = looks.into_iter();
            for (partition, gap, delay) in records {
                now += gap;
                logs[partition].push(now - delay);
                if let Some(look) = looks.next().filter(|look| look % 3 == 0) {
                    now += look;
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
    fn a_store_far_behind_still_finds_an_old_snapshot_in_a_bounded_history() {
        let mut history = History::default();
        for at_ms in 0..100_000 {
            history.add(Snapshot { at_ms, last: vec![(0, at_ms)] });
        }
        assert!(history.0.len() <= KEPT);
        assert!(history.newest_covered(&heads(&[10])).is_some());
        let recent = history.newest_covered(&heads(&[99_990])).map(|snapshot| snapshot.at_ms);
        assert_eq!(recent, Some(99_990));
    }
}
