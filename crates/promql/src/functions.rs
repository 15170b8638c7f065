//! PromQL functions by name.

use super::labels::Labels;
use crate::error::Error;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use regex::Regex;

/// Function of the samples in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    Avg,
    Sum,
    Min,
    Max,
    Count,
    First,
    Last,
    Present,
    Stddev,
    Stdvar,
    Quantile,
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Deriv,
    PredictLinear,
    Changes,
    Resets,
}

impl Over {
    /// Returns the function with this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "avg_over_time" => Self::Avg,
            "sum_over_time" => Self::Sum,
            "min_over_time" => Self::Min,
            "max_over_time" => Self::Max,
            "count_over_time" => Self::Count,
            "first_over_time" => Self::First,
            "last_over_time" => Self::Last,
            "present_over_time" => Self::Present,
            "stddev_over_time" => Self::Stddev,
            "stdvar_over_time" => Self::Stdvar,
            "quantile_over_time" => Self::Quantile,
            "rate" => Self::Rate,
            "increase" => Self::Increase,
            "delta" => Self::Delta,
            "irate" => Self::Irate,
            "idelta" => Self::Idelta,
            "deriv" => Self::Deriv,
            "predict_linear" => Self::PredictLinear,
            "changes" => Self::Changes,
            "resets" => Self::Resets,
            _ => return None,
        })
    }

    /// Returns whether the result is still a value of the metric and keeps its name.
    pub fn keeps_name(self) -> bool {
        matches!(self, Self::First | Self::Last)
    }
}

/// Function of a single value.
#[derive(Debug, Clone, Copy)]
pub enum Map {
    /// A function of the value alone.
    Plain(fn(f64) -> f64),
    /// A calendar function of a value that is a Unix time, in UTC.
    Calendar(fn(DateTime) -> f64),
    /// `round`: rounds to a multiple of 1, or of the parameter.
    Round,
    /// `clamp`.
    Clamp,
    /// `clamp_min`.
    ClampMin,
    /// `clamp_max`.
    ClampMax,
}

impl Map {
    /// Returns the function with this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "abs" => Self::Plain(f64::abs),
            "ceil" => Self::Plain(f64::ceil),
            "floor" => Self::Plain(f64::floor),
            "exp" => Self::Plain(f64::exp),
            "ln" => Self::Plain(f64::ln),
            "log2" => Self::Plain(f64::log2),
            "log10" => Self::Plain(f64::log10),
            "sqrt" => Self::Plain(f64::sqrt),
            // Unlike Rust's `signum`, the sign of zero is zero.
            "sgn" => Self::Plain(|value| if value == 0.0 { value } else { value.signum() }),
            "sin" => Self::Plain(f64::sin),
            "cos" => Self::Plain(f64::cos),
            "tan" => Self::Plain(f64::tan),
            "asin" => Self::Plain(f64::asin),
            "acos" => Self::Plain(f64::acos),
            "atan" => Self::Plain(f64::atan),
            "sinh" => Self::Plain(f64::sinh),
            "cosh" => Self::Plain(f64::cosh),
            "tanh" => Self::Plain(f64::tanh),
            "asinh" => Self::Plain(f64::asinh),
            "acosh" => Self::Plain(f64::acosh),
            "atanh" => Self::Plain(f64::atanh),
            "deg" => Self::Plain(f64::to_degrees),
            "rad" => Self::Plain(f64::to_radians),
            "minute" => Self::Calendar(|at| at.minute().into()),
            "hour" => Self::Calendar(|at| at.hour().into()),
            "day_of_week" => Self::Calendar(|at| at.weekday().to_sunday_zero_offset().into()),
            "day_of_month" => Self::Calendar(|at| at.day().into()),
            "day_of_year" => Self::Calendar(|at| at.day_of_year().into()),
            "days_in_month" => Self::Calendar(|at| at.days_in_month().into()),
            "month" => Self::Calendar(|at| at.month().into()),
            "year" => Self::Calendar(|at| at.year().into()),
            "round" => Self::Round,
            "clamp" => Self::Clamp,
            "clamp_min" => Self::ClampMin,
            "clamp_max" => Self::ClampMax,
            _ => return None,
        })
    }

    /// Applies the function to `value`; none if there is no result.
    pub fn apply(self, value: f64, parameters: &[f64]) -> Option<f64> {
        let parameter = |index: usize| parameters.get(index).copied().unwrap_or(f64::NAN);
        Some(match self {
            Self::Plain(function) => function(value),
            Self::Calendar(function) => calendar(value).map_or(f64::NAN, function),
            Self::Round => {
                // As in Prometheus: dividing by the inverse avoids rounding errors, because the inverse of 0.1 is exact.
                let inverse = 1.0 / parameters.first().copied().unwrap_or(1.0);
                (value * inverse + 0.5).floor() / inverse
            }
            Self::Clamp if parameter(0) > parameter(1) => return None,
            Self::Clamp => lesser(parameter(1), greater(parameter(0), value)),
            Self::ClampMin => greater(parameter(0), value),
            Self::ClampMax => lesser(parameter(0), value),
        })
    }
}

/// Returns the greater value; NaN if either is NaN.
fn greater(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

fn lesser(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

fn calendar(seconds: f64) -> Option<DateTime> {
    if seconds.is_nan() {
        return None;
    }
    // The cast saturates, and a saturated value is out of range of a timestamp.
    let timestamp = Timestamp::from_second(seconds as i64).ok()?;
    Some(TimeZone::UTC.to_datetime(timestamp))
}

/// Rule that derives labels from labels.
#[derive(Debug, Clone)]
pub enum LabelRule {
    /// `label_replace`.
    Replace { target: String, replacement: String, source: String, pattern: Regex },
    /// `label_join`.
    Join { target: String, separator: String, sources: Vec<String> },
}

impl LabelRule {
    /// Parses the arguments of `label_replace`: target, replacement, source, pattern.
    pub fn replace(texts: &[String]) -> Result<Self, Error> {
        let [target, replacement, source, pattern] = texts else {
            return Err(Error::BadData("label_replace takes four strings".to_owned()));
        };
        let pattern = Regex::new(&format!("^(?s:{pattern})$")).map_err(|_| {
            Error::Execution(format!("invalid regular expression in label_replace(): {pattern}"))
        })?;
        label_name(target, "label_replace")?;
        Ok(Self::Replace {
            target: target.clone(),
            replacement: replacement.clone(),
            source: source.clone(),
            pattern,
        })
    }

    /// Parses the arguments of `label_join`: target, separator, sources.
    pub fn join(texts: &[String]) -> Result<Self, Error> {
        let [target, separator, sources @ ..] = texts else {
            return Err(Error::BadData("label_join takes two strings and the names of labels".to_owned()));
        };
        label_name(target, "label_join")?;
        Ok(Self::Join { target: target.clone(), separator: separator.clone(), sources: sources.to_vec() })
    }

    /// Returns `labels` with the rule applied.
    pub fn apply(&self, labels: &Labels) -> Labels {
        let mut labels = labels.clone();
        match self {
            Self::Replace { target, replacement, source, pattern } => {
                if let Some(found) = pattern.captures(labels.get(source)) {
                    let mut value = String::new();
                    found.expand(replacement, &mut value);
                    labels.set(target, value);
                }
            }
            Self::Join { target, separator, sources } => {
                let values: Vec<&str> = sources.iter().map(|source| labels.get(source)).collect();
                let value = values.join(separator);
                labels.set(target, value);
            }
        }
        labels
    }
}

fn label_name(name: &str, function: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::Execution(format!("invalid destination label name in {function}(): {name:?}")));
    }
    Ok(())
}
