//! Outcome of a request, and the decision to retry that follows from it.

use hyper::StatusCode;
use std::time::Duration;

/// Outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver answered; with the delay that it asked for by `Retry-After`.
    Answered(StatusCode, Option<Duration>),
    /// The address is not permitted.
    Refused,
    /// A redirect that is not followed: it would change the method to GET, lead from HTTPS to HTTP, or exceed the maximum
    /// number of redirects.
    BadRedirect,
    /// The host name was not resolved.
    NoAddress,
    /// The connection failed; with the reason.
    Broken(&'static str),
    /// The receiver did not answer in time.
    TimedOut,
}

/// Decision that follows from an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The message was delivered.
    Delivered,
    /// Retry later; not before the delay, if the receiver asked for one.
    Retry(Option<Duration>),
    /// A retry cannot succeed.
    GiveUp,
}

impl Outcome {
    /// Returns the decision.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Answered(status, retry_after) => match status.as_u16() {
                200..=299 => Verdict::Delivered,
                408 | 425 | 429 | 500..=599 => Verdict::Retry(*retry_after),
                _ => Verdict::GiveUp,
            },
            Self::Refused | Self::BadRedirect => Verdict::GiveUp,
            Self::NoAddress | Self::Broken(_) | Self::TimedOut => Verdict::Retry(None),
        }
    }

    /// Returns the error text for the delivery history; empty if the message was delivered. It never contains the URL, which
    /// is a secret.
    pub fn error(&self) -> String {
        match self {
            Self::Answered(status, _) if status.is_success() => String::new(),
            Self::Answered(status, _) => format!("the receiver answered {}", status.as_u16()),
            Self::Refused => {
                "the receiver's address is not public and not allowed by --allow-outgoing".to_owned()
            }
            Self::BadRedirect => {
                "the receiver redirects in a way that is not followed: give the final URL".to_owned()
            }
            Self::NoAddress => "the receiver's host name was not resolved".to_owned(),
            Self::Broken(reason) => format!("the connection failed: {reason}"),
            Self::TimedOut => "the receiver did not answer in time".to_owned(),
        }
    }
}

/// Parses the header `Retry-After`: seconds or a date.
pub fn retry_after(text: &str, now_ms: i64) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds.is_finite() && seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(1e6)));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?.as_millisecond();
    Some(Duration::from_millis(u64::try_from(at - now_ms).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_failures_are_retried_and_permanent_ones_are_not() {
        let answered =
            |status| Outcome::Answered(StatusCode::from_u16(status).expect("a status"), None).verdict();
        for status in [200, 202, 204] {
            assert_eq!(answered(status), Verdict::Delivered, "{status}");
        }
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!(answered(status), Verdict::Retry(None), "{status}");
        }
        for status in [301, 400, 401, 403, 404, 410] {
            assert_eq!(answered(status), Verdict::GiveUp, "{status}");
        }
        assert_eq!(Outcome::Refused.verdict(), Verdict::GiveUp);
        assert_eq!(Outcome::TimedOut.verdict(), Verdict::Retry(None));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = 1_790_000_000_000;
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(
            retry_after(" 0.5 ", now),
            Some(Duration::from_millis(500)),
            "Discord sends fractions of seconds"
        );
        assert_eq!(retry_after("Mon, 21 Sep 2026 14:13:30 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Mon, 21 Sep 2020 14:13:30 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-5", now), None);
    }
}
