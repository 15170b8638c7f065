//! Points and queries of the time series benchmark, equal for both stores.

use serde_json::{Value, json};

/// Time between two points of a series.
pub const STEP_MS: i64 = 30_000;
pub const MINUTE_MS: i64 = 60_000;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// Number of points per series and day.
pub const POINTS_PER_DAY: i64 = DAY_MS / STEP_MS;
/// Number of series that are queried together.
pub const GROUP: usize = 50;
/// Number of widgets of the dashboard.
pub const WIDGETS: usize = 20;

/// Points in both stores: `series` series with a point every 30 seconds, over `days` days before `end_ms`.
#[derive(Debug, Clone, Copy)]
pub struct Data {
    pub series: usize,
    pub days: i64,
    pub end_ms: i64,
}

impl Data {
    pub fn start_ms(self) -> i64 {
        self.end_ms - self.days * DAY_MS
    }

    /// Time of a point. It is in the middle of its step, so that it makes no difference which end of a range
    /// is inclusive.
    pub fn time_ms(self, index: i64) -> i64 {
        self.start_ms() + index * STEP_MS + STEP_MS / 2
    }

    /// Value of a point. The SQL that fills ClickHouse contains the same formula.
    pub fn value(series: usize, index: i64) -> f64 {
        ((i64::try_from(series).unwrap_or_default() * 7919 + index * 104_729) % 10_007) as f64 / 10.0
    }
}

/// A range that ends at the end of the data, its buckets, and the aggregation of a bucket.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    pub length_ms: i64,
    pub bucket_ms: i64,
    pub aggregation: &'static str,
}

impl Range {
    pub const fn new(length_ms: i64, bucket_ms: i64, aggregation: &'static str) -> Self {
        Self { length_ms, bucket_ms, aggregation }
    }

    /// Returns the query of one series for the query API.
    pub fn query(self, series: usize, end_ms: i64) -> Value {
        json!({
            "metricId": metric_id(series), "aggregation": self.aggregation,
            "interval": if self.bucket_ms == HOUR_MS { "hour" } else { "minute" },
            "startDate": end_ms - self.length_ms, "endDate": end_ms,
        })
    }
}

/// A measured request.
pub struct Question {
    pub name: &'static str,
    /// Ranges of the queried series, repeated cyclically.
    pub ranges: Vec<Range>,
    /// Number of queried series.
    pub series: usize,
    /// True if VictoriaMetrics gets one query for all series instead of one query per series.
    pub together: bool,
}

/// Returns the measured requests for data of `days` days.
pub fn questions(days: i64) -> [Question; 4] {
    let all = days * DAY_MS;
    let dashboard = vec![
        Range::new(HOUR_MS, MINUTE_MS, "avg"),
        Range::new(DAY_MS, MINUTE_MS, "max"),
        Range::new(DAY_MS.max(all / 4), HOUR_MS, "sum"),
        Range::new(all, HOUR_MS, "min"),
    ];
    [
        Question {
            name: "one series, all days by hour",
            ranges: vec![Range::new(all, HOUR_MS, "avg")],
            series: 1,
            together: false,
        },
        Question {
            name: "one series, a day by minute",
            ranges: vec![Range::new(DAY_MS, MINUTE_MS, "avg")],
            series: 1,
            together: false,
        },
        Question {
            name: "50 series, all days by hour",
            ranges: vec![Range::new(all, HOUR_MS, "avg")],
            series: GROUP,
            together: true,
        },
        Question { name: "a dashboard of 20 widgets", ranges: dashboard, series: WIDGETS, together: false },
    ]
}

pub fn metric_id(series: usize) -> String {
    format!("m{series}")
}
