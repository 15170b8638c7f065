//! What many rules want to know, in few queries.
//!
//! Rules that look at the same window share its query, whatever they aggregate: a query answers count, sum, least,
//! greatest and last of up to [`SERIES`] series at once, and quantiles where one is asked for. Windows of a day and more
//! take their whole hours from the rollup and only the cut hours at both ends from raw points, so every answer is of
//! exactly `[end - window, end)`.
//!
//! Of a series with points that were deleted and that the store still has, all is read from raw points, which are held
//! against the deletion: the rollup knows nothing of it.
//!
//! A series that cannot be read in time holds up no other: what was asked for together is asked for again by halves until
//! it stands alone, and from then on it is asked for alone, after all others.

use super::machine::Observation;
use super::rule::{Condition, Window};
use crate::error::Error;
use crate::hidden::{Hidden, View};
use crate::series::aggregation::{Aggregation, QUANTILES};
use crate::series::merge::Place;
use crate::source::{Source, Statement};
use crate::store::Store;
use clickhouse::Row;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

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
pub struct Questions(BTreeMap<Of, BTreeSet<Series>>);

impl Questions {
    /// Adds what `condition` wants to know of `series`.
    pub fn ask(&mut self, series: Series, condition: &Condition) {
        self.0.entry(key(condition)).or_default().insert(series);
    }

    /// How many queries answer them.
    pub fn queries(&self) -> usize {
        self.0.values().map(|series| series.len().div_ceil(SERIES)).sum()
    }

    /// The projects whose series they are about.
    pub fn projects(&self) -> BTreeSet<&str> {
        self.0.values().flatten().map(|(project, _)| project.as_str()).collect()
    }

    /// Asks them all, for windows that end at `end_ms`. Series that cannot be read in time are added to `slow`, those that
    /// can again are taken out.
    pub async fn answer(
        &self,
        store: &Store,
        seen: &Seen,
        end_ms: i64,
        slow: &mut Slow,
    ) -> Result<Answers, Error> {
        let mut answers = Answers::default();
        for (&window, series) in &self.0 {
            let slow = slow.0.entry(window).or_default();
            for (view, series) in seen.apart(series) {
                let statement = statement(window, end_ms, &view.hidden.mask());
                let series = in_order(series, slow);
                let mut chunks = chunks(&series, slow);
                while let Some(chunk) = chunks.pop() {
                    let read = store.windows(&view, &statement, chunk).await;
                    chunks.extend(answers.take(window, chunk, read, slow)?);
                }
            }
        }
        Ok(answers)
    }
}

/// Length in milliseconds, and whether quantiles are asked for.
type Of = (i64, bool);

/// What an evaluation sees: one store throughout, and what of it is hidden.
#[derive(Debug)]
pub struct Seen {
    /// The store's database.
    pub database: Arc<str>,
    /// By project, the deletions that the store has not applied; those that have none are left out.
    pub hidden: BTreeMap<String, Hidden>,
}

impl Seen {
    /// The series of which nothing is hidden together, the others by project, each with what is hidden of them.
    pub fn apart<'a>(&self, series: impl IntoIterator<Item = &'a Series>) -> Vec<(View, Vec<&'a Series>)> {
        let mut whole = Vec::new();
        let mut parts: BTreeMap<&str, Vec<&Series>> = BTreeMap::new();
        for series in series {
            let (project, metric) = series;
            match self.hidden.get(project).filter(|hidden| hidden.touches(metric)) {
                Some(_) => parts.entry(project).or_default().push(series),
                None => whole.push(series),
            }
        }
        let parts = parts.into_iter().map(|(project, series)| {
            let hidden = self.hidden.get(project).cloned().unwrap_or_default();
            let view = View { database: self.database.clone(), hidden };
            (view.among(series.iter().map(|(_, metric)| metric.as_str())), series)
        });
        let whole = (!whole.is_empty()).then(|| (View::of(&self.database), whole));
        whole.into_iter().chain(parts).collect()
    }
}

/// The series that could not be read in time when they were last asked for.
#[derive(Debug, Default)]
pub struct Slow(HashMap<Of, HashSet<Series>>);

/// What the windows hold.
#[derive(Debug, Default)]
pub struct Answers {
    parts: HashMap<Of, HashMap<Series, Part>>,
    /// What is not known.
    unread: HashSet<(Of, Series)>,
    /// How often the store was asked.
    asked: u64,
}

