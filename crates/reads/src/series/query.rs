//! Statements that read time series: whole hours from the rollup, the rest from raw rows.
//!
//! An hour of UTC that lies in one bucket and in the range is read from one row of the ClickHouse PROJECTION
//! `rollup_1h`. A partial hour, which contains an end of the range or the start of a bucket (zones off the
//! full hour), is read from raw rows. Minutes and quantiles are read from raw rows only. Both parts are one
//! statement, so they see the same parts of the table.
//!
//! A statement reads only the aggregates that are needed. Above all, the position of the last point is an
//! aggregate state, which costs as much as a dozen numbers.
//!
//! Names of projects and metrics are bound parameters. The text contains only numbers that this module
//! computes.

use super::aggregation::{Aggregation, QUANTILES};
use super::buckets::{FIRST_TIME, Interval, LAST_TIME, Range};
use super::resolution::Resolution;
use crate::source::{Source, Statement};
use std::collections::BTreeSet;
use std::fmt::Write as _;

const HOUR_MS: i64 = 3_600_000;
/// Sort key of the points of a metric: [`super::merge::PointPosition`].
const POSITION: &str = "(time, received_at, partition, offset, index)";

/// Unix second of a row.
const SECOND: &str = "intDiv(toUnixTimestamp64Milli(time), 1000)";

/// Divisor of values whose sum overflows. A power of 2 keeps every bit of the values, and this one exceeds
/// the number of points.
pub const SCALE: f64 = 18_446_744_073_709_551_616.0;

/// Kind of aggregates that a statement reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Count, sum, minimum and maximum.
    Sums,
    /// Count and the last point.
    Last,
    /// Count and [`QUANTILES`], which are computed from all points.
    Quantiles,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Sums, Self::Last, Self::Quantiles];

    /// Returns the kind that `aggregation` is computed from.
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

    /// Returns the columns in addition to series index, bucket and count. The types in [`super::rows`] read
    /// them.
    pub fn columns(self) -> String {
        match self {
            Self::Sums => sums("value"),
            Self::Last => {
                format!("argMax(value, {POSITION}) AS last_value, max({POSITION}) AS last_position")
            }
            Self::Quantiles => quantiles("value"),
        }
    }

    /// Returns the columns with sums or quantiles of values divided by [`SCALE`].
    fn scaled_columns(self) -> String {
        // ClickHouse moves a bare division out of the sum, but not one inside a function.
        let value = format!("toFloat64(value / {SCALE:e})");
        match self {
            Self::Sums => sums(&value),
            Self::Quantiles => quantiles(&value),
            // The last value was sent by a client, so it does not overflow.
            Self::Last => self.columns(),
        }
    }
}

fn sums(of: &str) -> String {
    format!("sum({of}) AS total, min(value) AS min_value, max(value) AS max_value")
}

fn quantiles(of: &str) -> String {
    let levels = QUANTILES.map(|level| level.to_string()).join(", ");
    format!("quantilesExactInclusive({levels})({of}) AS quantiles")
}

/// Ranges to read, and the source of each hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Ranges to read, limited to times with possible points. Not empty.
    ranges: Vec<Range>,
    /// Starts of the hours that must be read from raw rows; `None` if all of them must.
    partial_hours: Option<BTreeSet<i64>>,
}

impl Plan {
    /// Plans a read of the buckets that begin at `starts`; `None` if there can be no points. `hidden`:
    /// deleted points must be excluded, which the rollup cannot do.
    pub fn new(range: Range, starts: &[i64], interval: Interval, kind: Kind, hidden: bool) -> Option<Self> {
        let range = Range { start: range.start.max(FIRST_TIME), end: range.end.min(LAST_TIME) };
        if range.start >= range.end {
            return None;
        }
        let raw_only = hidden || interval == Interval::Minute || kind == Kind::Quantiles;
        let partial = (!raw_only).then(|| partial_hours(range, starts));
        let hours = (range.end - range.start) / HOUR_MS;
        // If more than half of the hours are partial, reading the range once from raw rows is cheaper.
        let partial_hours = partial.filter(|partial| (partial.len() as i64) * 2 <= hours);
        Some(Self { ranges: vec![range], partial_hours })
    }

    /// Plans a read of these ranges from raw rows; `None` if there are no ranges.
    pub fn edges(edges: &[Range]) -> Option<Self> {
        (!edges.is_empty()).then(|| Self { ranges: edges.to_vec(), partial_hours: None })
    }

