//! Query parameters. Unknown parameters are ignored; the first value of a repeated parameter counts; an empty
//! parameter counts as absent.

use crate::faults::{FaultCode, Faults};
use crate::fields::Fields;
use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::http::request::Parts;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use reads::series::aggregation::Aggregation;
use reads::series::buckets::{self, Range, TooManyBuckets};
use reads::series::fill::Fill;
use reads::series::series_query::{Parameters, SeriesQuery, WantedInterval};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};
use service::wire_enum::WireEnum;
use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::LazyLock;
use utoipa::ToSchema;

/// Length of a range without a start.
const DAY_MS: i64 = 86_400_000;
/// Accepted timestamps, Unix milliseconds: the years 1 to 9998.
const TIMES: std::ops::Range<i64> = -62_135_596_800_000..253_370_764_800_000;

/// The time zones compiled into the binary: answers must not depend on the zones that the machine has
/// installed.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The query parameters of a request, and the faults found in them so far.
#[derive(Debug, Default)]
pub struct Params(Fields);

/// A request for one page of a list.
#[derive(Debug)]
pub struct PageRequest<'a, C> {
    /// Maximum number of items.
    pub limit: usize,
    /// Start of the page, from the cursor of an earlier answer.
    pub after: Option<C>,
    list: Cow<'a, str>,
}

impl<C> PageRequest<'_, C> {
    /// Returns the cursor of the next page, which begins after `position`.
    pub fn cursor_at(&self, position: &impl Serialize) -> String {
        encode_cursor(&self.list, position)
    }
}

/// A moment in time.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
#[serde(untagged)]
pub enum Moment {
    /// Unix milliseconds.
    Milliseconds(i64),
    /// Unix milliseconds or ISO 8601; without an offset, the local time of the time zone.
    Text(String),
}

impl Moment {
    /// Tells Unix milliseconds from ISO 8601. Eight digits that are a date are ISO 8601: as milliseconds they
    /// would lie in the first day of 1970.
    fn parse(text: &str) -> Self {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if number && !(text.len() == 8 && text.parse::<Date>().is_ok()) {
            // A number that is too large for an integer is out of range, not malformed.
            return Self::Milliseconds(text.parse().unwrap_or(i64::MAX));
        }
        Self::Text(text.to_owned())
    }

