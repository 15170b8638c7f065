//! The rules for the fields of a metric: one predicate for each rule, and the error message for a violation.
//!
//! The fast pass uses only the predicates; the slow pass uses the predicates and the messages. Neither has
//! rules of its own.

use crate::fault::FaultCode;
use std::borrow::Cow;

/// Maximum number of metrics in a batch.
pub const MAX_METRICS: usize = 100;
/// Maximum distance of a timestamp into the future of the server's clock, in milliseconds.
pub const MAX_AHEAD_MS: i64 = 60_000;
/// Earliest allowed timestamp: 2000-01-01T00:00:00Z, in Unix milliseconds.
pub const EARLIEST_MS: i64 = 946_684_800_000;

/// Accepts 1 to 128 characters of `A-Z a-z 0-9 _ . : -`, starting with a letter, a digit or `_`.
pub fn is_metric_id(id: &str) -> bool {
    let bytes = id.as_bytes();
    let (Some(first), 1..=128) = (bytes.first(), bytes.len()) else { return false };
    !matches!(first, b'.' | b':' | b'-') && bytes.iter().all(|byte| ALLOWED_IN_METRIC_ID[usize::from(*byte)])
}

/// Lookup table of the bytes that are allowed in a metric id.
const ALLOWED_IN_METRIC_ID: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let candidate = byte as u8;
        table[byte] = candidate.is_ascii_alphanumeric() || matches!(candidate, b'_' | b'.' | b':' | b'-');
        byte += 1;
    }
    table
};

/// Accepts 1 to 200 characters without control characters.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && is_text(name, 200)
}

/// Accepts up to 32 characters without control characters.
pub fn is_unit(unit: &str) -> bool {
    is_text(unit, 32)
}

/// Accepts up to `limit` characters without control characters.
fn is_text(text: &str, limit: usize) -> bool {
    // Fast path: nearly every text is short and printable ASCII.
    if text.len() <= limit && text.bytes().all(|byte| matches!(byte, 0x20..0x7f)) {
        return true;
    }
    // A character has at most four bytes, so the characters of a far too long text need not be counted.
    text.len() <= 4 * limit && text.chars().count() <= limit && !text.chars().any(char::is_control)
}

/// Accepts timestamps from [`EARLIEST_MS`] to [`MAX_AHEAD_MS`] after `now_ms`.
pub fn is_timestamp(timestamp_ms: i64, now_ms: i64) -> bool {
    timestamp_ms >= EARLIEST_MS && timestamp_ms <= now_ms.saturating_add(MAX_AHEAD_MS)
}

/// The broken rule and its error message.
pub type Violation = (FaultCode, Cow<'static, str>);

pub fn bad_metric_id() -> Violation {
    let message = "must be 1 to 128 characters of A-Z a-z 0-9 _ . : - and start with a letter, a digit or _";
    (FaultCode::BadMetricId, message.into())
}

pub fn bad_name() -> Violation {
    (FaultCode::BadName, "must be 1 to 200 characters without control characters".into())
}

pub fn bad_unit() -> Violation {
    (FaultCode::BadUnit, "must be at most 32 characters without control characters".into())
}

/// `timestamp` may exceed 64 bits.
pub fn bad_timestamp(timestamp: f64, now_ms: i64) -> Violation {
    let hint = unit_hint(timestamp, now_ms).unwrap_or_default();
    if timestamp < EARLIEST_MS as f64 {
        (FaultCode::TooOld, format!("must be in Unix milliseconds and not before 2000-01-01{hint}").into())
    } else {
        (
            FaultCode::InTheFuture,
            format!("must be in Unix milliseconds and at most 60 seconds ahead of the server's clock ({now_ms}){hint}")
                .into(),
        )
    }
}

/// The violation of a timestamp that has a fraction.
pub fn fractional_timestamp(timestamp: f64, now_ms: i64) -> Violation {
    let hint = unit_hint(timestamp, now_ms).unwrap_or_default();
    (FaultCode::NotAnInteger, format!("must be an integer (Unix milliseconds){hint}").into())
}

/// Returns a hint if `timestamp` is plausible in another unit than milliseconds: between the year 2000 and
/// ten years from now.
fn unit_hint(timestamp: f64, now_ms: i64) -> Option<&'static str> {
    const TEN_YEARS_MS: f64 = 10.0 * 366.0 * 86_400_000.0;
    let plausible = EARLIEST_MS as f64..now_ms as f64 + TEN_YEARS_MS;
    let is_plausible = |milliseconds: f64| plausible.contains(&milliseconds);
    match () {
        () if is_plausible(timestamp) => None,
        () if is_plausible(timestamp * 1e3) => Some("; this looks like seconds: multiply by 1000"),
        () if is_plausible(timestamp / 1e3) => Some("; this looks like microseconds: divide by 1000"),
        () if is_plausible(timestamp / 1e6) => Some("; this looks like nanoseconds: divide by 1000000"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000_000;

    #[test]
    fn metric_ids_have_allowed_characters_and_length() {
        for valid in ["a", "_", "0", "daily_signups", "api.response:time-p99", &"x".repeat(128)] {
            assert!(is_metric_id(valid), "{valid}");
        }
        for invalid in ["", ".a", "-a", ":a", "a b", "ä", "a\0", "a/b", &"x".repeat(129)] {
            assert!(!is_metric_id(invalid), "{invalid}");
        }
    }

    #[test]
    fn names_and_units_are_measured_in_characters() {
        assert!(is_name("é") && is_name(&"é".repeat(200)) && is_name(&"😀".repeat(200)));
        assert!(!is_name("") && !is_name(&"a".repeat(201)) && !is_name("a\u{7f}") && !is_name("a\u{85}"));
        assert!(is_unit("") && is_unit(&"😀".repeat(32)) && !is_unit(&"a".repeat(33)) && !is_unit("\t"));
    }

    #[test]
    fn timestamps_range_from_2000_to_sixty_seconds_ahead() {
        assert!(is_timestamp(NOW + 60_000, NOW) && !is_timestamp(NOW + 60_001, NOW));
        assert!(is_timestamp(EARLIEST_MS, NOW) && !is_timestamp(EARLIEST_MS - 1, NOW));
        assert!(!is_timestamp(i64::MAX, NOW) && !is_timestamp(i64::MIN, NOW));
    }

    #[test]
    fn timestamps_in_another_unit_get_a_hint() {
        let message = |timestamp| bad_timestamp(timestamp, NOW).1;
        assert!(message(NOW as f64 / 1e3).contains("seconds: multiply"));
        assert!(message(NOW as f64 * 1e3).contains("microseconds"));
        assert!(message(NOW as f64 * 1e6).contains("nanoseconds"));
        for other in [0.0, 12.0, f64::INFINITY, f64::NEG_INFINITY, NOW as f64 + 3_600_000.0] {
            assert!(!message(other).contains("looks like"), "{other}");
        }
        assert!(fractional_timestamp(1_790_000_000.25, NOW).1.contains("seconds: multiply"));
    }
}
