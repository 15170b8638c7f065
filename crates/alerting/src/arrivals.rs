//! Which series just received points, and when they can be read: the tail of `metrics.v1`, debounced.
//!
//! A point that was seen in the log is not in the store yet: a series is due once the heads of the chains have passed its
//! records, and once the time of its points has come. What is missed here (a restart, a store that is far behind) the
//! evaluation of all rules finds.
//!
//! A rule and the first points of its metric may be sent in one breath, and the log of the points be read first: series
//! that no rule watches are remembered for a moment.

use proto::v1::MetricBatch;
use reads::store::Head;
use reads::windows::Series;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// How long points of a series are collected before it is evaluated.
pub const DEBOUNCE: Duration = Duration::from_millis(500);
/// Between two looks at what is stored.
const LOOK: Duration = Duration::from_millis(100);
/// What is not due after this is left to the evaluation of all rules; gateways take points up to a minute ahead.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long series are remembered at least that no rule watches.
const UNWATCHED: Duration = Duration::from_secs(2);
/// So many of them are remembered.
const UNWATCHED_SERIES: usize = 10_000;

/// Series with points that no evaluation has seen.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// Points of these are still collected.
    open: HashMap<Series, Arrival>,
    /// These wait for the store. What comes meanwhile is collected anew, so that a busy series is not put off for ever.
    closed: Vec<(Series, Arrival)>,
    /// Nobody watches these: those of the last moment, and those of the one before.
    unwatched: [HashMap<Series, Arrival>; 2],
    turned: Option<Instant>,
}

#[derive(Debug)]
struct Arrival {
    first: Instant,
    /// By Kafka partition, the last offset that is to be stored.
    offsets: HashMap<i32, i64>,
    /// The moment after the latest point, Unix milliseconds.
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
        for place in other.offsets {
            self.add(place, other.due_ms - 1);
        }
    }
}

impl Arrivals {
    /// Notes the batch at (partition, offset), as far as `watched` has rules over its series.
    pub fn note(&mut self, batch: MetricBatch, place: (i32, i64), watched: &HashSet<Series>, now: Instant) {
        self.turn(now);
        for sample in batch.samples {
            let series = (batch.project_id.clone(), sample.metric_id);
            let arrivals = if watched.contains(&series) {
                &mut self.open
            } else if self.unwatched[0].len() < UNWATCHED_SERIES {
                &mut self.unwatched[0]
            } else {
                continue;
            };
            arrivals.entry(series).or_insert_with(|| Arrival::new(now)).add(place, sample.timestamp_ms);
        }
    }

    /// Takes up what came of series a moment before they were watched.
    pub fn watch(&mut self, watched: &HashSet<Series>, now: Instant) {
        self.turn(now);
        for unwatched in &mut self.unwatched {
            for (series, arrival) in unwatched.extract_if(|series, _| watched.contains(series)) {
                let first = arrival.first;
                self.open.entry(series).or_insert_with(|| Arrival::new(first)).absorb(arrival);
            }
        }
    }

    /// Forgets what nobody came to watch.
    fn turn(&mut self, now: Instant) {
        let turned = *self.turned.get_or_insert(now);
        if now.duration_since(turned) >= UNWATCHED {
            self.turned = Some(now);
            self.unwatched.swap(0, 1);
            self.unwatched[0].clear();
        }
    }

