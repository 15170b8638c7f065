//! Puts the parts of a bucket together: what the rollup knows of its whole hours, and what the raw rows know of its cut
//! edges.
//!
//! Merging is associative and commutative but for the last bits of a sum, so it does not matter how a bucket was split.

use super::aggregation::Aggregation;
use super::fill::Point;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What orders points: (event time, received at, Kafka partition, offset, index in the batch). No two points share one.
/// The times are Unix milliseconds.
pub type Place = (i64, i64, i32, i64, u16);

/// What is known of some points of a bucket; at least one.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
pub struct Partial {
    /// The metric.
    pub metric_id: String,
    /// The bucket's start, Unix milliseconds.
    pub bucket: i64,
    /// How many points.
    pub points: u64,
    /// Their sum.
    pub total: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
    /// The value of the latest.
    pub last_value: f64,
    /// Where the latest is.
    pub last_place: Place,
    /// [`super::aggregation::QUANTILES`], or none of them. They cannot be merged: a bucket has one part then.
    pub quantiles: Vec<f64>,
}

impl Partial {
    /// Takes in what `other` knows of other points.
    pub fn absorb(&mut self, other: Self) {
        self.points += other.points;
        self.total += other.total;
        self.least = self.least.min(other.least);
        self.greatest = self.greatest.max(other.greatest);
        if other.last_place > self.last_place {
            self.last_place = other.last_place;
            self.last_value = other.last_value;
        }
    }

    /// The number that its points make; not finite if no double holds it.
    pub fn value(&self, aggregation: Aggregation) -> f64 {
        // Counts stay far below 2^53.
        let points = self.points as f64;
        match aggregation {
            Aggregation::Avg => self.total / points,
            Aggregation::Sum => self.total,
            Aggregation::Min => self.least,
            Aggregation::Max => self.greatest,
            Aggregation::Count => points,
            Aggregation::Last => self.last_value,
            Aggregation::P50 | Aggregation::P90 | Aggregation::P99 => {
                let place = aggregation.quantile().and_then(|place| self.quantiles.get(place));
                place.copied().unwrap_or(f64::NAN)
            }
        }
    }
}

/// One point for each bucket that `parts` of one metric have, ascending. A sum that no double holds has no value.
pub fn merge(parts: impl IntoIterator<Item = Partial>, aggregation: Aggregation) -> Vec<Point> {
    let mut buckets: BTreeMap<i64, Partial> = BTreeMap::new();
    for part in parts {
        match buckets.entry(part.bucket) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(part);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().absorb(part),
        }
    }
    let point = |(timestamp, part): (i64, Partial)| {
        let value = part.value(aggregation);
        Point { timestamp, value: value.is_finite().then_some(value), count: part.points }
    };
    buckets.into_iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The part of one point.
    fn single(bucket: i64, value: f64, place: Place) -> Partial {
        Partial {
            metric_id: "m".to_owned(),
            bucket,
            points: 1,
            total: value,
            least: value,
            greatest: value,
            last_value: value,
            last_place: place,
            quantiles: Vec::new(),
        }
    }

    fn points() -> impl Strategy<Value = Vec<(i64, i32, Place)>> {
        let place = (0i64..5, 0i64..3, 0i32..2, any::<i64>(), any::<u16>());
        prop::collection::vec((0i64..4, -1000i32..1000, place), 1..60)
    }

    proptest! {
        #[test]
        fn however_a_bucket_was_split_its_parts_merge_to_what_its_points_say(points in points()) {
            for aggregation in [Aggregation::Avg, Aggregation::Sum, Aggregation::Min, Aggregation::Max, Aggregation::Count, Aggregation::Last] {
                let parts = points.iter().map(|&(bucket, value, place)| single(bucket, value.into(), place));
                let merged = merge(parts, aggregation);
                for point in &merged {
                    let own: Vec<_> = points.iter().filter(|(bucket, ..)| *bucket == point.timestamp).collect();
                    // Whole numbers: their sums are exact in any order.
                    let values: Vec<f64> = own.iter().map(|(_, value, _)| f64::from(*value)).collect();
                    let sum: f64 = values.iter().sum();
                    let expected = match aggregation {
                        Aggregation::Avg => sum / values.len() as f64,
                        Aggregation::Sum => sum,
                        Aggregation::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
                        Aggregation::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                        Aggregation::Last => own.iter().max_by_key(|(_, _, place)| *place).map_or(f64::NAN, |(_, value, _)| f64::from(*value)),
                        _ => values.len() as f64,
                    };
                    prop_assert_eq!(point.value, Some(expected));
                    prop_assert_eq!(point.count, own.len() as u64);
                }
            }
        }
    }

    #[test]
    fn a_sum_that_no_double_holds_has_no_value() {
        let parts = [single(0, f64::MAX, (0, 0, 0, 0, 0)), single(0, f64::MAX, (1, 0, 0, 1, 0))];
        let points = merge(parts.clone(), Aggregation::Sum);
        assert_eq!((points[0].value, points[0].count), (None, 2));
        assert_eq!(merge(parts, Aggregation::Max)[0].value, Some(f64::MAX));
    }
}
