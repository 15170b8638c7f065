//! What is asked for: one time series, read from parameters.

use super::aggregation::Aggregation;
use super::buckets::{self, Interval, Range};
use super::fill::Fill;
use jiff::tz::TimeZone;
use service::wire_enum;

wire_enum! {
    /// How long the buckets shall be.
    pub enum WantedInterval {
        /// Minutes.
        Minute = "minute",
        /// Hours.
        Hour = "hour",
        /// Days.
        Day = "day",
        /// Weeks.
        Week = "week",
        /// Months.
        Month = "month",
        /// The shortest that makes at most 400 buckets. Where months make more, they begin no earlier than 2000 and no
        /// later than now.
        Auto = "auto",
    }
}

/// A time series that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Only points in it count. Not longer than what was asked for, and empty only if there can be none in that.
    pub range: Range,
    /// Where the buckets of the range begin, ascending.
    pub starts: Vec<i64>,
    /// How long they are.
    pub interval: Interval,
    /// How their points become one number.
    pub aggregation: Aggregation,
    /// The zone by whose clock they begin.
    pub timezone: String,
    /// What stands in those without points.
    pub fill: Fill,
}

/// The range makes more than [`buckets::MOST`] buckets of the interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyBuckets;

/// Parameters of a time series, as a client gives them.
#[derive(Debug, Clone)]
pub struct Parameters {
    /// The range whose points count.
    pub range: Range,
    /// The zone by whose clock buckets begin.
    pub zone: TimeZone,
    /// The zone's name.
    pub timezone: String,
    /// The length of the buckets.
    pub interval: WantedInterval,
    /// The aggregation of the points of a bucket.
    pub aggregation: Aggregation,
    /// The value of buckets without points.
    pub fill: Fill,
}

impl Question {
    /// Cuts the range into buckets. `now` bounds automatically chosen buckets, Unix milliseconds.
    pub fn new(parameters: Parameters, now: i64) -> Result<Self, TooManyBuckets> {
        let Parameters { range, zone, timezone, interval, aggregation, fill } = parameters;
        let interval = match interval {
            WantedInterval::Minute => Interval::Minute,
            WantedInterval::Hour => Interval::Hour,
            WantedInterval::Day => Interval::Day,
            WantedInterval::Week => Interval::Week,
            WantedInterval::Month => Interval::Month,
            WantedInterval::Auto => {
                let (range, interval, starts) = buckets::automatic(range, &zone, now);
                return Ok(Self { range, starts, interval, aggregation, timezone, fill });
            }
        };
        let starts = buckets::starts(range, interval, &zone, buckets::MOST)
            .map_err(|buckets::TooMany| TooManyBuckets)?;
        Ok(Self { range, starts, interval, aggregation, timezone, fill })
    }
}

/// Returns the question of a query string such as `startDate=2026-03-01&endDate=2026-03-02&interval=hour`. Dates are
/// Unix milliseconds, dates in the zone, or instants.
///
/// # Panics
/// If it is not valid.
#[cfg(test)]
pub(crate) fn of_query(query: &str) -> Question {
    use service::wire_enum::WireEnum;
    let given = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let timezone = given("timezone").unwrap_or("UTC");
    let zone = TimeZone::get(timezone).expect("a zone");
    let time = |name: &str| {
        let text = given(name).expect("both ends are given");
        text.parse().ok().unwrap_or_else(|| match text.parse::<jiff::civil::Date>() {
            Ok(date) if !text.contains('T') => buckets::date_start(date, &zone).expect("a date"),
            _ => text.parse::<jiff::Timestamp>().expect("a time").as_millisecond(),
        })
    };
    let parameters = Parameters {
        range: Range { start: time("startDate"), end: time("endDate") },
        timezone: timezone.to_owned(),
        interval: given("interval")
            .map_or(WantedInterval::Auto, |text| WantedInterval::parse(text).expect("an interval")),
        aggregation: given("aggregation")
            .map_or(Aggregation::Avg, |text| Aggregation::parse(text).expect("an aggregation")),
        fill: given("fill").map_or(Fill::None, |text| Fill::parse(text).expect("a fill")),
        zone,
    };
    Question::new(parameters, 0).expect("few buckets")
}
