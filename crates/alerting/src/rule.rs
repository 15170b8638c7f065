//! A rule: when it holds, and over which window.

use proto::v1::Alert;
use reads::series::aggregation::Aggregation;
use service::wire_enum;
use service::wire_enum::WireEnum;

wire_enum! {
    /// How a value is compared with the threshold.
    pub enum Operator {
        /// Less than.
        Less = "<",
        /// Greater than.
        Greater = ">",
        /// Not greater than.
        AtMost = "<=",
        /// Not less than.
        AtLeast = ">=",
        /// The same double.
        Equal = "==",
        /// Another double.
        Unequal = "!=",
    }
}

wire_enum! {
    /// How far back a rule looks from the moment of its evaluation.
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
    /// What a window without points means.
    pub enum NoData {
        /// Nothing: the rule stays in the state that it is in.
        Ignore = "ignore",
        /// The rule goes to the state `no_data`, and its channels are told.
        Fire = "fire",
    }
}

impl Operator {
    /// Whether `value operator threshold` is true.
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
    /// Its length in milliseconds.
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

/// What decides in which state a rule is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Condition {
    /// How the points of the window become one number.
    pub aggregation: Aggregation,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub threshold: f64,
    /// Over which window.
    pub window: Window,
    /// What a window without points means. The count of no points is 0, not nothing.
    pub no_data: NoData,
}

impl Condition {
    /// The condition of `alert`; none if it has a word that this version does not know.
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
