//! What is asked for: one time series, read from parameters.

use super::aggregation::Aggregation;
use super::buckets::{self, Interval, Range};
use super::fill::Fill;
use crate::error::Error;
use crate::fault::Code;
use crate::params::Params;
use crate::words::words;

words! {
    /// How long the buckets shall be.
    pub enum WantedInterval: "interval" {
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

impl Question {
    /// Reads the parameters. `now` is where a range ends that has no end.
    pub fn read(params: &mut Params, now: i64) -> Result<Self, Error> {
        let (zone, timezone) = params.zone();
        let range = params.range(&zone, now);
        let wanted = params.word("interval", WantedInterval::Auto);
        let aggregation = params.word("aggregation", Aggregation::Avg);
        let fill = params.word("fill", Fill::None);
        params.check()?;
        let interval = match wanted {
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
        let starts = buckets::starts(range, interval, &zone, buckets::MOST).unwrap_or_else(|_| {
            let message =
                "makes more than 11000 buckets of this range: ask for longer ones or for a shorter range";
            params.faults.add("interval", Code::TooManyBuckets, message);
            Vec::new()
        });
        params.check()?;
        Ok(Self { range, starts, interval, aggregation, timezone, fill })
    }
}