    /// Returns Unix milliseconds. Text without an offset is the local time of `zone`; a date is its first
    /// moment.
    fn resolve(&self, zone: &TimeZone) -> Option<i64> {
        let text = match self {
            Self::Milliseconds(milliseconds) => return Some(*milliseconds),
            Self::Text(text) => text,
        };
        if text.len() <= 10
            && (text.len() == 8 || text.contains('-'))
            && let Ok(date) = text.parse::<Date>()
        {
            return buckets::date_start(date, zone);
        }
        // In a query string an unescaped `+` of an offset is decoded as a space.
        let text = if text.contains(['T', 't']) { text.replace(' ', "+") } else { text.clone() };
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            return Some(timestamp.as_millisecond());
        }
        let local = text.parse::<DateTime>().ok()?;
        Some(zone.to_timestamp(local).ok()?.as_millisecond())
    }
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Params {
    /// Parses a query string.
    pub fn parse(query: &str) -> Self {
        let mut given = Map::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            given.entry(name).or_insert_with(|| Value::String(value.into_owned()));
        }
        given.retain(|_, value| value.as_str() != Some(""));
        Self(Fields::new(given))
    }

    /// Reads the fields `names` of a JSON object by the rules of query parameters.
    pub fn of_fields(object: &Map<String, Value>, names: &[&'static str]) -> Self {
        let mut params = Self::default();
        let mut given = Map::new();
        for &name in names {
            let text = match object.get(name) {
                None | Some(Value::Null) => continue,
                Some(Value::String(text)) => text.clone(),
                Some(Value::Number(number)) => integer_text(number),
                Some(_) => {
                    params.fault(name, FaultCode::NotAString, "must be a string or a number");
                    continue;
                }
            };
            if !text.is_empty() {
                given.insert(name.to_owned(), Value::String(text));
            }
        }
        let mut fields = Fields::new(given);
        fields.absorb(params.0);
        Self(fields)
    }

    /// Returns the text of the parameter `name`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.peek_text(name)
    }

    /// Adds a fault of the parameter `name`.
    pub fn fault(&mut self, name: &'static str, code: FaultCode, message: impl Into<Cow<'static, str>>) {
        self.0.fault(name, code, message);
    }

    /// Fails with all faults found so far, if there are any.
    pub fn check(&mut self) -> Result<(), Faults> {
        self.0.check()
    }

    /// Reads `limit` and `cursor`. `list` names the list: its cursors are refused by all others.
    pub fn page<'a, C>(&mut self, list: impl Into<Cow<'a, str>>) -> PageRequest<'a, C>
    where
        C: DeserializeOwned,
    {
        let list = list.into();
        PageRequest { limit: self.limit(), after: self.cursor(&list), list }
    }

    fn limit(&mut self) -> usize {
        const DEFAULT: usize = 100;
        let Some(text) = self.text("limit") else { return DEFAULT };
        let value = text.parse::<i64>().map_or(Value::Null, Value::from);
        let limit = self.0.parse_integer("limit", &value, 1..=1000);
        limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(DEFAULT)
    }

    fn cursor<C: DeserializeOwned>(&mut self, list: &str) -> Option<C> {
        let text = self.text("cursor")?;
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let cursor: Option<(String, C)> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let position = cursor.filter(|(of, _)| of == list).map(|(_, position)| position);
        if position.is_none() {
            self.fault("cursor", FaultCode::BadCursor, "must be a `nextCursor` of this list");
        }
        position
    }

    /// Reads a value of `W`; a faulty one reads as the default.
    pub fn choice<W: WireEnum>(&mut self, name: &'static str, default: W) -> W {
        self.0.choice_or(name, default).unwrap_or(default)
    }

    /// Reads `timezone`. Returns the zone and its name.
    pub fn zone(&mut self) -> (TimeZone, String) {
        let name = self.text("timezone").unwrap_or("UTC");
        match ZONES.get(name) {
            Ok(zone) => {
                let name = zone.iana_name().unwrap_or(name).to_owned();
                (zone, name)
            }
            Err(_) => {
                let message = "must be a name of the IANA database such as Europe/Berlin";
                self.fault("timezone", FaultCode::UnknownTimezone, message);
                (TimeZone::UTC, "UTC".to_owned())
            }
        }
    }

    /// Reads the range `[startDate, endDate)`. Without an end it ends at `now`; without a start it is 24
    /// hours long.
    pub fn range(&mut self, zone: &TimeZone, now: i64) -> Range {
        let end = self.text("endDate").and_then(|text| Moment::parse(text).resolve(zone));
        let end = end.filter(|time| TIMES.contains(time)).unwrap_or(now);
        self.range_or(zone, Range { start: end - DAY_MS, end })
    }

    /// Reads the range. A missing start or end is taken from `default`.
    pub fn range_or(&mut self, zone: &TimeZone, default: Range) -> Range {
        let end = self.time("endDate", zone).unwrap_or(default.end);
        let start = self.time("startDate", zone).unwrap_or(default.start);
        if start >= end && !self.0.is_faulty() {
            self.fault("startDate", FaultCode::EmptyRange, "must be earlier than endDate");
        }
        Range { start, end }
    }

    /// Reads the parameters of a time series. `now` is the default end of its range, Unix milliseconds.
    pub fn time_series(&mut self, now: i64) -> Result<Parameters, Faults> {
        let (zone, timezone) = self.zone();
        let range = self.range(&zone, now);
        let interval = self.choice("interval", WantedInterval::Auto);
        let aggregation = self.choice("aggregation", Aggregation::Avg);
        let fill = self.choice("fill", Fill::None);
        self.check()?;
        Ok(Parameters { range, zone, timezone, interval, aggregation, fill })
    }

    fn time(&mut self, name: &'static str, zone: &TimeZone) -> Option<i64> {
        let time = Moment::parse(self.text(name)?).resolve(zone);
        match time {
            Some(time) if TIMES.contains(&time) => return time.into(),
            Some(_) => self.fault(name, FaultCode::OutOfRange, "must lie in the years 1 to 9998"),
            None => self.fault(
                name,
                FaultCode::BadTimestamp,
                "must be Unix milliseconds or ISO 8601, such as 1790000000000 or 2026-09-21T14:13:20Z",
            ),
        }
        None
    }
}

/// Cuts the range of a time series into buckets. `now` bounds automatically chosen buckets, Unix milliseconds.
pub fn question(parameters: Parameters, now: i64) -> Result<SeriesQuery, Faults> {
    SeriesQuery::new(parameters, now).map_err(|TooManyBuckets| {
        let message =
            "makes more than 11000 buckets of this range: ask for longer ones or for a shorter range";
        Faults::one("interval", FaultCode::TooManyBuckets, message)
    })
}

