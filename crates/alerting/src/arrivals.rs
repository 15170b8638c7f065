//! Series with new points, from the tail of `metrics.v1`, debounced.
//!
//! A point in the topic is not in the store yet. A series is due once the heads of the partitions have passed its records
//! and the time of its points has come. The periodic evaluation of all rules covers points that are missed here, because
//! of a restart or because the store is far behind.
//!
//! A client may create a rule and send the first points of its metric at the same time, and the points may be read first.
//! Therefore series without a rule are remembered for a short time.

use proto::v1::MetricBatch;
use reads::store::Head;
use reads::windows::Series;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// Time for which points of a series are collected before the series is evaluated.
pub const DEBOUNCE: Duration = Duration::from_millis(500);
/// Interval between two checks of the heads.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// A series that is not due after this time is left to the evaluation of all rules. Gateways accept points up to a minute
/// in the future.
const MAX_WAIT: Duration = Duration::from_secs(120);

/// Minimum time for which series without a rule are remembered.
const UNWATCHED_RETENTION: Duration = Duration::from_secs(2);
/// Maximum number of series without a rule that are remembered per retention period.
const MAX_UNWATCHED_SERIES: usize = 10_000;

/// Series with points that no evaluation has read.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// Series whose points are still collected.
    collecting: HashMap<Series, Arrival>,
    /// Series that wait for the store. Newer points are collected separately, so that a series that always receives points
    /// is not delayed for ever.
    waiting: Vec<(Series, Arrival)>,
    /// Series without a rule: those of the current retention period, and those of the one before.
    unwatched: [HashMap<Series, Arrival>; 2],
    /// Start of the current retention period.
    rotated: Option<Instant>,
}

#[derive(Debug)]
struct Arrival {
    first: Instant,
    /// Offset of the last record with points of the series, by partition.
    offsets: HashMap<i32, i64>,
    /// One millisecond after the latest point, Unix milliseconds.
    due_ms: i64,
}

impl Arrival {
    fn new(first: Instant) -> Self {
        Self { first, offsets: HashMap::new(), due_ms: 0 }
    }

    fn add(&mut self, (partition, offset): (i32, i64), timestamp_ms: i64) {
        let last = self.offsets.entry(partition).or_insert(offset);
        *last = (*last).max(offset);
        self.due_ms = self.due_ms.max(timestamp_ms + 1);
    }

    fn absorb(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        for position in other.offsets {
            self.add(position, other.due_ms - 1);
        }
    }
}

impl Arrivals {
    /// Records the batch at `position` (partition, offset). `watched` are the series with rules.
    pub fn record(
        &mut self,
        batch: MetricBatch,
        position: (i32, i64),
        watched: &HashSet<Series>,
        now: Instant,
    ) {
        self.rotate_unwatched(now);
        for sample in batch.samples {
            let series = (batch.project_id.clone(), sample.metric_id);
            let arrivals = if watched.contains(&series) {
                &mut self.collecting
            } else if self.unwatched[0].len() < MAX_UNWATCHED_SERIES {
                &mut self.unwatched[0]
            } else {
                continue;
            };
            arrivals.entry(series).or_insert_with(|| Arrival::new(now)).add(position, sample.timestamp_ms);
        }
    }

    /// Collects the points that arrived shortly before their series got a rule.
    pub fn collect_unwatched(&mut self, watched: &HashSet<Series>, now: Instant) {
        self.rotate_unwatched(now);
        for unwatched in &mut self.unwatched {
            for (series, arrival) in unwatched.extract_if(|series, _| watched.contains(series)) {
                let first = arrival.first;
                self.collecting.entry(series).or_insert_with(|| Arrival::new(first)).absorb(arrival);
            }
        }
    }

    /// Forgets the series of the previous retention period once the current one has passed.
    fn rotate_unwatched(&mut self, now: Instant) {
        let rotated = *self.rotated.get_or_insert(now);
        if now.duration_since(rotated) >= UNWATCHED_RETENTION {
            self.rotated = Some(now);
            self.unwatched.swap(0, 1);
            self.unwatched[0].clear();
        }
    }

    /// Returns the time until a series may be due; none if no watched series has new points.
    pub fn next_check(&self, now: Instant) -> Option<Duration> {
        if !self.waiting.is_empty() {
            return Some(CHECK_INTERVAL);
        }
        let remaining = |arrival: &Arrival| (arrival.first + DEBOUNCE).saturating_duration_since(now);
        self.collecting.values().map(remaining).min()
    }

