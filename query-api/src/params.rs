//! Query parameters, read by rules and with all faults collected. Unknown ones are ignored; of one that is given twice
//! the first counts; an empty one is as if it were absent.

use crate::fault::{Code, Faults};
use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::http::request::Parts;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use reads::series::aggregation::Aggregation;
use reads::series::buckets::{self, Range};
use reads::series::fill::Fill;
use reads::series::question::{Parameters, Question, TooManyBuckets, WantedInterval};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};
use service::wire_enum::WireEnum;
use std::convert::Infallible;
use std::sync::LazyLock;

/// The longest range that is looked at where no start is given.
const DAY_MS: i64 = 86_400_000;
/// Times are understood from year 1 to year 9998.
const TIMES: std::ops::Range<i64> = -62_135_596_800_000..253_370_764_800_000;

/// The zones that are in the binary: an answer must not depend on what the machine has installed.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The query parameters of a request.
#[derive(Debug, Default)]
pub struct Params {
    given: Vec<(String, String)>,
    /// What is wrong so far.
    pub faults: Faults,
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Params {
    /// The parameters of a query string.
    pub fn parse(query: &str) -> Self {
        let given = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { given, faults: Faults::default() }
    }

    /// The fields `names` of a JSON object, by the same rules; `null` is as if it were absent.
    pub fn of_fields(fields: &Map<String, Value>, names: &[&'static str]) -> Self {
        let mut params = Self::default();
        for &name in names {
            match fields.get(name) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => params.given.push((name.to_owned(), text.clone())),
                Some(Value::Number(number)) => params.given.push((name.to_owned(), plain(number))),
                Some(_) => params.faults.add(name, Code::NotAString, "must be a string or a number"),
            }
        }
        params
    }

    /// The parameter's text.
    pub fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.given.iter().find(|(given, _)| given == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// How many items a page has: 1 to 1000.
    pub fn limit(&mut self) -> usize {
        const DEFAULT: usize = 100;
        let Some(text) = self.text("limit") else { return DEFAULT };
        match text.parse::<i64>() {
            Ok(limit @ 1..=1000) => usize::try_from(limit).unwrap_or(DEFAULT),
            Ok(_) => {
                self.faults.add("limit", Code::OutOfRange, "must be 1 to 1000");
                DEFAULT
            }
            Err(_) => {
                self.faults.add("limit", Code::NotAnInteger, "must be an integer");
                DEFAULT
            }
        }
    }

    /// The place in `list` that an earlier answer's `nextCursor` stands for.
    pub fn cursor<C: DeserializeOwned>(&mut self, list: &str) -> Option<C> {
        let text = self.text("cursor")?;
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let cursor: Option<(String, C)> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let place = cursor.filter(|(of, _)| of == list).map(|(_, place)| place);
        if place.is_none() {
            self.faults.add("cursor", Code::BadCursor, "must be a `nextCursor` of this list");
        }
        place
    }

    /// One of the words that `W` knows.
    pub fn word<W: WireEnum>(&mut self, name: &'static str, default: W) -> W {
        let Some(text) = self.text(name) else { return default };
        W::parse(text).unwrap_or_else(|| {
            self.faults.add(name, Code::UnknownWord, format!("must be one of {}", W::choices()));
            default
        })
    }

    /// The zone `timezone`, and its name.
    pub fn zone(&mut self) -> (TimeZone, String) {
        let name = self.text("timezone").unwrap_or("UTC");
        match ZONES.get(name) {
            Ok(zone) => {
                let name = zone.iana_name().unwrap_or(name).to_owned();
                (zone, name)
            }
            Err(_) => {
                self.faults.add(
                    "timezone",
                    Code::UnknownTimezone,
                    "must be a name of the IANA database such as Europe/Berlin",
                );
                (TimeZone::UTC, "UTC".to_owned())
            }
        }
    }

    /// The range `[startDate, endDate)`: up to `now`, and 24 hours long, where nothing else is said.
    pub fn range(&mut self, zone: &TimeZone, now: i64) -> Range {
        let end = self.text("endDate").and_then(|text| time(text, zone)).filter(|time| TIMES.contains(time));
        let end = end.unwrap_or(now);
        self.range_or(zone, Range { start: end - DAY_MS, end })
    }

    /// The range, with the ends of `default` where nothing is said.
    pub fn range_or(&mut self, zone: &TimeZone, default: Range) -> Range {
        let end = self.time("endDate", zone).unwrap_or(default.end);
        let start = self.time("startDate", zone).unwrap_or(default.start);
        if start >= end && self.faults.is_empty() {
            self.faults.add("startDate", Code::EmptyRange, "must be earlier than endDate");
        }
        Range { start, end }
    }

    /// The parameters of a time series; `now` is the default end of its range, Unix milliseconds.
    pub fn question(&mut self, now: i64) -> Result<Question, Faults> {
        let (zone, timezone) = self.zone();
        let range = self.range(&zone, now);
        let interval = self.word("interval", WantedInterval::Auto);
        let aggregation = self.word("aggregation", Aggregation::Avg);
        let fill = self.word("fill", Fill::None);
        self.check()?;
        let parameters = Parameters { range, zone, timezone, interval, aggregation, fill };
        Question::new(parameters, now).map_err(|TooManyBuckets| {
            let mut faults = Faults::default();
            let message =
                "makes more than 11000 buckets of this range: ask for longer ones or for a shorter range";
            faults.add("interval", Code::TooManyBuckets, message);
            faults
        })
    }

    fn time(&mut self, name: &'static str, zone: &TimeZone) -> Option<i64> {
        let text = self.text(name)?;
        let time = time(text, zone);
        match time {
            Some(time) if TIMES.contains(&time) => return time.into(),
            Some(_) => self.faults.add(name, Code::OutOfRange, "must lie in the years 1 to 9998"),
            None => self.faults.add(
                name,
                Code::BadTimestamp,
                "must be Unix milliseconds or ISO 8601, such as 1790000000000 or 2026-09-21T14:13:20Z",
            ),
        }
        None
    }

    /// An error with all faults, if there is one.
    pub fn check(&mut self) -> Result<(), Faults> {
        self.faults.check()
    }
}

/// A number of JSON as a query string has it: whole ones without point and exponent.
fn plain(number: &Number) -> String {
    match number.as_f64() {
        // Up to there all whole numbers are doubles.
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15 => format!("{float:.0}"),
        _ => number.to_string(),
    }
}

/// The text by which a later request goes on at `place` of `list`. The list's name is in it: a place in another one may
/// look the same.
pub fn cursor_text(list: &str, place: &impl Serialize) -> String {
    // Places are numbers and strings, which can always be written.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&(list, place)).unwrap_or_default())
}

/// Unix milliseconds from Unix milliseconds or ISO 8601. Without an offset it is the zone's clock; a date is its start, also
/// one of eight digits: as milliseconds those would lie in the first day of 1970.
fn time(text: &str, zone: &TimeZone) -> Option<i64> {
    if text.len() <= 10
        && (text.len() == 8 || text.contains('-'))
        && let Ok(date) = text.parse::<Date>()
    {
        return buckets::date_start(date, zone);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that is too large for us is out of range, not unreadable.
        return Some(text.parse().unwrap_or(i64::MAX));
    }
    // The plus sign of an offset that was not escaped reads as a space.
    let text = if text.contains(['T', 't']) { text.replace(' ', "+") } else { text.to_owned() };
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.as_millisecond());
    }
    let local = text.parse::<DateTime>().ok()?;
    Some(zone.to_timestamp(local).ok()?.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_unix_milliseconds_or_iso_8601_in_their_own_offset_or_the_zones() {
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
            assert_eq!(time(text, &berlin), expected, "{text}");
        }
    }

