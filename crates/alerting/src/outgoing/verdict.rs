//! What the outcome of a request means.

use hyper::StatusCode;
use std::time::Duration;

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered; with the pause that the answer asks for.
    Answered(StatusCode, Option<Duration>),
    /// The address may not be called.
    Refused,
    /// A redirect that is not followed: it would turn the POST into a GET, leave TLS, or lead on for ever.
    BadRedirect,
    /// The host's name was not resolved.
    NoAddress,
    /// There was no connection, or it broke; with the kind of fault.
    Broken(&'static str),
    /// There was no answer in time.
    TimedOut,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived.
    Delivered,
    /// It may work later; not before the pause, if one is asked for.
    Retry(Option<Duration>),
    /// It will never work.
    GiveUp,
}

impl Outcome {
    /// What is to be done.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Answered(status, pause) => match status.as_u16() {
                200..=299 => Verdict::Delivered,
                408 | 425 | 429 | 500..=599 => Verdict::Retry(*pause),
                _ => Verdict::GiveUp,
            },
            Self::Refused | Self::BadRedirect => Verdict::GiveUp,
            Self::NoAddress | Self::Broken(_) | Self::TimedOut => Verdict::Retry(None),
        }
    }

    /// Why it failed, for people; empty if it did not. It never holds the URL.
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
            Self::NoAddress => "the receiver's name was not resolved".to_owned(),
            Self::Broken(what) => format!("the connection failed: {what}"),
            Self::TimedOut => "the receiver did not answer in time".to_owned(),
        }
    }
}

/// The pause in a header `Retry-After`: whole seconds, or a date.
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
    fn what_may_pass_is_tried_again_and_what_will_not_is_given_up() {
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
    fn a_pause_is_seconds_or_a_date() {
        let now = 1_790_000_000_000;
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(" 0.5 ", now), Some(Duration::from_millis(500)), "as Discord has it");
        assert_eq!(retry_after("Mon, 21 Sep 2026 14:13:30 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Mon, 21 Sep 2020 14:13:30 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-5", now), None);
    }
}
