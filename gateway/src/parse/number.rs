//! What the text of a JSON number means: the nearest double, or the integer that it is.

/// The integer that a number is, if it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integer {
    /// Within 64 bits.
    Is(i64),
    /// An integer too large for 64 bits.
    TooLarge,
    /// An integer too small for 64 bits.
    TooSmall,
    /// It has a fraction.
    Fraction,
}

/// The double nearest to a JSON number; none if it overflows.
pub fn double(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Whether a JSON number is an integer, which `1e3`, `1500e-2` and `1.0` are, decided on its digits alone.
pub fn integer(text: &str) -> Integer {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Integer::Is(0);
    }
    let trailing = digits.len() - digits.trim_end_matches('0').len();
    // How many zeros follow the significant digits; an exponent of any length saturates.
    let zeros = scale(exponent).saturating_add(trailing as i64).saturating_sub(fraction.len() as i64);
    if zeros < 0 {
        return Integer::Fraction;
    }
    let magnitude = u32::try_from(zeros)
        .ok()
        .and_then(|zeros| 10i128.checked_pow(zeros))
        .and_then(|power| significant.parse::<i128>().ok()?.checked_mul(power))
        .map(|magnitude| if negative { -magnitude } else { magnitude })
        .and_then(|value| i64::try_from(value).ok());
    match magnitude {
        Some(value) => Integer::Is(value),
        None if negative => Integer::TooSmall,
        None => Integer::TooLarge,
    }
}

fn scale(exponent: &str) -> i64 {
    exponent.parse().unwrap_or(if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_an_integer_by_its_value_and_not_by_its_spelling() {
        for (text, expected) in [
            ("0", Integer::Is(0)),
            ("-0", Integer::Is(0)),
            ("0.000e-999999999999999999999", Integer::Is(0)),
            ("1790000000000", Integer::Is(1_790_000_000_000)),
            ("1790000000000.0", Integer::Is(1_790_000_000_000)),
            ("1.79e12", Integer::Is(1_790_000_000_000)),
            ("1.79E+12", Integer::Is(1_790_000_000_000)),
            ("1790000000000000e-3", Integer::Is(1_790_000_000_000)),
            ("1790000000000.5", Integer::Fraction),
            ("1790000000000.00000000000000000000000000001", Integer::Fraction),
            ("1e-1", Integer::Fraction),
            ("1e-999999999999999999999", Integer::Fraction),
            ("9223372036854775807", Integer::Is(i64::MAX)),
            ("9223372036854775808", Integer::TooLarge),
            ("-9223372036854775808", Integer::Is(i64::MIN)),
            ("-9223372036854775809", Integer::TooSmall),
            ("1e400", Integer::TooLarge),
            ("-1e999999999999999999999", Integer::TooSmall),
            ("100000000000000000000000000000000000000000000000000", Integer::TooLarge),
        ] {
            assert_eq!(integer(text), expected, "{text}");
        }
    }
}