    /// Removes and returns the series that are due, according to the current heads of the partitions.
    pub fn take_due(&mut self, heads: &[Head], now: Instant, now_ms: i64) -> HashSet<Series> {
        let collected: Vec<Series> = self
            .collecting
            .iter()
            .filter(|(_, arrival)| now.duration_since(arrival.first) >= DEBOUNCE)
            .map(|(series, _)| series.clone())
            .collect();
        self.waiting.extend(collected.into_iter().filter_map(|series| self.collecting.remove_entry(&series)));
        let stored = |partition: i32, offset: i64| {
            heads.iter().any(|head| head.partition == partition && head.last >= offset)
        };
        let mut due = HashSet::new();
        self.waiting.retain(|(series, arrival)| {
            let ready = arrival.due_ms <= now_ms
                && arrival.offsets.iter().all(|(&partition, &offset)| stored(partition, offset));
            if ready {
                due.insert(series.clone());
            }
            !ready && now.duration_since(arrival.first) < MAX_WAIT
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::Sample;

    fn batch(metrics: &[(&str, i64)]) -> MetricBatch {
        let samples = metrics.iter().map(|&(metric, timestamp_ms)| Sample {
            metric_id: metric.to_owned(),
            timestamp_ms,
            ..Sample::default()
        });
        MetricBatch { project_id: "prj".to_owned(), samples: samples.collect(), ..MetricBatch::default() }
    }

    fn series(metric: &str) -> Series {
        ("prj".to_owned(), metric.to_owned())
    }

    #[test]
    fn series_is_due_once_its_points_are_stored_and_not_in_future() {
        let (mut arrivals, start) = (Arrivals::default(), Instant::now());
        let watched = HashSet::from([series("a"), series("late")]);
        arrivals.record(batch(&[("a", 1000), ("late", 5000), ("unwatched", 1000)]), (0, 7), &watched, start);
        arrivals.record(batch(&[("a", 1000)]), (1, 3), &watched, start);
        let head = |partition, last| Head { partition, last };
        let later = start + DEBOUNCE;
        assert!(
            arrivals.take_due(&[head(0, 9), head(1, 9)], start, 2000).is_empty(),
            "points are still collected"
        );
        assert!(
            arrivals.take_due(&[head(0, 9), head(1, 2)], later, 2000).is_empty(),
            "one partition is behind"
        );
        assert_eq!(arrivals.take_due(&[head(0, 7), head(1, 3)], later, 2000), HashSet::from([series("a")]));
        assert!(
            arrivals.take_due(&[head(0, 7), head(1, 3)], later, 5000).is_empty(),
            "the point lies in the future"
        );
        assert_eq!(
            arrivals.take_due(&[head(0, 7), head(1, 3)], later, 5001),
            HashSet::from([series("late")])
        );
        assert_eq!(arrivals.next_check(later), None);
    }

    #[test]
    fn points_shortly_before_the_rule_count_and_older_ones_do_not() {
        let (mut arrivals, start) = (Arrivals::default(), Instant::now());
        arrivals.record(batch(&[("old", 1000)]), (0, 1), &HashSet::new(), start);
        arrivals.record(batch(&[("later", 1000)]), (0, 2), &HashSet::new(), start + UNWATCHED_RETENTION);
        arrivals.record(batch(&[("new", 1000)]), (0, 3), &HashSet::new(), start + 2 * UNWATCHED_RETENTION);
        assert_eq!(arrivals.next_check(start), None, "no rule watches them");
        let watched = ["old", "later", "new"].map(series).into();
        let now = start + 2 * UNWATCHED_RETENTION + DEBOUNCE;
        arrivals.collect_unwatched(&watched, now);
        let due = arrivals.take_due(&[Head { partition: 0, last: 3 }], now, 2000);
        assert_eq!(due, HashSet::from([series("later"), series("new")]));
    }

    #[test]
    fn series_with_continuous_points_is_evaluated() {
        let (mut arrivals, start) = (Arrivals::default(), Instant::now());
        let watched = HashSet::from([series("a")]);
        let mut taken = 0;
        // A batch every 100 ms, each stored 200 ms later.
        for i in 0..100 {
            let now = start + Duration::from_millis(100) * i as u32;
            arrivals.record(batch(&[("a", 0)]), (0, i), &watched, now);
            taken += arrivals.take_due(&[Head { partition: 0, last: i - 2 }], now, 1).len();
        }
        assert!(taken >= 10, "{taken}");
    }

    #[test]
    fn points_that_are_never_stored_are_dropped() {
        let (mut arrivals, start) = (Arrivals::default(), Instant::now());
        arrivals.record(batch(&[("a", 0)]), (0, 7), &HashSet::from([series("a")]), start);
        arrivals.take_due(&[], start + MAX_WAIT, 1);
        assert_eq!(arrivals.next_check(start), None);
    }
}