impl Answers {
    /// Takes what was read of a chunk, or gives its halves, which are to be asked for in its place.
    fn take<'a>(
        &mut self,
        window: Of,
        chunk: &'a [&'a Series],
        read: Result<Vec<Part>, Error>,
        slow: &mut HashSet<Series>,
    ) -> Result<Vec<&'a [&'a Series]>, Error> {
        self.asked += 1;
        match (read, chunk) {
            (Ok(parts), _) => {
                parts.into_iter().for_each(|part| self.add(window, part));
                if let [series] = chunk {
                    slow.remove(*series);
                }
                Ok(Vec::new())
            }
            (Err(Error::QueryTimeout), [series]) => {
                slow.insert((*series).clone());
                self.unread.insert((window, (*series).clone()));
                Ok(Vec::new())
            }
            (Err(Error::QueryTimeout), _) => {
                let (first, second) = chunk.split_at(chunk.len() / 2);
                Ok(vec![first, second])
            }
            (Err(error), _) => Err(error),
        }
    }

    /// How many queries it took.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// How many answers are missing: these series could not be read in time.
    pub fn unread(&self) -> usize {
        self.unread.len()
    }

    fn add(&mut self, window: Of, part: Part) {
        use std::collections::hash_map::Entry;
        match self.parts.entry(window).or_default().entry(part.series.clone()) {
            Entry::Vacant(entry) => drop(entry.insert(part)),
            Entry::Occupied(mut entry) => entry.get_mut().absorb(part),
        }
    }

    /// What `condition` sees of `series`; none if that is not known. The count of no points is 0.
    pub fn observation(&self, series: &Series, condition: &Condition) -> Option<Observation> {
        let window = key(condition);
        if !self.unread.is_empty() && self.unread.contains(&(window, series.clone())) {
            return None;
        }
        let part = self.parts.get(&window).and_then(|parts| parts.get(series));
        Some(match part.and_then(|part| part.value(condition.aggregation)) {
            Some(value) => Observation::Value(value),
            None if condition.aggregation == Aggregation::Count => Observation::Value(0.0),
            None => Observation::Nothing,
        })
    }
}

/// The slow ones first, for what is asked for together is taken from the end.
fn in_order<'a>(series: Vec<&'a Series>, slow: &HashSet<Series>) -> Vec<&'a Series> {
    let (mut alone, together): (Vec<&Series>, Vec<&Series>) =
        series.into_iter().partition(|series| slow.contains(*series));
    alone.extend(together);
    alone
}

