//! Converts the text of a JSON number to the nearest double or to an integer.

/// A JSON number, read as an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integer {
    /// An integer that fits in 64 bits.
    Value(i64),
    /// An integer too large for 64 bits.
    TooLarge,
    /// An integer too small for 64 bits.
    TooSmall,
    /// Not an integer.
    Fraction,
}

/// Returns the double nearest to a JSON number, or `None` if it overflows.
pub fn to_double(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Reads a JSON number as an integer, by its digits alone and without rounding. `1e3`, `1500e-2` and `1.0`
/// are integers.
pub fn to_integer(text: &str) -> Integer {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Integer::Value(0);
    }
    let trailing = digits.len() - digits.trim_end_matches('0').len();
    // Number of zeros that follow the significant digits. An exponent of any length saturates.
    let zeros =
        parse_exponent(exponent).saturating_add(trailing as i64).saturating_sub(fraction.len() as i64);
    if zeros < 0 {
        return Integer::Fraction;
    }
    let value = u32::try_from(zeros)
        .ok()
        .and_then(|zeros| 10i128.checked_pow(zeros))
        .and_then(|power| significant.parse::<i128>().ok()?.checked_mul(power))
        .map(|magnitude| if negative { -magnitude } else { magnitude })
        .and_then(|value| i64::try_from(value).ok());
    match value {
        Some(value) => Integer::Value(value),
        None if negative => Integer::TooSmall,
        None => Integer::TooLarge,
    }
}

fn parse_exponent(exponent: &str) -> i64 {
    exponent.parse().unwrap_or(if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_recognised_by_value_not_notation() {
        for (text, expected) in [
            ("0", Integer::Value(0)),
            ("-0", Integer::Value(0)),
            ("0.000e-999999999999999999999", Integer::Value(0)),
            ("1790000000000", Integer::Value(1_790_000_000_000)),
            ("1790000000000.0", Integer::Value(1_790_000_000_000)),
            ("1.79e12", Integer::Value(1_790_000_000_000)),
            ("1.79E+12", Integer::Value(1_790_000_000_000)),
            ("1790000000000000e-3", Integer::Value(1_790_000_000_000)),
            ("1790000000000.5", Integer::Fraction),
            ("1790000000000.00000000000000000000000000001", Integer::Fraction),
            ("1e-1", Integer::Fraction),
            ("1e-999999999999999999999", Integer::Fraction),
            ("9223372036854775807", Integer::Value(i64::MAX)),
            ("9223372036854775808", Integer::TooLarge),
            ("-9223372036854775808", Integer::Value(i64::MIN)),
            ("-9223372036854775809", Integer::TooSmall),
            ("1e400", Integer::TooLarge),
            ("-1e999999999999999999999", Integer::TooSmall),
            ("100000000000000000000000000000000000000000000000000", Integer::TooLarge),
        ] {
            assert_eq!(to_integer(text), expected, "{text}");
        }
    }
}