    /// Returns the statement. It has the parameters `project` and `metrics`, and those of `mask`, a condition
    /// that applies to all rows that it reads. Its result has the [columns](Kind::columns) of `kind`.
    pub fn statement(&self, starts: &[i64], kind: Kind, mask: &str) -> Statement {
        let source = if self.uses_rollup() { Source::Hours } else { Source::Rows };
        Statement { text: self.text(starts, kind, mask), source }
    }

    fn text(&self, starts: &[i64], kind: Kind, mask: &str) -> String {
        let buckets = possible_starts(starts);
        let within: Vec<String> = self.ranges.iter().copied().map(within).collect();
        let raw = |condition: &str| {
            let filter = format!("({}){condition}{mask}", within.join(" OR "));
            select(&bucket(SECOND, &buckets), &kind.columns(), &filter)
        };
        let (Some(partial), Some(range)) = (&self.partial_hours, self.ranges.first()) else { return raw("") };
        let hours = hours_of(*range);
        let rollup = |condition: &str| {
            let hour = "toInt64(toUnixTimestamp(toStartOfHour(time)))";
            select(&bucket(hour, &buckets), &kind.columns(), &format!("{hours}{condition}{mask}"))
        };
        if partial.is_empty() {
            return rollup("");
        }
        let partial = list(partial.iter().map(|hour| hour / 1000));
        let is_partial = format!("toStartOfHour(time) IN (SELECT toDateTime(arrayJoin({partial}), 'UTC'))");
        format!(
            "{} UNION ALL {}",
            rollup(&format!(" AND NOT {is_partial}")),
            raw(&format!(" AND {is_partial}"))
        )
    }

    /// Returns whether a part is read from the rollup.
    pub fn uses_rollup(&self) -> bool {
        self.partial_hours.is_some()
    }
}

/// Returns the hours that contain an end of the range or the start of a bucket other than at their start.
fn partial_hours(range: Range, starts: &[i64]) -> BTreeSet<i64> {
    let inner = starts.iter().copied().filter(|start| (range.start..range.end).contains(start));
    [range.start, range.end]
        .into_iter()
        .chain(inner)
        .filter(|boundary| boundary.rem_euclid(HOUR_MS) != 0)
        .map(|boundary| boundary - boundary.rem_euclid(HOUR_MS))
        .collect()
}

/// Returns the statement for the cells of `range`, which consists of whole cells. It excludes no deleted
/// points; parameters and columns are those of [`Plan::statement`].
pub fn cells(range: Range, resolution: Resolution, kind: Kind) -> Statement {
    if resolution == Resolution::Hour && kind != Kind::Quantiles {
        let hour = "toInt64(toUnixTimestamp(toStartOfHour(time))) * 1000";
        return Statement { text: select(hour, &kind.columns(), &hours_of(range)), source: Source::Hours };
    }
    steps(range, resolution.cell_ms(), 0, kind, "")
}

/// Returns the statement for buckets of `length` milliseconds that begin at `origin`, from raw rows.
/// Parameters, `mask` and columns are those of [`Plan::statement`]. `range` must not begin before `origin`.
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

/// Returns the statement for the buckets that begin at `starts`, with sums or quantiles divided by [`SCALE`].
/// Parameters, `mask` and columns are those of [`Plan::statement`]. It reads raw rows, because the rollup has
/// only unscaled sums.
pub fn scaled(range: Range, starts: &[i64], kind: Kind, mask: &str) -> Statement {
    let range = Range { start: range.start.max(FIRST_TIME), end: range.end.min(LAST_TIME) };
    let columns = kind.scaled_columns();
    let text =
        select(&bucket(SECOND, &possible_starts(starts)), &columns, &format!("{}{mask}", within(range)));
    Statement { text, source: Source::Rows }
}

/// Returns the statement for one window of each of many series. It has the parameters `series` (an array of
/// tuples of project and metric) and `keys` (the same joined by a slash), and those of `mask`, a condition
/// that applies to all rows that it reads. Its rows have the [columns](Kind::columns) of `kind` and the
/// bucket 0; a series has several where the window's whole hours come from the rollup.
pub fn window(range: Range, kind: Kind, mask: &str) -> Statement {
    let columns = kind.columns();
    let raw = |range: Range| select_window(&columns, &format!("{}{mask}", within(range)));
    let (first, last) = ((range.start + HOUR_MS - 1).div_euclid(HOUR_MS), range.end.div_euclid(HOUR_MS));
    // The rollup has no quantiles and cannot exclude deleted points. For short windows it saves nothing.
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
         range(length({{keys:Array(String)}})), 0)) AS series_index, toInt64(0) AS bucket, count() AS points, {columns} \
         FROM samples \
         WHERE kind = 'sample' AND (project_id, metric_id) IN {{series:Array(Tuple(String, String))}} AND {filter} \
         GROUP BY project_id, metric_id"
    )
}