    /// How long until something may be due; none if there is nothing to wait for.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        if !self.closed.is_empty() {
            return Some(LOOK);
        }
        self.open.values().map(|arrival| (arrival.first + DEBOUNCE).saturating_duration_since(now)).min()
    }

    /// Takes the series that are due and stored, by heads that were read lately.
    pub fn take(&mut self, heads: &[Head], now: Instant, now_ms: i64) -> HashSet<Series> {
        let ripe: Vec<Series> = self
            .open
            .iter()
            .filter(|(_, arrival)| now.duration_since(arrival.first) >= DEBOUNCE)
            .map(|(series, _)| series.clone())
            .collect();
        self.closed.extend(ripe.into_iter().filter_map(|series| self.open.remove_entry(&series)));
        let stored = |partition: i32, offset: i64| {
            heads.iter().any(|head| head.partition == partition && head.last >= offset)
        };
        let mut due = HashSet::new();
        self.closed.retain(|(series, arrival)| {
            let ready = arrival.due_ms <= now_ms
                && arrival.offsets.iter().all(|(&partition, &offset)| stored(partition, offset));
            if ready {
                due.insert(series.clone());
            }
            !ready && now.duration_since(arrival.first) < PATIENCE
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
    fn a_series_is_due_once_its_points_are_stored_and_their_time_has_come() {
        let (mut arrivals, begun) = (Arrivals::default(), Instant::now());
        let watched = HashSet::from([series("a"), series("late")]);
        arrivals.note(batch(&[("a", 1000), ("late", 5000), ("unwatched", 1000)]), (0, 7), &watched, begun);
        arrivals.note(batch(&[("a", 1000)]), (1, 3), &watched, begun);
        let head = |partition, last| Head { partition, last };
        let later = begun + DEBOUNCE;
        assert!(arrivals.take(&[head(0, 9), head(1, 9)], begun, 2000).is_empty(), "more may come");
        assert!(arrivals.take(&[head(0, 9), head(1, 2)], later, 2000).is_empty(), "not all is stored");
        assert_eq!(arrivals.take(&[head(0, 7), head(1, 3)], later, 2000), HashSet::from([series("a")]));
        assert!(
            arrivals.take(&[head(0, 7), head(1, 3)], later, 5000).is_empty(),
            "the window ends before it"
        );
        assert_eq!(arrivals.take(&[head(0, 7), head(1, 3)], later, 5001), HashSet::from([series("late")]));
        assert_eq!(arrivals.wait(later), None);
    }

    #[test]
    fn what_came_a_moment_before_the_rule_is_taken_up_and_what_came_long_before_is_not() {
        let (mut arrivals, begun) = (Arrivals::default(), Instant::now());
        arrivals.note(batch(&[("old", 1000)]), (0, 1), &HashSet::new(), begun);
        arrivals.note(batch(&[("later", 1000)]), (0, 2), &HashSet::new(), begun + UNWATCHED);
        arrivals.note(batch(&[("new", 1000)]), (0, 3), &HashSet::new(), begun + 2 * UNWATCHED);
        assert_eq!(arrivals.wait(begun), None, "nobody watches them");
        let watched = ["old", "later", "new"].map(series).into();
        let now = begun + 2 * UNWATCHED + DEBOUNCE;
        arrivals.watch(&watched, now);
        let due = arrivals.take(&[Head { partition: 0, last: 3 }], now, 2000);
        assert_eq!(due, HashSet::from([series("later"), series("new")]));
    }

    #[test]
    fn a_series_that_never_rests_is_evaluated_all_the_same() {
        let (mut arrivals, begun) = (Arrivals::default(), Instant::now());
        let watched = HashSet::from([series("a")]);
        let mut taken = 0;
        // A batch every 100 ms, each stored 200 ms later.
        for i in 0..100 {
            let now = begun + Duration::from_millis(100) * i as u32;
            arrivals.note(batch(&[("a", 0)]), (0, i), &watched, now);
            taken += arrivals.take(&[Head { partition: 0, last: i - 2 }], now, 1).len();
        }
        assert!(taken >= 10, "{taken}");
    }

    #[test]
    fn what_is_never_stored_is_not_waited_for_for_ever() {
        let (mut arrivals, begun) = (Arrivals::default(), Instant::now());
        arrivals.note(batch(&[("a", 0)]), (0, 7), &HashSet::from([series("a")]), begun);
        arrivals.take(&[], begun + PATIENCE, 1);
        assert_eq!(arrivals.wait(begun), None);
    }
}
