//! What many rules want to know, in few queries.
//!
//! Rules that look at the same window share its query, whatever they aggregate: a query answers count, sum, least,
//! greatest and last of up to [`SERIES`] series at once, and quantiles where one is asked for. Windows of a day and more
//! take their whole hours from the rollup and only the cut hours at both ends from raw points, so every answer is of
//! exactly `[end - window, end)`.

use super::machine::Observation;
use super::rule::{Condition, Window};
use crate::error::Error;
use crate::series::aggregation::{Aggregation, QUANTILES};
use crate::series::merge::Place;
use crate::store::Store;
use clickhouse::Row;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// So many series are asked for by one query.
pub const SERIES: usize = 1000;
const HOUR_MS: i64 = 3_600_000;

/// Project and metric.
pub type Series = (String, String);

/// What is known of some points of a series.
#[derive(Debug, Clone, PartialEq, Row, Deserialize)]
pub struct Part {
    /// Project and metric.
    pub series: Series,
    /// How many points.
    pub points: u64,
    /// Their sum.
    pub total: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
    /// The value of the latest.
    pub last_value: f64,
    /// Where the latest is.
    pub last_place: Place,
    /// The quantiles of [`QUANTILES`]; empty if none was asked for.
    pub quantiles: Vec<f64>,
}

impl Part {
    fn absorb(&mut self, other: Self) {
        self.points += other.points;
        self.total += other.total;
        self.least = self.least.min(other.least);
        self.greatest = self.greatest.max(other.greatest);
        if other.last_place > self.last_place {
            self.last_place = other.last_place;
            self.last_value = other.last_value;
        }
    }

    /// The number that they make; none if no double holds it.
    fn value(&self, aggregation: Aggregation) -> Option<f64> {
        let value = match aggregation {
            Aggregation::Avg => self.total / self.points as f64,
            Aggregation::Sum => self.total,
            Aggregation::Min => self.least,
            Aggregation::Max => self.greatest,
            Aggregation::Count => self.points as f64,
            Aggregation::Last => self.last_value,
            Aggregation::P50 | Aggregation::P90 | Aggregation::P99 => {
                *self.quantiles.get(aggregation.quantile()?)?
            }
        };
        value.is_finite().then_some(value)
    }
}

/// What is asked for: by window and whether quantiles are, the series.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Questions(BTreeMap<(i64, bool), BTreeSet<Series>>);

impl Questions {
    /// Adds what `condition` wants to know of `series`.
    pub fn ask(&mut self, series: Series, condition: &Condition) {
        self.0.entry(key(condition)).or_default().insert(series);
    }

    /// How many queries answer them.
    pub fn queries(&self) -> usize {
        self.0.values().map(|series| series.len().div_ceil(SERIES)).sum()
    }

    /// Asks them all, for windows that end at `end_ms`.
    pub async fn answer(&self, store: &Store, database: &str, end_ms: i64) -> Result<Answers, Error> {
        let mut answers = Answers::default();
        for (&(window_ms, quantiles), series) in &self.0 {
            let sql = sql(window_ms, quantiles, end_ms);
            let series: Vec<&Series> = series.iter().collect();
            for chunk in series.chunks(SERIES) {
                for part in store.windows(database, &sql, chunk).await? {
                    answers.add((window_ms, quantiles), part);
                }
            }
        }
        Ok(answers)
    }
}

/// What the windows hold.
#[derive(Debug, Default)]
pub struct Answers(HashMap<(i64, bool), HashMap<Series, Part>>);

impl Answers {
    fn add(&mut self, window: (i64, bool), part: Part) {
        use std::collections::hash_map::Entry;
        match self.0.entry(window).or_default().entry(part.series.clone()) {
            Entry::Vacant(entry) => drop(entry.insert(part)),
            Entry::Occupied(mut entry) => entry.get_mut().absorb(part),
        }
    }

    /// What `condition` sees of `series`. The count of no points is 0.
    pub fn observation(&self, series: &Series, condition: &Condition) -> Observation {
        let part = self.0.get(&key(condition)).and_then(|parts| parts.get(series));
        match part.and_then(|part| part.value(condition.aggregation)) {
            Some(value) => Observation::Value(value),
            None if condition.aggregation == Aggregation::Count => Observation::Value(0.0),
            None => Observation::Nothing,
        }
    }
}

fn key(condition: &Condition) -> (i64, bool) {
    (condition.window.length_ms(), condition.aggregation.quantile().is_some())
}

