//! What is read for a time series: whole hours from the rollup, the rest from raw rows.
//!
//! An hour of UTC that lies in one bucket, and in the range, is answered by one row of the projection `rollup_1h`. An
//! hour that is cut, by an end of the range or by the start of a bucket (zones off the full hour), is read from raw
//! rows. Minutes and quantiles are read from raw rows altogether. Both parts are one statement, so they see the same
//! parts of the table.
//!
//! Only what the aggregations need is read: where the last point is, above all, is the state of an aggregate, which
//! costs as much as a dozen numbers.
//!
//! Names of projects and metrics are bound parameters; numbers in the text are our own.

use super::aggregation::{Aggregation, QUANTILES};
use super::buckets::{Interval, Range};
use super::cells::Resolution;
use crate::source::{Source, Statement};
use std::collections::BTreeSet;
use std::fmt::Write as _;

const HOUR_MS: i64 = 3_600_000;
/// What orders the points of a metric: [`super::merge::Place`].
const PLACE: &str = "(time, received_at, partition, offset, index)";

/// The Unix second of a row.
const SECOND: &str = "intDiv(toUnixTimestamp64Milli(time), 1000)";

/// What values are divided by where a double does not hold their sum: a power of 2, so that no bit of such is lost, and
/// more than there are points.
pub const SCALE: f64 = 18_446_744_073_709_551_616.0;

/// No point is older: the gateway refuses it. 2000-01-01.
pub const FIRST_TIME: i64 = 946_684_800_000;
/// No point is newer: the hours of the rollup end here. 2106-01-01.
pub const LAST_TIME: i64 = 4_291_747_200_000;

/// What a bucket is to be known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Count, sum, least and greatest.
    Sums,
    /// Count and the last point.
    Last,
    /// [`QUANTILES`], for which every point is needed.
    Quantiles,
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Sums, Self::Last, Self::Quantiles];

    /// What `aggregation` needs.
    pub fn of(aggregation: Aggregation) -> Self {
        match aggregation {
            Aggregation::Last => Self::Last,
            Aggregation::P50 | Aggregation::P90 | Aggregation::P99 => Self::Quantiles,
            Aggregation::Avg
            | Aggregation::Sum
            | Aggregation::Min
            | Aggregation::Max
            | Aggregation::Count => Self::Sums,
        }
    }

    /// The columns beside the metric's place, bucket and count; [`crate::store::Store::series`] reads them.
    pub fn columns(self) -> String {
        match self {
            Self::Sums => sums("value"),
            Self::Last => format!("argMax(value, {PLACE}) AS last_value, max({PLACE}) AS last_place"),
            Self::Quantiles => quantiles("value"),
        }
    }
}

impl Kind {
    /// Returns the columns with sums or quantiles of values divided by [`SCALE`].
    fn scaled_columns(self) -> String {
        // The engine moves a bare division out of the sum; it does not move one out of a function.
        let value = format!("toFloat64(value / {SCALE:e})");
        match self {
            Self::Sums => sums(&value),
            Self::Quantiles => quantiles(&value),
            // The last value is one that was sent.
            Self::Last => self.columns(),
        }
    }
}

fn sums(of: &str) -> String {
    format!("sum({of}) AS total, min(value) AS least, max(value) AS greatest")
}

fn quantiles(of: &str) -> String {
    let levels = QUANTILES.map(|level| level.to_string()).join(", ");
    format!("quantilesExactInclusive({levels})({of}) AS quantiles")
}

/// What is to be read, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The parts of the range in which there can be points, and which are to be read. Not empty.
    ranges: Vec<Range>,
    /// The hours (their starts) of the range that the rollup cannot answer; none if it can answer no hour at all.
    cut: Option<BTreeSet<i64>>,
}

impl Plan {
    /// What is to be read for the buckets that begin at `starts`; none if there can be no points.
    /// `hidden`: some points are to be passed over, of which the rollup knows nothing.
    pub fn new(range: Range, starts: &[i64], interval: Interval, kind: Kind, hidden: bool) -> Option<Self> {
        let range = Range { start: range.start.max(FIRST_TIME), end: range.end.min(LAST_TIME) };
        if range.start >= range.end {
            return None;
        }
        let raw_only = hidden || interval == Interval::Minute || kind == Kind::Quantiles;
        let cut = (!raw_only).then(|| cut_hours(range, starts));
        let hours = (range.end - range.start) / HOUR_MS;
        // Where half of the hours are cut, reading the range once is cheaper than both.
        let cut = cut.filter(|cut| (cut.len() as i64) * 2 <= hours);
        Some(Self { ranges: vec![range], cut })
    }

