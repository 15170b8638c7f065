//! The condition of a rule, and the window that it is evaluated over.

use proto::v1::Alert;
use reads::series::aggregation::Aggregation;
use service::wire_enum;
use service::wire_enum::WireEnum;

wire_enum! {
    /// Comparison of a value with the threshold.
    pub enum Operator {
        /// Less than.
        Less = "<",
        /// Greater than.
        Greater = ">",
        /// Less than or equal.
        AtMost = "<=",
        /// Greater than or equal.
        AtLeast = ">=",
        /// Equal as a double.
        Equal = "==",
        /// Not equal as a double.
        Unequal = "!=",
    }
}

wire_enum! {
    /// Length of the window that ends at the time of the evaluation.
    pub enum Window {
        /// Five minutes.
        FiveMinutes = "5m",
        /// A quarter of an hour.
        QuarterHour = "15m",
        /// An hour.
        Hour = "1h",
        /// 24 hours.
        Day = "24h",
        /// Seven times 24 hours.
        Week = "7d",
        /// Thirty times 24 hours.
        Month = "30d",
    }
}

wire_enum! {
    /// Effect of a window without points.
    pub enum NoData {
        /// None: the rule keeps its state.
        Ignore = "ignore",
        /// The rule changes to the state `no_data`, and its channels are notified.
        Fire = "fire",
    }
}

impl Operator {
    /// Returns whether `value operator threshold` is true.
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Less => value < threshold,
            Self::Greater => value > threshold,
            Self::AtMost => value <= threshold,
            Self::AtLeast => value >= threshold,
            Self::Equal => value == threshold,
            Self::Unequal => value != threshold,
        }
    }
}

impl Window {
    /// Returns the length in milliseconds.
    pub fn length_ms(self) -> i64 {
        const MINUTE: i64 = 60_000;
        match self {
            Self::FiveMinutes => 5 * MINUTE,
            Self::QuarterHour => 15 * MINUTE,
            Self::Hour => 60 * MINUTE,
            Self::Day => 24 * 60 * MINUTE,
            Self::Week => 7 * 24 * 60 * MINUTE,
            Self::Month => 30 * 24 * 60 * MINUTE,
        }
    }
}

/// Condition of a rule, which determines its state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Condition {
    /// Aggregation of the window's points to one value.
    pub aggregation: Aggregation,
    /// Comparison of the value with the threshold.
    pub operator: Operator,
    /// The threshold.
    pub threshold: f64,
    /// The window.
    pub window: Window,
    /// Effect of a window without points. With the aggregation `count` such a window has the value 0.
    pub no_data: NoData,
}

impl Condition {
    /// Returns the condition of `alert`; none if it has a value that this version does not know.
    pub fn of(alert: &Alert) -> Option<Self> {
        Some(Self {
            aggregation: Aggregation::parse(&alert.aggregation)?,
            operator: Operator::parse(&alert.operator)?,
            threshold: alert.threshold,
            window: Window::parse(&alert.range)?,
            no_data: NoData::parse(&alert.no_data)?,
        })
    }
}
