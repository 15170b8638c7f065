//! Filling of buckets without points.

use serde::Serialize;
use service::wire_enum;
use utoipa::ToSchema;

wire_enum! {
    /// Value of a bucket without points.
    pub enum Fill {
        /// The bucket is left out.
        None = "none",
        /// `null`.
        Null = "null",
        /// 0.
        Zero = "zero",
        /// The value of the nearest earlier bucket with points; `null` if the range has none.
        Previous = "previous",
    }
}

/// Bucket of a time series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[schema(as = TimeSeriesPoint)]
pub struct Point {
    /// The bucket's start, Unix milliseconds, even if the range begins later.
    pub timestamp: i64,
    /// The aggregated value; `null` if there is none, or if no double can represent it.
    #[schema(required)]
    pub value: Option<f64>,
    /// Number of points in the bucket.
    pub count: u64,
}

/// Adds the buckets of `starts` that are missing in `points`, with the value of `fill`. Both are ascending.
pub fn fill(starts: &[i64], points: Vec<Point>, fill: Fill) -> Vec<Point> {
    if fill == Fill::None {
        return points;
    }
    let mut given = points.into_iter().peekable();
    let mut previous = None;
    starts
        .iter()
        .map(|&timestamp| match given.next_if(|point| point.timestamp == timestamp) {
            Some(point) => {
                previous = point.value;
                point
            }
            None => {
                let value = match fill {
                    Fill::None | Fill::Null => None,
                    Fill::Zero => Some(0.0),
                    Fill::Previous => previous,
                };
                Point { timestamp, value, count: 0 }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(kind: Fill) -> Vec<(i64, Option<f64>, u64)> {
        let points = vec![
            Point { timestamp: 2, value: Some(7.0), count: 3 },
            Point { timestamp: 4, value: Some(9.0), count: 1 },
        ];
        let filled = fill(&[1, 2, 3, 4, 5], points, kind);
        filled.into_iter().map(|point| (point.timestamp, point.value, point.count)).collect()
    }

    #[test]
    fn empty_buckets_get_the_value_of_the_fill_and_a_count_of_zero() {
        assert_eq!(values(Fill::None), [(2, Some(7.0), 3), (4, Some(9.0), 1)]);
        let filled = |a, b, c| [(1, a, 0), (2, Some(7.0), 3), (3, b, 0), (4, Some(9.0), 1), (5, c, 0)];
        assert_eq!(values(Fill::Null), filled(None, None, None));
        assert_eq!(values(Fill::Zero), filled(Some(0.0), Some(0.0), Some(0.0)));
        assert_eq!(values(Fill::Previous), filled(None, Some(7.0), Some(9.0)));
    }
}
