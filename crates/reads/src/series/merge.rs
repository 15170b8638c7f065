//! Puts the parts of a bucket together: its cells, or what the rollup knows of its whole hours, and what the raw rows know
//! of its cut edges.
//!
//! Merging is associative and commutative but for the last bits of a sum, so it does not matter how a bucket was split.

use super::aggregation::Aggregation;
use super::fill::Point;
use super::query::SCALE;

/// What orders points: (event time, received at, Kafka partition, offset, index in the batch). No two points share one.
/// The times are Unix milliseconds.
pub type Place = (i64, i64, i32, i64, u16);

/// What is known of some points of a bucket; at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Partial {
    /// The start of the bucket or of its cell, Unix milliseconds.
    pub bucket: i64,
    /// How many points.
    pub points: u64,
    /// What else, by the [`super::query::Kind`] that was asked for.
    pub known: Known,
}

/// What is known of points beside their number.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// What adds up.
    Sums {
        /// Their sum.
        total: f64,
        /// The least.
        least: f64,
        /// The greatest.
        greatest: f64,
    },
    /// The latest.
    Last {
        /// Its value.
        value: f64,
        /// Where it is. Few ask for it, and all would carry its room.
        place: Box<Place>,
    },
    /// [`super::aggregation::QUANTILES`]. They cannot be merged: a bucket has one part then.
    Quantiles(Vec<f64>),
}

impl Partial {
    /// Takes in what `other` knows of other points.
    pub fn absorb(&mut self, other: &Self) {
        self.points += other.points;
        match (&mut self.known, &other.known) {
            (
                Known::Sums { total, least, greatest },
                Known::Sums { total: more, least: other_least, greatest: other_greatest },
            ) => {
                *total += more;
                *least = least.min(*other_least);
                *greatest = greatest.max(*other_greatest);
            }
            (Known::Last { value, place }, Known::Last { value: other_value, place: other_place })
                if other_place > place =>
            {
                *value = *other_value;
                place.clone_from(other_place);
            }
            // Of two last points the later stays; one statement asks for one kind, and quantiles come from one part.
            _ => {}
        }
    }

    /// Returns whether the sum, or the difference of two values that a quantile lies between, is not a finite double.
    pub fn overflows(&self) -> bool {
        match &self.known {
            Known::Sums { total, .. } => !total.is_finite(),
            Known::Quantiles(quantiles) => quantiles.iter().any(|quantile| !quantile.is_finite()),
            Known::Last { .. } => false,
        }
    }

    /// The average or a quantile of its points, where their total and quantiles were divided by [`SCALE`].
    pub fn scaled_value(&self, aggregation: Aggregation) -> Option<f64> {
        let value = self.value(aggregation);
        let (least, greatest) = match self.known {
            Known::Sums { least, greatest, .. } => (least, greatest),
            _ => (f64::MIN, f64::MAX),
        };
        // Rounding must not carry it beyond what a double holds.
        value.is_finite().then(|| (value * SCALE).max(least).min(greatest))
    }

    /// The number that its points make; not finite if no double holds it, or it was not asked for.
    pub fn value(&self, aggregation: Aggregation) -> f64 {
        // Counts stay far below 2^53.
        let points = self.points as f64;
        match (aggregation, &self.known) {
            (Aggregation::Count, _) => points,
            (Aggregation::Avg, Known::Sums { total, .. }) => total / points,
            (Aggregation::Sum, Known::Sums { total, .. }) => *total,
            (Aggregation::Min, Known::Sums { least, .. }) => *least,
            (Aggregation::Max, Known::Sums { greatest, .. }) => *greatest,
            (Aggregation::Last, Known::Last { value, .. }) => *value,
            (_, Known::Quantiles(quantiles)) => {
                let place = aggregation.quantile().and_then(|place| quantiles.get(place));
                place.copied().unwrap_or(f64::NAN)
            }
            _ => f64::NAN,
        }
    }
}

/// One point for each of the buckets that begin at `starts` of which there are `parts`, all of one metric. Both ascend, but
/// for parts of one bucket. A sum that no double holds has no value.
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
    let mut begun: Option<(i64, Partial)> = None;
    let (mut start, mut following) = (i64::MIN, starts.iter().copied().peekable());
    for part in parts {
        while let Some(next) = following.next_if(|next| *next <= part.bucket) {
            start = next;
        }
        match &mut begun {
            Some((of, whole)) if *of == start => whole.absorb(part),
            _ => points.extend(begun.replace((start, part.clone())).map(point)),
        }
    }
    points.extend(begun.map(point));
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The part of one point.
    fn single(bucket: i64, value: f64, place: Place, aggregation: Aggregation) -> Partial {
        let known = match aggregation {
            Aggregation::Last => Known::Last { value, place: Box::new(place) },
            _ => Known::Sums { total: value, least: value, greatest: value },
        };
        Partial { bucket, points: 1, known }
    }

    fn points() -> impl Strategy<Value = Vec<(i64, i32, Place)>> {
        let place = (0i64..5, 0i64..3, 0i32..2, any::<i64>(), any::<u16>());
        prop::collection::vec((0i64..4, -1000i32..1000, place), 1..60)
    }

    proptest! {
        #[test]
        fn however_a_bucket_was_split_its_parts_merge_to_what_its_points_say(points in points()) {
            for aggregation in [Aggregation::Avg, Aggregation::Sum, Aggregation::Min, Aggregation::Max, Aggregation::Count, Aggregation::Last] {
                let mut parts: Vec<Partial> = points.iter().map(|&(bucket, value, place)| single(bucket, value.into(), place, aggregation)).collect();
                parts.sort_by_key(|part| part.bucket);
                let merged = merge(&[0, 1, 2, 3], &parts, aggregation);
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
        let parts = [0, 1].map(|index| single(0, f64::MAX, (index, 0, 0, index, 0), Aggregation::Sum));
        let points = merge(&[0], &parts, Aggregation::Sum);
        assert_eq!((points[0].value, points[0].count), (None, 2));
        assert_eq!(merge(&[0], &parts, Aggregation::Max)[0].value, Some(f64::MAX));
    }

    #[test]
    fn the_average_of_a_sum_that_no_double_holds_is_of_its_total_divided() {
        let whole = |total: f64, points| {
            let known = Known::Sums { total: total / SCALE, least: -f64::MAX, greatest: f64::MAX };
            Partial { bucket: 0, points, known }
        };
        assert_eq!(whole(1.0e300, 4).scaled_value(Aggregation::Avg), Some(2.5e299));
        let known = Known::Sums { total: f64::MAX / SCALE * 3.0, least: f64::MAX, greatest: f64::MAX };
        assert_eq!(Partial { bucket: 0, points: 3, known }.scaled_value(Aggregation::Avg), Some(f64::MAX));
    }
}
