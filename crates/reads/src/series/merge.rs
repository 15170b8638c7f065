//! Merges the parts of a bucket: its cells, or the rollup's aggregates of its whole hours, and the raw rows'
//! aggregates of its partial hours.
//!
//! Merging is associative and commutative except for the last bits of a sum, so the result does not depend on
//! how a bucket was split.

use super::aggregation::Aggregation;
use super::fill::Point;
use super::query::SCALE;

/// Sort key of a point: event time, received time, Kafka partition, offset, index in the batch. It is unique.
/// The times are Unix milliseconds.
pub type PointPosition = (i64, i64, i32, i64, u16);

/// Aggregates of some points of a bucket; at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Partial {
    /// Start of the bucket or of its cell, Unix milliseconds.
    pub bucket: i64,
    /// Number of points.
    pub points: u64,
    /// Aggregates of the [`super::query::Kind`] that was read.
    pub aggregates: Aggregates,
}

/// Aggregates of points, except their number.
#[derive(Debug, Clone, PartialEq)]
pub enum Aggregates {
    /// Sum, minimum and maximum.
    Sums {
        /// The sum.
        total: f64,
        /// The minimum.
        min: f64,
        /// The maximum.
        max: f64,
    },
    /// The latest point.
    Last {
        /// Its value.
        value: f64,
        /// Its position. Boxed, because few series need it and it would enlarge every variant.
        position: Box<PointPosition>,
    },
    /// [`super::aggregation::QUANTILES`]. They cannot be merged, so a bucket has only one part.
    Quantiles(Vec<f64>),
}

impl Partial {
    /// Adds the aggregates of other points.
    pub fn absorb(&mut self, other: &Self) {
        self.points += other.points;
        match (&mut self.aggregates, &other.aggregates) {
            (
                Aggregates::Sums { total, min, max },
                Aggregates::Sums { total: other_total, min: other_min, max: other_max },
            ) => {
                *total += other_total;
                *min = min.min(*other_min);
                *max = max.max(*other_max);
            }
            (
                Aggregates::Last { value, position },
                Aggregates::Last { value: other_value, position: other_position },
            ) if other_position > position => {
                *value = *other_value;
                position.clone_from(other_position);
            }
            // The later of two last points stays. All parts are of one kind, and quantiles come from one part.
            _ => {}
        }
    }

    /// Returns whether the sum, or the difference of two values that a quantile lies between, is not a finite
    /// double.
    pub fn overflows(&self) -> bool {
        match &self.aggregates {
            Aggregates::Sums { total, .. } => !total.is_finite(),
            Aggregates::Quantiles(quantiles) => quantiles.iter().any(|quantile| !quantile.is_finite()),
            Aggregates::Last { .. } => false,
        }
    }

    /// Returns the average or a quantile of parts whose totals and quantiles were divided by [`SCALE`];
    /// `None` if it is not finite.
    pub fn scaled_value(&self, aggregation: Aggregation) -> Option<f64> {
        let value = self.value(aggregation);
        let (min, max) = match self.aggregates {
            Aggregates::Sums { min, max, .. } => (min, max),
            _ => (f64::MIN, f64::MAX),
        };
        // Rounding must not make it infinite.
        value.is_finite().then(|| (value * SCALE).max(min).min(max))
    }

    /// Returns the aggregated value; not finite if no double can represent it, or if it is of another kind.
    pub fn value(&self, aggregation: Aggregation) -> f64 {
        // Counts stay far below 2^53.
        let points = self.points as f64;
        match (aggregation, &self.aggregates) {
            (Aggregation::Count, _) => points,
            (Aggregation::Avg, Aggregates::Sums { total, .. }) => total / points,
            (Aggregation::Sum, Aggregates::Sums { total, .. }) => *total,
            (Aggregation::Min, Aggregates::Sums { min, .. }) => *min,
            (Aggregation::Max, Aggregates::Sums { max, .. }) => *max,
            (Aggregation::Last, Aggregates::Last { value, .. }) => *value,
            (_, Aggregates::Quantiles(quantiles)) => {
                let quantile = aggregation.quantile_index().and_then(|index| quantiles.get(index));
                quantile.copied().unwrap_or(f64::NAN)
            }
            _ => f64::NAN,
        }
    }
}

