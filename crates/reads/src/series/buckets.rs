//! Division of a time range into buckets.
//!
//! A range is divided at the starts of minutes, hours, days, weeks (Monday) or months in a time zone. Buckets
//! are contiguous and ascending. Each is identified by its first instant, even if the range begins later. At
//! changes of the zone's UTC offset:
//! - an hour that occurs twice is two buckets, and a skipped hour is none;
//! - a change that is not on the full hour begins a bucket, so that no bucket spans two offsets;
//! - a day begins with the first instant of its date, which need not be 00:00; a date that the zone skips has
//!   no bucket.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use service::wire_enum;

wire_enum! {
    /// Length of a bucket.
    pub enum Interval {
        /// Minutes in the time zone.
        Minute = "minute",
        /// Hours in the time zone.
        Hour = "hour",
        /// From midnight to midnight.
        Day = "day",
        /// From Monday to Monday.
        Week = "week",
        /// Calendar months.
        Month = "month",
    }
}

/// No point is older, because the gateway rejects it: 2000-01-01, Unix milliseconds.
pub const FIRST_TIME: i64 = 946_684_800_000;
/// No point is newer, because the hours of the rollup end here: 2106-01-01, Unix milliseconds.
pub const LAST_TIME: i64 = 4_291_747_200_000;

/// Maximum number of buckets of a series.
pub const MAX_BUCKETS: usize = 11_000;

/// Maximum distance into the future of event times that the gateway accepts.
const MAX_FUTURE_MS: i64 = 60_000;

/// Maximum number of buckets if their length is chosen automatically.
pub const MAX_AUTOMATIC_BUCKETS: usize = 400;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Half-open time range in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first millisecond inside.
    pub start: i64,
    /// The first millisecond after the range.
    pub end: i64,
}

/// The range has more buckets than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyBuckets;

/// Returns the starts of all buckets that overlap `range`, at most `limit`.
pub fn starts(
    range: Range,
    interval: Interval,
    zone: &TimeZone,
    limit: usize,
) -> Result<Vec<i64>, TooManyBuckets> {
    let mut starts = Vec::new();
    let mut next = (range.start < range.end).then(|| floor(range.start, interval, zone));
    while let Some(start) = next.filter(|start| *start < range.end) {
        if starts.len() == limit {
            return Err(TooManyBuckets);
        }
        starts.push(start);
        next = following(start, interval, zone);
    }
    Ok(starts)
}

/// Range, length of its buckets, and their starts.
pub type Buckets = (Range, Interval, Vec<i64>);

/// Returns the buckets of the shortest interval that divides `range` into at most [`MAX_AUTOMATIC_BUCKETS`].
/// A range of more months is shortened to the part that can contain points at `now`; if it still has more
/// months, to the last ones.
pub fn automatic(range: Range, zone: &TimeZone, now: i64) -> Buckets {
    let possible = Range { start: range.start.max(FIRST_TIME), end: range.end.min(now + MAX_FUTURE_MS) };
    shortest(range, zone).or_else(|| shortest(possible, zone)).unwrap_or_else(|| {
        let all = starts(possible, Interval::Month, zone, usize::MAX).unwrap_or_default();
        let last = all.get(all.len().saturating_sub(MAX_AUTOMATIC_BUCKETS)..).unwrap_or_default().to_vec();
        let start = last.first().map_or(possible.start, |first| possible.start.max(*first));
        (Range { start, end: possible.end }, Interval::Month, last)
    })
}

fn shortest(range: Range, zone: &TimeZone) -> Option<Buckets> {
    let buckets =
        |interval| Some((range, interval, starts(range, interval, zone, MAX_AUTOMATIC_BUCKETS).ok()?));
    if range.start >= range.end {
        return buckets(Interval::Month);
    }
    [Interval::Minute, Interval::Hour, Interval::Day, Interval::Week, Interval::Month]
        .into_iter()
        .find_map(buckets)
}