/// The statement for windows of this length. It has the parameter `series`; its rows are [`Part`].
fn sql(window_ms: i64, quantiles: bool, end_ms: i64) -> String {
    let start_ms = end_ms - window_ms;
    let raw = |filter: &str| {
        let quantiles = if quantiles {
            let levels = QUANTILES.map(|level| level.to_string()).join(", ");
            format!("quantilesExactInclusive({levels})(value)")
        } else {
            "emptyArrayFloat64()".to_owned()
        };
        select(&quantiles, filter)
    };
    let between = |start: i64, end: i64| {
        format!(
            "time >= fromUnixTimestamp64Milli({start}, 'UTC') AND time < fromUnixTimestamp64Milli({end}, 'UTC')"
        )
    };
    if quantiles || window_ms < Window::Day.length_ms() {
        return raw(&between(start_ms, end_ms));
    }
    let (first, last) = ((start_ms + HOUR_MS - 1).div_euclid(HOUR_MS), end_ms.div_euclid(HOUR_MS));
    let hours = format!(
        "toStartOfHour(time) >= toDateTime({}, 'UTC') AND toStartOfHour(time) < toDateTime({}, 'UTC')",
        first * 3600,
        last * 3600
    );
    // Two parts and not one with `OR`: each is a range of the primary key.
    format!(
        "{} UNION ALL {} UNION ALL {}",
        select("emptyArrayFloat64()", &hours),
        raw(&between(start_ms, first * HOUR_MS)),
        raw(&between(last * HOUR_MS, end_ms))
    )
}

fn select(quantiles: &str, filter: &str) -> String {
    const PLACE: &str = "(time, received_at, partition, offset, index)";
    format!(
        "SELECT (project_id, metric_id) AS series, count() AS points, sum(value) AS total, min(value) AS least, \
         max(value) AS greatest, argMax(value, {PLACE}) AS last_value, max({PLACE}) AS last_place, \
         {quantiles} AS quantiles \
         FROM samples \
         WHERE kind = 'sample' AND (project_id, metric_id) IN {{series:Array(Tuple(String, String))}} AND {filter} \
         GROUP BY project_id, metric_id"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::rule::{NoData, Operator};

    fn condition(aggregation: Aggregation, window: Window) -> Condition {
        Condition {
            aggregation,
            operator: Operator::Greater,
            threshold: 0.0,
            window,
            no_data: NoData::Ignore,
        }
    }

    fn series(metric: usize) -> Series {
        ("prj".to_owned(), format!("m{metric}"))
    }

    #[test]
    fn ten_thousand_rules_over_a_thousand_series_are_a_dozen_queries() {
        let windows = [
            Window::FiveMinutes,
            Window::QuarterHour,
            Window::Hour,
            Window::Day,
            Window::Week,
            Window::Month,
        ];
        let aggregations = [Aggregation::Avg, Aggregation::Max, Aggregation::P99, Aggregation::Last];
        let mut questions = Questions::default();
        for rule in 0..10_000 {
            let condition = condition(aggregations[rule % 4], windows[rule / 4 % 6]);
            questions.ask(series(rule % 1000), &condition);
        }
        assert_eq!(questions.queries(), 12);
    }

    #[test]
    fn parts_of_a_window_add_up() {
        let part = |points, total, least, greatest, last: i64| Part {
            series: series(1),
            points,
            total,
            least,
            greatest,
            last_value: last as f64,
            last_place: (last, 0, 0, 0, 0),
            quantiles: Vec::new(),
        };
        let mut answers = Answers::default();
        let day = condition(Aggregation::Avg, Window::Day);
        answers.add(key(&day), part(2, 10.0, 1.0, 9.0, 5));
        answers.add(key(&day), part(2, 2.0, 0.0, 2.0, 3));
        for (aggregation, value) in [
            (Aggregation::Avg, 3.0),
            (Aggregation::Sum, 12.0),
            (Aggregation::Min, 0.0),
            (Aggregation::Max, 9.0),
            (Aggregation::Count, 4.0),
            (Aggregation::Last, 5.0),
        ] {
            let seen = answers.observation(&series(1), &condition(aggregation, Window::Day));
            assert_eq!(seen, Observation::Value(value), "{aggregation:?}");
        }
        assert_eq!(answers.observation(&series(2), &day), Observation::Nothing);
        let count = condition(Aggregation::Count, Window::Day);
        assert_eq!(
            answers.observation(&series(2), &count),
            Observation::Value(0.0),
            "no points are 0 points"
        );
    }

    #[test]
    fn only_the_ends_of_long_windows_are_read_from_raw_points() {
        let now = 1_790_000_000_000;
        assert_eq!(sql(Window::Week.length_ms(), false, now).matches("toStartOfHour").count(), 2);
        assert!(!sql(Window::Week.length_ms(), true, now).contains("toStartOfHour"), "quantiles are exact");
        assert!(!sql(Window::Hour.length_ms(), false, now).contains("toStartOfHour"));
    }
}