/// Returns the condition for rows whose hour overlaps `range`, in terms of the rollup's key.
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

/// Returns the expression for the bucket start of a row whose Unix second is `second`.
fn bucket(second: &str, buckets: &str) -> String {
    format!("toInt64(roundDown({second}, {buckets})) * 1000")
}

/// Returns an array literal of the starts in seconds. Buckets after the last possible point are left out:
/// they stay empty, and ClickHouse rejects an array that mixes numbers beyond 32 bits with negative ones.
fn possible_starts(starts: &[i64]) -> String {
    list(starts.iter().take_while(|start| **start < LAST_TIME).map(|start| start / 1000))
}

/// Returns a SELECT over several metrics. `bucket`: expression for the start of a row's bucket. It groups by
/// the index of the metric, because numbers are cheaper to group by than strings.
fn select(bucket: &str, columns: &str, filter: &str) -> String {
    format!(
        "SELECT toUInt32(transform(metric_id, {{metrics:Array(String)}}, range(length({{metrics:Array(String)}})), 0)) \
         AS series_index, {bucket} AS bucket, count() AS points, {columns} FROM samples \
         WHERE kind = 'sample' AND project_id = {{project:String}} AND metric_id IN {{metrics:Array(String)}} AND {filter} \
         GROUP BY series_index, bucket"
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
        let zone = TimeZone::get(zone).expect("known time zone");
        let starts = buckets::starts(range, interval, &zone, buckets::MAX_BUCKETS).expect("within the limit");
        Plan::new(range, &starts, interval, Kind::of(aggregation), false)
    }

    #[test]
    fn only_partial_hours_are_read_from_raw_rows() {
        let whole = plan(MONDAY, MONDAY + DAY, Interval::Hour, "UTC", Aggregation::Avg).expect("a plan");
        assert_eq!(whole.partial_hours, Some(BTreeSet::new()));
        let partial = plan(MONDAY + 1, MONDAY + DAY + 5, Interval::Day, "Europe/Berlin", Aggregation::Avg)
            .expect("a plan");
        assert_eq!(partial.partial_hours, Some(BTreeSet::from([MONDAY, MONDAY + DAY])));
        let off =
            plan(MONDAY, MONDAY + 2 * DAY, Interval::Day, "Asia/Kolkata", Aggregation::Sum).expect("a plan");
        assert_eq!(
            off.partial_hours,
            Some(BTreeSet::from([MONDAY + 18 * HOUR_MS, MONDAY + DAY + 18 * HOUR_MS]))
        );
    }

    #[test]
    fn minutes_quantiles_and_offset_hours_are_read_from_raw_rows() {
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
    fn statement_has_no_bucket_after_the_last_possible_point() {
        let starts = [-DAY, 0, LAST_TIME - DAY, LAST_TIME, LAST_TIME + 40 * DAY];
        let range = Range { start: -DAY, end: LAST_TIME + 41 * DAY };
        for interval in [Interval::Minute, Interval::Month] {
            let plan = Plan::new(range, &starts, interval, Kind::Sums, false).expect("a plan");
            let sql = plan.text(&starts, Kind::Sums, "");
            assert!(sql.contains("[-86400,0,4291660800]"), "{sql}");
        }
    }

    #[test]
    fn range_without_possible_points_has_no_plan() {
        assert_eq!(plan(0, FIRST_TIME, Interval::Month, "UTC", Aggregation::Avg), None);
    }

    proptest! {
        #[test]
        fn rollup_hours_lie_in_the_range_and_in_one_bucket(
            start in FIRST_TIME..2_000_000_000_000i64, hours in 0i64..3000, rest in 0i64..HOUR_MS,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"]),
            interval in prop::sample::select(vec![Interval::Hour, Interval::Day, Interval::Week, Interval::Month]),
        ) {
            let range = Range { start, end: start + hours * HOUR_MS + rest + 1 };
            let zone = TimeZone::get(zone).expect("known time zone");
            let starts = buckets::starts(range, interval, &zone, usize::MAX).expect("no limit");
            let plan = Plan::new(range, &starts, interval, Kind::Sums, false).expect("a plan");
            if let Some(partial) = plan.partial_hours {
                let first = range.start - range.start.rem_euclid(HOUR_MS);
                for hour in (first..range.end).step_by(HOUR_MS as usize).filter(|hour| !partial.contains(hour)) {
                    prop_assert!(hour >= range.start && hour + HOUR_MS <= range.end);
                    let bucket = |at| starts.partition_point(|&start| start <= at);
                    prop_assert_eq!(bucket(hour), bucket(hour + HOUR_MS - 1));
                }
            }
        }
    }
}
