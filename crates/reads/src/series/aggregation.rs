//! Aggregations of the points of a bucket.

use service::wire_enum;

wire_enum! {
    /// Function that aggregates the points of a bucket into one number.
    pub enum Aggregation {
        /// The arithmetic mean.
        Avg = "avg",
        /// The sum.
        Sum = "sum",
        /// The minimum.
        Min = "min",
        /// The maximum.
        Max = "max",
        /// The number of points.
        Count = "count",
        /// The latest by event time; among points with the same event time, the one that was received last.
        Last = "last",
        /// The median.
        P50 = "p50",
        /// The 90th percentile.
        P90 = "p90",
        /// The 99th percentile.
        P99 = "p99",
    }
}

/// Quantiles that are supported.
pub const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

impl Aggregation {
    /// Returns whether the result always lies between two of the aggregated values, so that a double holds it
    /// even where it does not hold their sum or difference.
    pub fn is_within_values(self) -> bool {
        self == Self::Avg || self.quantile_index().is_some()
    }

    /// Returns the index into [`QUANTILES`] if this is a quantile. Quantiles are computed from all points and
    /// interpolated between the two nearest (the median of 1 and 2 is 1.5), never from a sketch.
    pub fn quantile_index(self) -> Option<usize> {
        match self {
            Self::P50 => Some(0),
            Self::P90 => Some(1),
            Self::P99 => Some(2),
            Self::Avg | Self::Sum | Self::Min | Self::Max | Self::Count | Self::Last => None,
        }
    }
}