/// Formats a JSON number as a query string would have it: whole numbers without point and exponent.
fn integer_text(number: &Number) -> String {
    match number.as_f64() {
        // Up to this bound every whole number has an exact double.
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15 => format!("{float:.0}"),
        _ => number.to_string(),
    }
}

/// Returns the cursor by which a later request continues at `position` of `list`. The cursor contains the
/// list's name, as a position in another list may have the same shape.
pub fn encode_cursor(list: &str, position: &impl Serialize) -> String {
    // Positions consist of numbers and strings, whose serialization cannot fail.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&(list, position)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_unix_milliseconds_or_iso_8601() {
        let berlin = TimeZone::get("Europe/Berlin").expect("a zone");
        for (text, expected) in [
            ("1790000000000", Some(1_790_000_000_000)),
            ("-5", Some(-5)),
            ("2026-09-21T14:13:20Z", Some(1_790_000_000_000)),
            ("2026-09-21T14:13:20.123Z", Some(1_790_000_000_123)),
            ("2026-09-21T16:13:20+02:00", Some(1_790_000_000_000)),
            ("2026-09-21T16:13:20 02:00", Some(1_790_000_000_000)),
            ("2026-09-21T16:13:20", Some(1_790_000_000_000)),
            ("2026-09-21T16:13", Some(1_789_999_980_000)),
            ("2026-09-21 16:13:20", Some(1_790_000_000_000)),
            ("2026-09-21", Some(1_789_941_600_000)),
            ("20260921", Some(1_789_941_600_000)),
            ("20269921", Some(20_269_921)),
            ("-2026092", Some(-2_026_092)),
            ("99999999999999999999", Some(i64::MAX)),
            ("yesterday", None),
            ("2026-13-01", None),
            ("1.5", None),
            ("-", None),
        ] {
            assert_eq!(Moment::parse(text).resolve(&berlin), expected, "{text}");
        }
    }

    #[test]
    fn range_defaults_to_the_last_24_hours() {
        let range = |query: &str| {
            let mut params = Params::parse(query);
            (params.range(&TimeZone::UTC, 10 * DAY_MS), params.check().is_ok())
        };
        assert_eq!(range(""), (Range { start: 9 * DAY_MS, end: 10 * DAY_MS }, true));
        assert_eq!(range("endDate=172800000"), (Range { start: DAY_MS, end: 2 * DAY_MS }, true));
        assert_eq!(range("startDate=1&endDate=2"), (Range { start: 1, end: 2 }, true));
        for wrong in
            ["startDate=2&endDate=2", "startDate=3&endDate=2", "startDate=x", "endDate=99999999999999999"]
        {
            assert!(!range(wrong).1, "{wrong}");
        }
    }

    #[test]
    fn whole_json_numbers_may_have_an_exponent() {
        let fields = serde_json::json!({"startDate": 1.0e12, "endDate": 1_790_000_000_000.0});
        let fields = fields.as_object().expect("an object");
        let mut params = Params::of_fields(fields, &["startDate", "endDate"]);
        let range = params.range(&TimeZone::UTC, 0);
        assert_eq!(range, Range { start: 1_000_000_000_000, end: 1_790_000_000_000 });
        assert!(params.check().is_ok());
    }

    #[test]
    fn first_value_counts_and_empty_values_are_absent() {
        let params = Params::parse("a=1&a=2&b=&c=&c=3");
        assert_eq!((params.text("a"), params.text("b"), params.text("c")), (Some("1"), None, None));
    }

    #[test]
    fn all_faults_are_listed_and_unknown_parameters_are_ignored() {
        let mut params = Params::parse("limit=0&cursor=%21&timezone=Mars%2FBase&startDate=x&what=ever");
        params.page::<String>("a list");
        let (zone, _) = params.zone();
        params.range(&zone, 0);
        let Err(faults) = params.check() else { panic!("four are wrong") };
        let fields: Vec<_> = faults.into_inner().iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["limit", "cursor", "timezone", "startDate"]);
    }

    #[test]
    fn cursor_is_valid_only_for_its_own_list() {
        let text = encode_cursor("a list", &("a.b", 5));
        let mut params = Params::parse(&format!("cursor={text}"));
        assert_eq!(params.page::<(String, i64)>("a list").after, Some(("a.b".to_owned(), 5)));
        assert!(params.check().is_ok());
        assert_eq!(params.page::<(String, i64)>("another").after, None);
        assert!(params.check().is_err());
    }
}