    #[test]
    fn a_range_ends_now_and_is_a_day_long_unless_said_otherwise() {
        let range = |query: &str| {
            let mut params = Params::parse(query);
            (params.range(&TimeZone::UTC, 10 * DAY_MS), params.faults.is_empty())
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
    fn whole_numbers_of_json_are_read_however_they_are_written() {
        let fields = serde_json::json!({"startDate": 1.0e12, "endDate": 1_790_000_000_000.0});
        let fields = fields.as_object().expect("an object");
        let mut params = Params::of_fields(fields, &["startDate", "endDate"]);
        let range = params.range(&TimeZone::UTC, 0);
        assert_eq!(range, Range { start: 1_000_000_000_000, end: 1_790_000_000_000 });
        assert!(params.faults.is_empty());
    }

    #[test]
    fn all_faults_are_listed_and_unknown_parameters_are_not() {
        let mut params = Params::parse("limit=0&cursor=%21&timezone=Mars%2FBase&startDate=x&what=ever");
        params.limit();
        params.cursor::<String>("a list");
        let (zone, _) = params.zone();
        params.range(&zone, 0);
        let Err(faults) = params.check() else { panic!("four are wrong") };
        let fields: Vec<_> = faults.into_inner().iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["limit", "cursor", "timezone", "startDate"]);
    }

    #[test]
    fn a_cursor_reads_back_as_it_was_written_in_its_own_list_alone() {
        let text = cursor_text("a list", &("a.b", 5));
        let mut params = Params::parse(&format!("cursor={text}"));
        assert_eq!(params.cursor::<(String, i64)>("a list"), Some(("a.b".to_owned(), 5)));
        assert!(params.faults.is_empty());
        assert_eq!(params.cursor::<(String, i64)>("another"), None);
        assert!(!params.faults.is_empty());
    }
}
