//! Query for one time series, from the parameters of a request.

use super::aggregation::Aggregation;
use super::buckets::{self, Interval, Range, TooManyBuckets};
use super::fill::Fill;
use jiff::tz::TimeZone;
use service::wire_enum;

wire_enum! {
    /// Length of the buckets.
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
        /// The shortest interval with at most 400 buckets. If even months exceed 400, the range is limited to
        /// the time from 2000 until now.
        Auto = "auto",
    }
}

/// Query for one time series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesQuery {
    /// Range of event times. It lies in the requested range, and is empty only if that cannot contain points.
    pub range: Range,
    /// Starts of the buckets in ascending order.
    pub starts: Vec<i64>,
    /// Length of the buckets.
    pub interval: Interval,
    /// Aggregation of the points of a bucket.
    pub aggregation: Aggregation,
    /// Name of the time zone in which buckets begin.
    pub timezone: String,
    /// Value of buckets without points.
    pub fill: Fill,
}

/// Parameters of a time series, as sent by a client.
#[derive(Debug, Clone)]
pub struct Parameters {
    /// Range of event times.
    pub range: Range,
    /// Time zone in which buckets begin.
    pub zone: TimeZone,
    /// Name of the time zone.
    pub timezone: String,
    /// Length of the buckets.
    pub interval: WantedInterval,
    /// Aggregation of the points of a bucket.
    pub aggregation: Aggregation,
    /// Value of buckets without points.
    pub fill: Fill,
}

impl SeriesQuery {
    /// Divides the range into buckets, at most [`buckets::MAX_BUCKETS`]. `now` limits automatically chosen
    /// buckets, Unix milliseconds.
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
        let starts = buckets::starts(range, interval, &zone, buckets::MAX_BUCKETS)?;
        Ok(Self { range, starts, interval, aggregation, timezone, fill })
    }
}

/// Returns the series query of a query string such as
/// `startDate=2026-03-01&endDate=2026-03-02&interval=hour`. Dates are Unix milliseconds, dates in the zone,
/// or instants.
///
/// # Panics
/// Panics if the query string is not valid.
#[cfg(test)]
pub(crate) fn parse_query(query: &str) -> SeriesQuery {
    use service::wire_enum::WireEnum;
    let given = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let timezone = given("timezone").unwrap_or("UTC");
    let zone = TimeZone::get(timezone).expect("known time zone");
    let time = |name: &str| {
        let text = given(name).expect("both ends are given");
        text.parse().ok().unwrap_or_else(|| match text.parse::<jiff::civil::Date>() {
            Ok(date) if !text.contains('T') => buckets::date_start(date, &zone).expect("valid date"),
            _ => text.parse::<jiff::Timestamp>().expect("valid timestamp").as_millisecond(),
        })
    };
    let parameters = Parameters {
        range: Range { start: time("startDate"), end: time("endDate") },
        timezone: timezone.to_owned(),
        interval: given("interval")
            .map_or(WantedInterval::Auto, |text| WantedInterval::parse(text).expect("known interval")),
        aggregation: given("aggregation")
            .map_or(Aggregation::Avg, |text| Aggregation::parse(text).expect("known aggregation")),
        fill: given("fill").map_or(Fill::None, |text| Fill::parse(text).expect("known fill")),
        zone,
    };
    SeriesQuery::new(parameters, 0).expect("within the bucket limit")
}