    /// The raw rows of these ranges alone; none if there are none.
    pub fn edges(edges: &[Range]) -> Option<Self> {
        (!edges.is_empty()).then(|| Self { ranges: edges.to_vec(), cut: None })
    }

    /// The statement. It has the parameters `project` and `metrics`, and those of `mask`, a condition that all its rows
    /// fulfil; its rows have the [columns](Kind::columns) of `kind`.
    pub fn statement(&self, starts: &[i64], kind: Kind, mask: &str) -> Statement {
        let source = if self.uses_rollup() { Source::Hours } else { Source::Rows };
        Statement { text: self.text(starts, kind, mask), source }
    }

    fn text(&self, starts: &[i64], kind: Kind, mask: &str) -> String {
        let buckets = possible(starts);
        let within: Vec<String> = self.ranges.iter().copied().map(within).collect();
        let raw = |only: &str| {
            let filter = format!("({}){only}{mask}", within.join(" OR "));
            select(&bucket(SECOND, &buckets), &kind.columns(), &filter)
        };
        let (Some(cut), Some(range)) = (&self.cut, self.ranges.first()) else { return raw("") };
        let hours = hours_of(*range);
        let rolled = |without: &str| {
            let hour = "toInt64(toUnixTimestamp(toStartOfHour(time)))";
            select(&bucket(hour, &buckets), &kind.columns(), &format!("{hours}{without}{mask}"))
        };
        if cut.is_empty() {
            return rolled("");
        }
        let cut = list(cut.iter().map(|hour| hour / 1000));
        let cut = format!("toStartOfHour(time) IN (SELECT toDateTime(arrayJoin({cut}), 'UTC'))");
        format!("{} UNION ALL {}", rolled(&format!(" AND NOT {cut}")), raw(&format!(" AND {cut}")))
    }

    /// Whether the rollup answers a part of it.
    pub fn uses_rollup(&self) -> bool {
        self.cut.is_some()
    }
}

/// The hours that an end of the range or the start of a bucket cuts.
fn cut_hours(range: Range, starts: &[i64]) -> BTreeSet<i64> {
    let inner = starts.iter().copied().filter(|start| (range.start..range.end).contains(start));
    [range.start, range.end]
        .into_iter()
        .chain(inner)
        .filter(|cut| cut.rem_euclid(HOUR_MS) != 0)
        .map(|cut| cut - cut.rem_euclid(HOUR_MS))
        .collect()
}

/// The statement for the cells of `range`, which has whole ones: parameters and columns as in [`Plan::statement`], nothing
/// hidden.
pub fn cells(range: Range, resolution: Resolution, kind: Kind) -> Statement {
    if resolution == Resolution::Hour && kind != Kind::Quantiles {
        let hour = "toInt64(toUnixTimestamp(toStartOfHour(time))) * 1000";
        return Statement { text: select(hour, &kind.columns(), &hours_of(range)), source: Source::Hours };
    }
    steps(range, resolution.cell(), 0, kind, "")
}

/// The statement for buckets of `length` milliseconds, counted from `origin`, from raw rows: parameters, `mask` and columns
/// as in [`Plan::statement`]. Nothing in `range` is before `origin`.
pub fn steps(range: Range, length: i64, origin: i64, kind: Kind, mask: &str) -> Statement {
    steps_of(range, length, origin, &kind.columns(), mask)
}

/// Returns the statement of [`steps`] with sums or quantiles divided by [`SCALE`].
pub fn scaled_steps(range: Range, length: i64, origin: i64, kind: Kind, mask: &str) -> Statement {
    steps_of(range, length, origin, &kind.scaled_columns(), mask)
}

fn steps_of(range: Range, length: i64, origin: i64, columns: &str, mask: &str) -> Statement {
    let bucket = format!("intDiv(toUnixTimestamp64Milli(time) - {origin}, {length}) * {length} + {origin}");
    let text = select(&bucket, columns, &format!("{}{mask}", within(range)));
    Statement { text, source: Source::Rows }
}

