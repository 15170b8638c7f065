//! Where buckets begin.
//!
//! A range is cut at the starts of minutes, hours, days, weeks (Monday) or months by a zone's clock. Buckets are
//! contiguous and ascending; each is named by its first instant, also where the range begins later. What follows from
//! that where clocks are moved:
//! - an hour that the clock shows twice is two buckets, one that it skips is none;
//! - a change that is not on the hour begins a bucket, so that no bucket spans two offsets;
//! - a day begins with the first instant of its date, which need not be 00:00; a date that a zone skipped has no bucket.

use super::query::FIRST_TIME;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use service::wire_enum;

wire_enum! {
    /// How long a bucket is.
    pub enum Interval {
        /// Minutes of the zone's clock.
        Minute = "minute",
        /// Hours of the zone's clock.
        Hour = "hour",
        /// From midnight to midnight.
        Day = "day",
        /// From Monday to Monday.
        Week = "week",
        /// Calendar months.
        Month = "month",
    }
}

/// More buckets than this are refused.
pub const MOST: usize = 11_000;

/// How far ahead of now the gateway takes points.
const AHEAD_MS: i64 = 60_000;

/// Up to so many buckets are chosen for a client that does not say how long they shall be.
pub const MOST_AUTOMATIC: usize = 400;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// A half-open span of time in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first millisecond inside.
    pub start: i64,
    /// The first millisecond after it.
    pub end: i64,
}

/// The range has more buckets than were allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

/// The starts of all buckets that overlap `range`, at most `most`.
pub fn starts(range: Range, interval: Interval, zone: &TimeZone, most: usize) -> Result<Vec<i64>, TooMany> {
    let mut starts = Vec::new();
    let mut next = (range.start < range.end).then(|| floor(range.start, interval, zone));
    while let Some(start) = next.filter(|start| *start < range.end) {
        if starts.len() == most {
            return Err(TooMany);
        }
        starts.push(start);
        next = following(start, interval, zone);
    }
    Ok(starts)
}

/// A range, how long its buckets are, and their starts.
pub type Buckets = (Range, Interval, Vec<i64>);

/// The shortest interval that cuts `range` into at most [`MOST_AUTOMATIC`] buckets. Of a range of more months only that
/// part counts in which there can be points at `now`; of more months still, the last ones.
pub fn automatic(range: Range, zone: &TimeZone, now: i64) -> Buckets {
    let possible = Range { start: range.start.max(FIRST_TIME), end: range.end.min(now + AHEAD_MS) };
    shortest(range, zone).or_else(|| shortest(possible, zone)).unwrap_or_else(|| {
        let all = starts(possible, Interval::Month, zone, usize::MAX).unwrap_or_default();
        let last = all.get(all.len().saturating_sub(MOST_AUTOMATIC)..).unwrap_or_default().to_vec();
        let start = last.first().map_or(possible.start, |first| possible.start.max(*first));
        (Range { start, end: possible.end }, Interval::Month, last)
    })
}

fn shortest(range: Range, zone: &TimeZone) -> Option<Buckets> {
    let buckets = |interval| Some((range, interval, starts(range, interval, zone, MOST_AUTOMATIC).ok()?));
    if range.start >= range.end {
        return buckets(Interval::Month);
    }
    [Interval::Minute, Interval::Hour, Interval::Day, Interval::Week, Interval::Month]
        .into_iter()
        .find_map(buckets)
}

/// The start of the bucket that `at` is in.
fn floor(at: i64, interval: Interval, zone: &TimeZone) -> i64 {
    match interval {
        Interval::Minute => clock_floor(at, MINUTE_MS, zone),
        Interval::Hour => clock_floor(at, HOUR_MS, zone),
        Interval::Day | Interval::Week | Interval::Month => {
            let Some(mut date) = period(zone.to_datetime(instant(at)).date(), interval) else { return at };
            // The clock may have been moved back over midnight: the later date has begun, and stays.
            while let Some(next) = after(date, interval)
                && date_start(next, zone).is_some_and(|start| start <= at)
            {
                date = next;
            }
            date_start(date, zone).unwrap_or(at).min(at)
        }
    }
}

/// The start of the bucket after the one that begins at `start`; none at the end of the calendar.
fn following(start: i64, interval: Interval, zone: &TimeZone) -> Option<i64> {
    match interval {
        Interval::Minute => Some(clock_following(start, MINUTE_MS, zone)),
        Interval::Hour => Some(clock_following(start, HOUR_MS, zone)),
        Interval::Day | Interval::Week | Interval::Month => {
            let mut date = period(zone.to_datetime(instant(start)).date(), interval)?;
            loop {
                date = after(date, interval)?;
                // A date that the zone skipped begins where the next one does.
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

/// The last change of the offset at or before `at`.
fn change_before(at: i64, zone: &TimeZone) -> Option<i64> {
    zone.preceding(instant(at + 1))
        .map(|change| change.timestamp().as_millisecond())
        .take(4)
        .find(|change| offset(change - 1, zone) != offset(*change, zone))
}

/// Milliseconds that the zone's clock is ahead of UTC.
fn offset(at: i64, zone: &TimeZone) -> i64 {
    i64::from(zone.to_offset(instant(at)).seconds()) * 1000
}

fn instant(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// The first date of the period that `date` is in.
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

/// The first date of the period after the one that begins with `date`.
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
    // Midnight was skipped: the date begins where the clock was moved.
    Some(change_before(start, zone).unwrap_or(start))
}

#[cfg(test)]
mod tests;
