//! How the points of a bucket become one number.

use service::wire_enum;

wire_enum! {
    /// How the points of a bucket become one number.
    pub enum Aggregation {
        /// The arithmetic mean.
        Avg = "avg",
        /// The sum.
        Sum = "sum",
        /// The least.
        Min = "min",
        /// The greatest.
        Max = "max",
        /// How many there are.
        Count = "count",
        /// The latest by event time; of several at one moment the one that was received last.
        Last = "last",
        /// The median.
        P50 = "p50",
        /// The 90th percentile.
        P90 = "p90",
        /// The 99th percentile.
        P99 = "p99",
    }
}

/// The quantiles that can be asked for.
pub const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

impl Aggregation {
    /// Returns whether the result always lies between two of the aggregated values, so that a double holds it even where
    /// it does not hold their sum or difference.
    pub fn is_within_values(self) -> bool {
        self == Self::Avg || self.quantile().is_some()
    }

    /// Its place in [`QUANTILES`], if it is one. Quantiles are computed from every point, interpolated between the two
    /// nearest (the median of 1 and 2 is 1.5), never from a sketch.
    pub fn quantile(self) -> Option<usize> {
        match self {
            Self::P50 => Some(0),
            Self::P90 => Some(1),
            Self::P99 => Some(2),
            Self::Avg | Self::Sum | Self::Min | Self::Max | Self::Count | Self::Last => None,
        }
    }
}