/// The statement for the buckets that begin at `starts`, with sums or quantiles divided by [`SCALE`]: parameters, `mask`
/// and columns as in [`Plan::statement`]. From raw rows: the rollup knows the sums alone.
pub fn scaled(range: Range, starts: &[i64], kind: Kind, mask: &str) -> Statement {
    let range = Range { start: range.start.max(FIRST_TIME), end: range.end.min(LAST_TIME) };
    let columns = kind.scaled_columns();
    let text = select(&bucket(SECOND, &possible(starts)), &columns, &format!("{}{mask}", within(range)));
    Statement { text, source: Source::Rows }
}

/// Returns the statement for one window of each of many series. It has the parameters `series` (an array of tuples of
/// project and metric) and `keys` (the same joined by a slash), and those of `mask`, a condition that all its rows fulfil.
/// Its rows have the [columns](Kind::columns) of `kind` and the bucket 0; a series has several where the window's whole
/// hours come from the rollup.
pub fn window(range: Range, kind: Kind, mask: &str) -> Statement {
    let columns = kind.columns();
    let raw = |range: Range| select_window(&columns, &format!("{}{mask}", within(range)));
    let (first, last) = ((range.start + HOUR_MS - 1).div_euclid(HOUR_MS), range.end.div_euclid(HOUR_MS));
    // The rollup has no quantiles and knows nothing of what is hidden. For short windows it saves nothing.
    let short = range.end - range.start < 24 * HOUR_MS;
    if kind == Kind::Quantiles || short || !mask.is_empty() {
        return Statement { text: raw(range), source: Source::Rows };
    }
    let whole = Range { start: first * HOUR_MS, end: last * HOUR_MS };
    // Separate SELECTs instead of one condition with `OR`: each is a range of the primary key.
    let parts = [
        select_window(&columns, &hours_of(whole)),
        raw(Range { start: range.start, end: whole.start }),
        raw(Range { start: whole.end, end: range.end }),
    ];
    Statement { text: parts.join(" UNION ALL "), source: Source::Hours }
}

/// Returns the statement of [`window`] with sums or quantiles divided by [`SCALE`], from raw rows.
pub fn scaled_window(range: Range, kind: Kind, mask: &str) -> Statement {
    let text = select_window(&kind.scaled_columns(), &format!("{}{mask}", within(range)));
    Statement { text, source: Source::Rows }
}

fn select_window(columns: &str, filter: &str) -> String {
    format!(
        "SELECT toUInt32(transform(concat(project_id, '/', metric_id), {{keys:Array(String)}}, \
         range(length({{keys:Array(String)}})), 0)) AS place, toInt64(0) AS bucket, count() AS points, {columns} \
         FROM samples \
         WHERE kind = 'sample' AND (project_id, metric_id) IN {{series:Array(Tuple(String, String))}} AND {filter} \
         GROUP BY project_id, metric_id"
    )
}

/// The rows whose hours touch `range`: a condition that the rollup knows.
fn hours_of(Range { start, end }: Range) -> String {
    format!(
        "toStartOfHour(time) >= toDateTime({}, 'UTC') AND toStartOfHour(time) < toDateTime({}, 'UTC')",
        start.div_euclid(HOUR_MS) * 3600,
        (end + HOUR_MS - 1).div_euclid(HOUR_MS) * 3600,
    )
}

fn within(Range { start, end }: Range) -> String {
    format!(
        "time >= fromUnixTimestamp64Milli({start}, 'UTC') AND time < fromUnixTimestamp64Milli({end}, 'UTC')"
    )
}

/// The start of the bucket of a row whose Unix second is `second`.
fn bucket(second: &str, buckets: &str) -> String {
    format!("toInt64(roundDown({second}, {buckets})) * 1000")
}

/// The starts, in seconds, as a list of the statement's. A bucket after the last possible point stays empty, and its start
/// may be beyond 32 bits: the server does not take a list of such beside one before 1970.
fn possible(starts: &[i64]) -> String {
    list(starts.iter().take_while(|start| **start < LAST_TIME).map(|start| start / 1000))
}

/// One part of a statement. `bucket`: the start of a row's bucket. Grouped by the metric's place, for numbers are cheaper to
/// group by than texts.
fn select(bucket: &str, columns: &str, filter: &str) -> String {
    format!(
        "SELECT toUInt32(transform(metric_id, {{metrics:Array(String)}}, range(length({{metrics:Array(String)}})), 0)) \
         AS place, {bucket} AS bucket, count() AS points, {columns} FROM samples \
         WHERE kind = 'sample' AND project_id = {{project:String}} AND metric_id IN {{metrics:Array(String)}} AND {filter} \
         GROUP BY place, bucket"
    )
}

