//! The rules for the parts of a metric, each one a yes or no, and the sentence for a no.
//!
//! The fast pass only asks the questions; the slow pass asks the same and explains. Neither has rules of its own.

use crate::fault::Code;
use std::borrow::Cow;

/// The most metrics that a batch may hold.
pub const METRICS_LIMIT: usize = 100;
/// How far ahead of our clock a timestamp may be, in milliseconds.
pub const AHEAD_MS: i64 = 60_000;
/// The earliest timestamp: 2000-01-01T00:00:00Z, in Unix milliseconds.
pub const EARLIEST_MS: i64 = 946_684_800_000;

/// 1 to 128 of `A-Z a-z 0-9 _ . : -`, the first a letter, digit or `_`.
pub fn is_metric_id(id: &str) -> bool {
    let bytes = id.as_bytes();
    let (Some(first), 1..=128) = (bytes.first(), bytes.len()) else { return false };
    !matches!(first, b'.' | b':' | b'-') && bytes.iter().all(|byte| IN_ID[usize::from(*byte)])
}

/// Which bytes an id may hold.
const IN_ID: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let at = byte as u8;
        table[byte] = at.is_ascii_alphanumeric() || matches!(at, b'_' | b'.' | b':' | b'-');
        byte += 1;
    }
    table
};

/// 1 to 200 characters, no control characters.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && is_text(name, 200)
}

/// Up to 32 characters, no control characters.
pub fn is_unit(unit: &str) -> bool {
    is_text(unit, 32)
}

/// Up to `limit` characters, no control characters.
fn is_text(text: &str, limit: usize) -> bool {
    // Nearly every text is short and plain.
    if text.len() <= limit && text.bytes().all(|byte| matches!(byte, 0x20..0x7f)) {
        return true;
    }
    // No character takes more than four bytes: what is far too long is not counted.
    text.len() <= 4 * limit && text.chars().count() <= limit && !text.chars().any(char::is_control)
}

/// Not before [`EARLIEST_MS`], not more than [`AHEAD_MS`] ahead of `now_ms`.
pub fn is_timestamp(timestamp_ms: i64, now_ms: i64) -> bool {
    timestamp_ms >= EARLIEST_MS && timestamp_ms <= now_ms.saturating_add(AHEAD_MS)
}

/// A broken rule and the sentence about it.
pub type Broken = (Code, Cow<'static, str>);

/// What to say about an id that is none.
pub fn bad_metric_id() -> Broken {
    let message = "must be 1 to 128 of A-Z a-z 0-9 _ . : - and begin with a letter, a digit or _";
    (Code::BadMetricId, message.into())
}

/// What to say about a name that is none.
pub fn bad_name() -> Broken {
    (Code::BadName, "must be 1 to 200 characters without control characters".into())
}

/// What to say about a unit that is none.
pub fn bad_unit() -> Broken {
    (Code::BadUnit, "must be at most 32 characters without control characters".into())
}

/// What to say about a timestamp that is not allowed. `timestamp` may be beyond 64 bits.
pub fn bad_timestamp(timestamp: f64, now_ms: i64) -> Broken {
    let hint = looks_like(timestamp, now_ms).unwrap_or_default();
    if timestamp < EARLIEST_MS as f64 {
        (Code::TooOld, format!("must not be before 2000-01-01, in Unix milliseconds{hint}").into())
    } else {
        (
            Code::InTheFuture,
            format!("must not be more than 60 seconds ahead of now ({now_ms}), in Unix milliseconds{hint}")
                .into(),
        )
    }
}

/// What to say about a number with a fraction where a timestamp should be.
pub fn fractional_timestamp(timestamp: f64, now_ms: i64) -> Broken {
    let hint = looks_like(timestamp, now_ms).unwrap_or_default();
    (Code::NotAnInteger, format!("must be an integer of Unix milliseconds{hint}").into())
}

/// Whether `timestamp` would be a sensible time in another unit than milliseconds: between 2000 and ten years from now.
fn looks_like(timestamp: f64, now_ms: i64) -> Option<&'static str> {
    const TEN_YEARS_MS: f64 = 10.0 * 366.0 * 86_400_000.0;
    let sensible = EARLIEST_MS as f64..now_ms as f64 + TEN_YEARS_MS;
    let as_if = |milliseconds: f64| sensible.contains(&milliseconds);
    match () {
        () if as_if(timestamp) => None,
        () if as_if(timestamp * 1e3) => Some("; this looks like seconds: multiply by 1000"),
        () if as_if(timestamp / 1e3) => Some("; this looks like microseconds: divide by 1000"),
        () if as_if(timestamp / 1e6) => Some("; this looks like nanoseconds: divide by 1000000"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000_000;

    #[test]
    fn an_id_is_short_ascii_and_begins_with_a_letter_a_digit_or_an_underscore() {
        for good in ["a", "_", "0", "daily_signups", "api.response:time-p99", &"x".repeat(128)] {
            assert!(is_metric_id(good), "{good}");
        }
        for bad in ["", ".a", "-a", ":a", "a b", "ä", "a\0", "a/b", &"x".repeat(129)] {
            assert!(!is_metric_id(bad), "{bad}");
        }
    }

    #[test]
    fn names_and_units_are_counted_in_characters() {
        assert!(is_name("é") && is_name(&"é".repeat(200)) && is_name(&"😀".repeat(200)));
        assert!(!is_name("") && !is_name(&"a".repeat(201)) && !is_name("a\u{7f}") && !is_name("a\u{85}"));
        assert!(is_unit("") && is_unit(&"😀".repeat(32)) && !is_unit(&"a".repeat(33)) && !is_unit("\t"));
    }

    #[test]
    fn a_timestamp_may_be_sixty_seconds_ahead_and_not_before_2000() {
        assert!(is_timestamp(NOW + 60_000, NOW) && !is_timestamp(NOW + 60_001, NOW));
        assert!(is_timestamp(EARLIEST_MS, NOW) && !is_timestamp(EARLIEST_MS - 1, NOW));
        assert!(!is_timestamp(i64::MAX, NOW) && !is_timestamp(i64::MIN, NOW));
    }

    #[test]
    fn a_timestamp_in_another_unit_is_recognised() {
        let message = |timestamp| bad_timestamp(timestamp, NOW).1;
        assert!(message(NOW as f64 / 1e3).contains("seconds: multiply"));
        assert!(message(NOW as f64 * 1e3).contains("microseconds"));
        assert!(message(NOW as f64 * 1e6).contains("nanoseconds"));
        for plain in [0.0, 12.0, f64::INFINITY, f64::NEG_INFINITY, NOW as f64 + 3_600_000.0] {
            assert!(!message(plain).contains("looks like"), "{plain}");
        }
        assert!(fractional_timestamp(1_790_000_000.25, NOW).1.contains("seconds: multiply"));
    }
}
