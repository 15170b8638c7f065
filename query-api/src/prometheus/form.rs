//! Parameters of a call: from the query string and, with POST, from a form in the body, which takes precedence.

use super::failure::Failure;
use crate::body::ReceivedBody;
use axum::extract::FromRequestParts;
use hyper::Method;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use jiff::Timestamp;
use promql::labels::matchers;
use promql::parse::parse;
use promql_parser::label::Matcher;
use promql_parser::parser::Expr;
use reads::series::buckets::Range;
use std::time::Duration;

/// Latest accepted time, Unix milliseconds: the end of the year 9999. The earliest one is its negative.
const LAST_MS: i64 = 253_402_300_799_999;

/// The parameters of a call. An empty parameter counts as absent.
#[derive(Debug, Default)]
pub struct Form(pub(super) Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Form {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let mut given = Vec::new();
        if parts.method == Method::POST {
            let body = ReceivedBody::take(parts)?;
            let media_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
            if !body.is_empty() && !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
                let reason = "the body must be a form: send it as application/x-www-form-urlencoded";
                return Err(Failure::bad_data(reason.to_owned()));
            }
            given.extend(form_urlencoded::parse(&body).into_owned());
        }
        let query = parts.uri.query().unwrap_or_default();
        given.extend(form_urlencoded::parse(query.as_bytes()).into_owned());
        Ok(Self(given))
    }
}

impl Form {
    /// Returns the text of a parameter.
    pub fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(given, _)| given == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns all texts of a parameter that may be repeated.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Parses the parameter `query`.
    pub fn query(&self) -> Result<Expr, Failure> {
        parse(self.text("query").unwrap_or_default()).map_err(|reason| Failure::parameter("query", reason))
    }

    /// Reads a time, Unix milliseconds.
    pub fn time(&self, name: &'static str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let time = time(text).ok_or_else(|| {
            Failure::parameter(
                name,
                format!("cannot parse {text:?} to a valid timestamp: it must be Unix seconds or RFC 3339"),
            )
        })?;
        Ok(Some(time))
    }

    /// Reads a required time.
    pub fn required_time(&self, name: &'static str) -> Result<i64, Failure> {
        let missing = || Failure::parameter(name, "cannot parse \"\" to a valid timestamp: it must be given");
        self.time(name)?.ok_or_else(missing)
    }

    /// Reads a duration in milliseconds, which may be zero or negative.
    pub fn duration(&self, name: &'static str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let duration = duration(text).ok_or_else(|| {
            Failure::parameter(
                name,
                format!(
                    "cannot parse {text:?} to a valid duration: it must be seconds or a duration such as 5m"
                ),
            )
        })?;
        Ok(Some(duration))
    }

    /// Reads the timeout of the query.
    pub fn timeout(&self) -> Result<Option<Duration>, Failure> {
        let milliseconds = self.duration("timeout")?;
        Ok(milliseconds.map(|milliseconds| Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))))
    }

    /// Reads the maximum number of items; zero and absence set no limit.
    pub fn limit(&self, name: &'static str) -> Result<usize, Failure> {
        match self.text(name).map(str::parse::<usize>) {
            None | Some(Ok(0)) => Ok(usize::MAX),
            Some(Ok(limit)) => Ok(limit),
            Some(Err(_)) => Err(Failure::parameter(name, "must be a non-negative integer")),
        }
    }

    /// Reads the range from `start` to `end`; absent if neither is given.
    pub fn range(&self) -> Result<Option<Range>, Failure> {
        let (start, end) = (self.time("start")?, self.time("end")?);
        if start.is_none() && end.is_none() {
            return Ok(None);
        }
        let (start, end) = (start.unwrap_or(-LAST_MS), end.unwrap_or(LAST_MS));
        if end < start {
            return Err(Failure::parameter("end", "end timestamp must not be before start time"));
        }
        Ok(Some(Range { start, end: end + 1 }))
    }

    /// Parses the selectors `match[]`.
    pub fn selectors(&self) -> Result<Vec<Vec<Matcher>>, Failure> {
        let given = self.0.iter().filter(|(name, value)| name == "match[]" && !value.is_empty());
        given.map(|(_, text)| selector(text)).collect()
    }
}

fn selector(text: &str) -> Result<Vec<Matcher>, Failure> {
    let expr = parse(text).map_err(|reason| Failure::parameter("match[]", reason))?;
    match expr {
        Expr::VectorSelector(selector) if selector.offset.is_none() && selector.at.is_none() => {
            if !selector.matchers.or_matchers.is_empty() {
                return Err(promql::Error::unsupported("`or` between matchers").into());
            }
            Ok(matchers(selector.name.as_deref(), &selector.matchers))
        }
        _ => Err(Failure::parameter(
            "match[]",
            format!("{text:?} is not a selector such as up{{metric_id=\"up\"}}"),
        )),
    }
}

fn time(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        let milliseconds = (seconds * 1000.0).round();
        // Within these bounds every whole number has an exact double.
        return (milliseconds.abs() <= LAST_MS as f64).then_some(milliseconds as i64);
    }
    // In a query string an unescaped `+` of an offset is decoded as a space.
    Some(text.replace(' ', "+").parse::<Timestamp>().ok()?.as_millisecond())
}

fn duration(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        let milliseconds = (seconds * 1000.0).round();
        return (milliseconds.abs() <= LAST_MS as f64).then_some(milliseconds as i64);
    }
    let milliseconds = i64::try_from(promql_parser::util::parse_duration(text).ok()?.as_millis()).ok()?;
    (milliseconds <= LAST_MS).then_some(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_unix_seconds_with_a_fraction_or_rfc_3339() {
        for (text, expected) in [
            ("4", Some(4000)),
            ("1790000000.123", Some(1_790_000_000_123)),
            ("-1.5", Some(-1500)),
            ("1.79e9", Some(1_790_000_000_000)),
            ("2026-09-21T14:13:20Z", Some(1_790_000_000_000)),
            ("2026-09-21T16:13:20.5+02:00", Some(1_790_000_000_500)),
            ("2026-09-21T16:13:20 02:00", Some(1_790_000_000_000)),
            ("2026-09-21T14:13:20", None),
            ("now", None),
            ("NaN", None),
            ("inf", None),
            ("1e300", None),
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_are_seconds_or_prometheus_durations() {
        for (text, expected) in [
            ("15", Some(15_000)),
            ("0.25", Some(250)),
            ("1h30m", Some(5_400_000)),
            ("-15", Some(-15_000)),
            ("0", Some(0)),
            ("5 minutes", None),
            ("NaN", None),
            ("1e300", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }
}