fn list(numbers: impl Iterator<Item = i64>) -> String {
    let mut text = String::from("[");
    for (i, number) in numbers.enumerate() {
        // Writing to a string does not fail.
        let _ = write!(text, "{}{number}", if i == 0 { "" } else { "," });
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::buckets;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    const DAY: i64 = 24 * HOUR_MS;
    const MONDAY: i64 = 1_767_571_200_000;

    fn plan(start: i64, end: i64, interval: Interval, zone: &str, aggregation: Aggregation) -> Option<Plan> {
        let range = Range { start, end };
        let zone = TimeZone::get(zone).expect("a zone");
        let starts = buckets::starts(range, interval, &zone, buckets::MOST).expect("few");
        Plan::new(range, &starts, interval, Kind::of(aggregation), false)
    }

    #[test]
    fn whole_hours_come_from_the_rollup_and_only_cut_ones_from_raw_rows() {
        let whole = plan(MONDAY, MONDAY + DAY, Interval::Hour, "UTC", Aggregation::Avg).expect("a plan");
        assert_eq!(whole.cut, Some(BTreeSet::new()));
        let cut = plan(MONDAY + 1, MONDAY + DAY + 5, Interval::Day, "Europe/Berlin", Aggregation::Avg)
            .expect("a plan");
        assert_eq!(cut.cut, Some(BTreeSet::from([MONDAY, MONDAY + DAY])));
        let off =
            plan(MONDAY, MONDAY + 2 * DAY, Interval::Day, "Asia/Kolkata", Aggregation::Sum).expect("a plan");
        assert_eq!(off.cut, Some(BTreeSet::from([MONDAY + 18 * HOUR_MS, MONDAY + DAY + 18 * HOUR_MS])));
    }

    #[test]
    fn minutes_quantiles_and_hours_off_the_full_hour_are_read_from_raw_rows() {
        for (interval, zone, aggregation) in [
            (Interval::Minute, "UTC", Aggregation::Avg),
            (Interval::Day, "UTC", Aggregation::P99),
            (Interval::Hour, "Asia/Kolkata", Aggregation::Avg),
        ] {
            let plan = plan(MONDAY, MONDAY + DAY, interval, zone, aggregation).expect("a plan");
            assert!(!plan.uses_rollup(), "{interval:?} {zone} {aggregation:?}");
        }
    }

    #[test]
    fn a_statement_names_no_bucket_after_the_last_possible_point() {
        let starts = [-DAY, 0, LAST_TIME - DAY, LAST_TIME, LAST_TIME + 40 * DAY];
        let range = Range { start: -DAY, end: LAST_TIME + 41 * DAY };
        for interval in [Interval::Minute, Interval::Month] {
            let plan = Plan::new(range, &starts, interval, Kind::Sums, false).expect("a plan");
            let sql = plan.text(&starts, Kind::Sums, "");
            assert!(sql.contains("[-86400,0,4291660800]"), "{sql}");
        }
    }

    #[test]
    fn where_there_can_be_no_points_nothing_is_read() {
        assert_eq!(plan(0, FIRST_TIME, Interval::Month, "UTC", Aggregation::Avg), None);
    }

    proptest! {
        #[test]
        fn an_hour_that_the_rollup_answers_lies_in_the_range_and_in_one_bucket(
            start in FIRST_TIME..2_000_000_000_000i64, hours in 0i64..3000, rest in 0i64..HOUR_MS,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"]),
            interval in prop::sample::select(vec![Interval::Hour, Interval::Day, Interval::Week, Interval::Month]),
        ) {
            let range = Range { start, end: start + hours * HOUR_MS + rest + 1 };
            let zone = TimeZone::get(zone).expect("a zone");
            let starts = buckets::starts(range, interval, &zone, usize::MAX).expect("no limit");
            let plan = Plan::new(range, &starts, interval, Kind::Sums, false).expect("a plan");
            if let Some(cut) = plan.cut {
                let first = range.start - range.start.rem_euclid(HOUR_MS);
                for hour in (first..range.end).step_by(HOUR_MS as usize).filter(|hour| !cut.contains(hour)) {
                    prop_assert!(hour >= range.start && hour + HOUR_MS <= range.end);
                    let bucket = |at| starts.partition_point(|&start| start <= at);
                    prop_assert_eq!(bucket(hour), bucket(hour + HOUR_MS - 1));
                }
            }
        }
    }
}