/// What is asked for together, the last first, of series [in order](in_order): the slow ones alone.
fn chunks<'a>(series: &'a [&'a Series], slow: &HashSet<Series>) -> Vec<&'a [&'a Series]> {
    let alone = series.iter().take_while(|series| slow.contains(**series)).count();
    let (alone, together) = series.split_at(alone);
    alone.chunks(1).chain(together.chunks(SERIES)).collect()
}

fn key(condition: &Condition) -> Of {
    (condition.window.length_ms(), condition.aggregation.quantile().is_some())
}

/// The statement for these windows. It has the parameter `series` and those of `mask`, a condition that all its rows
/// fulfil; its rows are [`Part`].
fn statement((window_ms, quantiles): Of, end_ms: i64, mask: &str) -> Statement {
    let start_ms = end_ms - window_ms;
    let raw = |filter: &str| {
        let quantiles = if quantiles {
            let levels = QUANTILES.map(|level| level.to_string()).join(", ");
            format!("quantilesExactInclusive({levels})(value)")
        } else {
            "emptyArrayFloat64()".to_owned()
        };
        select(&quantiles, &format!("{filter}{mask}"))
    };
    let between = |start: i64, end: i64| {
        format!(
            "time >= fromUnixTimestamp64Milli({start}, 'UTC') AND time < fromUnixTimestamp64Milli({end}, 'UTC')"
        )
    };
    if quantiles || window_ms < Window::Day.length_ms() || !mask.is_empty() {
        return Statement { text: raw(&between(start_ms, end_ms)), source: Source::Rows };
    }
    let (first, last) = ((start_ms + HOUR_MS - 1).div_euclid(HOUR_MS), end_ms.div_euclid(HOUR_MS));
    let hours = format!(
        "toStartOfHour(time) >= toDateTime({}, 'UTC') AND toStartOfHour(time) < toDateTime({}, 'UTC')",
        first * 3600,
        last * 3600
    );
    // Two parts and not one with `OR`: each is a range of the primary key.
    let text = format!(
        "{} UNION ALL {} UNION ALL {}",
        select("emptyArrayFloat64()", &hours),
        raw(&between(start_ms, first * HOUR_MS)),
        raw(&between(last * HOUR_MS, end_ms))
    );
    Statement { text, source: Source::Hours }
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
            assert_eq!(seen, Some(Observation::Value(value)), "{aggregation:?}");
        }
        assert_eq!(answers.observation(&series(2), &day), Some(Observation::Nothing));
        let count = condition(Aggregation::Count, Window::Day);
        assert_eq!(
            answers.observation(&series(2), &count),
            Some(Observation::Value(0.0)),
            "no points are 0 points"
        );
    }

    #[test]
    fn a_series_that_cannot_be_read_in_time_holds_up_no_other_and_is_asked_for_alone_from_then_on() {
        let part = |series: &Series| Part {
            series: series.clone(),
            points: 1,
            total: 7.0,
            least: 7.0,
            greatest: 7.0,
            last_value: 7.0,
            last_place: (1, 0, 0, 0, 0),
            quantiles: Vec::new(),
        };
        let all: BTreeSet<Series> = (0..2500).map(series).collect();
        let condition = condition(Aggregation::Avg, Window::Month);
        let heavy = series(1234);
        let mut slow = HashSet::new();
        for (turn, too_long) in [true, true, false].into_iter().enumerate() {
            let mut answers = Answers::default();
            let series = in_order(all.iter().collect(), &slow);
            let mut chunks = chunks(&series, &slow);
            while let Some(chunk) = chunks.pop() {
                let late = too_long && chunk.contains(&&heavy);
                let parts = || chunk.iter().map(|series| part(series)).collect();
                let read = if late { Err(Error::QueryTimeout) } else { Ok(parts()) };
                chunks.extend(
                    answers.take(key(&condition), chunk, read, &mut slow).expect("the store is there"),
                );
            }
            for series in &all {
                let known = !too_long || *series != heavy;
                let expected = known.then_some(Observation::Value(7.0));
                assert_eq!(answers.observation(series, &condition), expected, "{series:?}, {turn}");
            }
            assert_eq!((answers.unread(), slow.len()), (usize::from(too_long), usize::from(too_long)));
            // Three together, and two halves of each of ten sizes; then three together and one alone.
            assert!(answers.asked() <= [23, 4, 4][turn], "{} questions, {turn}", answers.asked());
        }
    }

    #[test]
    fn only_the_ends_of_long_windows_are_read_from_raw_points() {
        let now = 1_790_000_000_000;
        let hours = |window: Window, quantiles, mask| {
            statement((window.length_ms(), quantiles), now, mask).text.matches("toStartOfHour").count()
        };
        assert_eq!(hours(Window::Week, false, ""), 2);
        assert_eq!(hours(Window::Week, true, ""), 0, "quantiles are exact");
        assert_eq!(hours(Window::Hour, false, ""), 0);
        assert_eq!(
            hours(Window::Week, false, " AND NOT (metric_id = 'a')"),
            0,
            "the rollup cannot be masked"
        );
    }

    #[test]
    fn series_of_which_something_is_hidden_are_read_apart_by_project() {
        let deletion = |metric: &str| proto::v1::Deletion {
            metric_id: metric.to_owned(),
            cuts: [(0, 5)].into(),
            ..Default::default()
        };
        let hidden = [("p", vec!["a", "c"]), ("q", vec!["a"])];
        let hidden = hidden
            .map(|(project, metrics)| (project.to_owned(), Hidden::new(metrics.into_iter().map(deletion))));
        let seen = Seen { database: "db".into(), hidden: hidden.into() };
        let series: Vec<Series> = ["p a", "p b", "q a", "q c", "r a"]
            .map(|series| series.split_once(' ').expect("two words"))
            .map(|(project, metric)| (project.to_owned(), metric.to_owned()))
            .into();
        let apart: Vec<(Vec<String>, Vec<String>)> = seen
            .apart(&series)
            .into_iter()
            .map(|(view, series)| {
                let hidden = view.hidden.metrics().into_iter().map(str::to_owned).collect();
                (hidden, series.into_iter().map(|(project, metric)| format!("{project} {metric}")).collect())
            })
            .collect();
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let expected = [(&[][..], &["p b", "q c", "r a"][..]), (&["a"], &["p a"]), (&["a"], &["q a"])];
        assert_eq!(apart, expected.map(|(hidden, series)| (list(hidden), list(series))));
    }
}