/// Returns the start of the bucket that contains `at`.
fn floor(at: i64, interval: Interval, zone: &TimeZone) -> i64 {
    match interval {
        Interval::Minute => clock_floor(at, MINUTE_MS, zone),
        Interval::Hour => clock_floor(at, HOUR_MS, zone),
        Interval::Day | Interval::Week | Interval::Month => {
            let Some(mut date) = period(zone.to_datetime(instant(at)).date(), interval) else { return at };
            // The clock may have been set back across midnight. The later date has begun and continues.
            while let Some(next) = after(date, interval)
                && date_start(next, zone).is_some_and(|start| start <= at)
            {
                date = next;
            }
            date_start(date, zone).unwrap_or(at).min(at)
        }
    }
}

/// Returns the start of the bucket after the one that begins at `start`; `None` at the end of the calendar.
fn following(start: i64, interval: Interval, zone: &TimeZone) -> Option<i64> {
    match interval {
        Interval::Minute => Some(clock_following(start, MINUTE_MS, zone)),
        Interval::Hour => Some(clock_following(start, HOUR_MS, zone)),
        Interval::Day | Interval::Week | Interval::Month => {
            let mut date = period(zone.to_datetime(instant(start)).date(), interval)?;
            loop {
                date = after(date, interval)?;
                // A date that the zone skips begins at the same instant as the next one.
                let next = date_start(date, zone)?;
                if next > start {
                    return Some(next);
                }
            }
        }
    }
}

fn clock_floor(at: i64, unit: i64, zone: &TimeZone) -> i64 {
    let start = at - (at + offset(at, zone)).rem_euclid(unit);
    if offset(start, zone) == offset(at, zone) {
        return start;
    }
    change_before(at, zone).map_or(start, |change| change.max(start))
}

fn clock_following(start: i64, unit: i64, zone: &TimeZone) -> i64 {
    let next = start + unit - (start + offset(start, zone)).rem_euclid(unit);
    if offset(next, zone) == offset(start, zone) {
        return next;
    }
    let change = zone.following(instant(start)).map(|change| change.timestamp().as_millisecond());
    change
        .filter(|change| *change > start)
        .take(4)
        .find(|change| offset(*change, zone) != offset(start, zone))
        .map_or(next, |change| change.min(next))
}

/// Returns the last change of the UTC offset at or before `at`.
fn change_before(at: i64, zone: &TimeZone) -> Option<i64> {
    zone.preceding(instant(at + 1))
        .map(|change| change.timestamp().as_millisecond())
        .take(4)
        .find(|change| offset(change - 1, zone) != offset(*change, zone))
}

/// Returns the zone's UTC offset in milliseconds.
fn offset(at: i64, zone: &TimeZone) -> i64 {
    i64::from(zone.to_offset(instant(at)).seconds()) * 1000
}

fn instant(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// Returns the first date of the period that contains `date`.
fn period(date: Date, interval: Interval) -> Option<Date> {
    match interval {
        Interval::Month => Some(date.first_of_month()),
        Interval::Week => {
            let days = i64::from(date.weekday().to_monday_zero_offset());
            date.checked_sub(jiff::Span::new().days(days)).ok()
        }
        Interval::Day | Interval::Hour | Interval::Minute => Some(date),
    }
}

/// Returns the first date of the period after the one that begins with `date`.
fn after(date: Date, interval: Interval) -> Option<Date> {
    let span = match interval {
        Interval::Month => jiff::Span::new().months(1),
        Interval::Week => jiff::Span::new().weeks(1),
        Interval::Day | Interval::Hour | Interval::Minute => jiff::Span::new().days(1),
    };
    date.checked_add(span).ok()
}

/// The first instant of `date`.
pub fn date_start(date: Date, zone: &TimeZone) -> Option<i64> {
    let midnight = date.at(0, 0, 0, 0);
    let start = zone.to_timestamp(midnight).ok()?.as_millisecond();
    if zone.to_datetime(instant(start)) == midnight {
        return Some(start);
    }
    // Midnight was skipped: the date begins at the change of the offset.
    Some(change_before(start, zone).unwrap_or(start))
}

#[cfg(test)]
mod tests;