/// Merges the parts of one metric to one point per bucket. `starts`: starts of all buckets. Both are
/// ascending, except that parts of one bucket may be in any order. Buckets without parts get no point. A
/// value that no double can represent is absent.
pub fn merge<'a>(
    starts: &[i64],
    parts: impl IntoIterator<Item = &'a Partial>,
    aggregation: Aggregation,
) -> Vec<Point> {
    let point = |(timestamp, part): (i64, Partial)| {
        let value = part.value(aggregation);
        Point { timestamp, value: value.is_finite().then_some(value), count: part.points }
    };
    let mut points = Vec::with_capacity(starts.len());
    let mut current: Option<(i64, Partial)> = None;
    let (mut start, mut following) = (i64::MIN, starts.iter().copied().peekable());
    for part in parts {
        while let Some(next) = following.next_if(|next| *next <= part.bucket) {
            start = next;
        }
        match &mut current {
            Some((bucket, whole)) if *bucket == start => whole.absorb(part),
            _ => points.extend(current.replace((start, part.clone())).map(point)),
        }
    }
    points.extend(current.map(point));
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the part of one point.
    fn single(bucket: i64, value: f64, position: PointPosition, aggregation: Aggregation) -> Partial {
        let aggregates = match aggregation {
            Aggregation::Last => Aggregates::Last { value, position: Box::new(position) },
            _ => Aggregates::Sums { total: value, min: value, max: value },
        };
        Partial { bucket, points: 1, aggregates }
    }

    fn points() -> impl Strategy<Value = Vec<(i64, i32, PointPosition)>> {
        let position = (0i64..5, 0i64..3, 0i32..2, any::<i64>(), any::<u16>());
        prop::collection::vec((0i64..4, -1000i32..1000, position), 1..60)
    }

    proptest! {
        #[test]
        fn merged_parts_equal_the_aggregate_of_their_points(points in points()) {
            for aggregation in [Aggregation::Avg, Aggregation::Sum, Aggregation::Min, Aggregation::Max, Aggregation::Count, Aggregation::Last] {
                let mut parts: Vec<Partial> = points.iter().map(|&(bucket, value, position)| single(bucket, value.into(), position, aggregation)).collect();
                parts.sort_by_key(|part| part.bucket);
                let merged = merge(&[0, 1, 2, 3], &parts, aggregation);
                for point in &merged {
                    let in_bucket: Vec<_> = points.iter().filter(|(bucket, ..)| *bucket == point.timestamp).collect();
                    // Sums of whole numbers are exact in any order.
                    let values: Vec<f64> = in_bucket.iter().map(|(_, value, _)| f64::from(*value)).collect();
                    let sum: f64 = values.iter().sum();
                    let expected = match aggregation {
                        Aggregation::Avg => sum / values.len() as f64,
                        Aggregation::Sum => sum,
                        Aggregation::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
                        Aggregation::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                        Aggregation::Last => in_bucket.iter().max_by_key(|(_, _, position)| *position).map_or(f64::NAN, |(_, value, _)| f64::from(*value)),
                        _ => values.len() as f64,
                    };
                    prop_assert_eq!(point.value, Some(expected));
                    prop_assert_eq!(point.count, in_bucket.len() as u64);
                }
            }
        }
    }

    #[test]
    fn overflowing_sum_has_no_value() {
        let parts = [0, 1].map(|index| single(0, f64::MAX, (index, 0, 0, index, 0), Aggregation::Sum));
        let points = merge(&[0], &parts, Aggregation::Sum);
        assert_eq!((points[0].value, points[0].count), (None, 2));
        assert_eq!(merge(&[0], &parts, Aggregation::Max)[0].value, Some(f64::MAX));
    }

    #[test]
    fn average_of_an_overflowing_sum_comes_from_the_scaled_total() {
        let whole = |total: f64, points| {
            let aggregates = Aggregates::Sums { total: total / SCALE, min: -f64::MAX, max: f64::MAX };
            Partial { bucket: 0, points, aggregates }
        };
        assert_eq!(whole(1.0e300, 4).scaled_value(Aggregation::Avg), Some(2.5e299));
        let aggregates = Aggregates::Sums { total: f64::MAX / SCALE * 3.0, min: f64::MAX, max: f64::MAX };
        assert_eq!(
            Partial { bucket: 0, points: 3, aggregates }.scaled_value(Aggregation::Avg),
            Some(f64::MAX)
        );
    }
}
