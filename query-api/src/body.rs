//! The body of a management call: JSON, up to 64 KiB.
//!
//! It is taken in before the call is looked at, so that a client that is refused gets to see why. What is beyond the
//! limit is read and dropped, within bounds.

use crate::error::Error;
use crate::fault::{Code, Faults};
use axum::body::Body;
use axum::extract::FromRequestParts;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::http::request::Parts;
use serde_json::{Map, Value};
use service::wire_enum::WireEnum;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest body.
const LIMIT: usize = 64 << 10;
/// Up to so many bytes are read and dropped.
const DROPPED: usize = 8 << 20;
/// How long a body may take in all.
const TIME: Duration = Duration::from_secs(15);

/// A request's body, read to its end, or why it was not.
#[derive(Debug, Clone)]
pub struct Collected(Result<Bytes, Error>);

impl Collected {
    /// Reads `body`.
    pub async fn read(body: Body) -> Self {
        Self(tokio::time::timeout(TIME, collect(body)).await.unwrap_or(Err(Error::RequestTimeout)))
    }

    /// The body.
    pub fn bytes(self) -> Result<Bytes, Error> {
        self.0
    }
}

async fn collect(mut body: Body) -> Result<Bytes, Error> {
    let (mut bytes, mut length) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::BodyBroken)?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length <= LIMIT {
            bytes.extend_from_slice(&data);
        } else if length > DROPPED {
            break;
        }
    }
    if length <= LIMIT { Ok(bytes.freeze()) } else { Err(Error::BodyTooLarge) }
}

/// The fields of a body that is a JSON object; collects what is wrong with them.
#[derive(Debug)]
pub struct Fields {
    fields: Map<String, Value>,
    /// What is wrong so far.
    pub faults: Faults,
}

impl<S: Sync> FromRequestParts<S> for Fields {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        media_type(&parts.headers)?;
        Self::parse(&body(parts)?)
    }
}

/// The same where the body may be left out, or be `null`: then it has no fields.
#[derive(Debug)]
pub struct OptionalFields(pub Fields);

impl<S: Sync> FromRequestParts<S> for OptionalFields {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let bytes = body(parts)?;
        if matches!(bytes.trim_ascii(), b"" | b"null") {
            return Ok(Self(Fields { fields: Map::new(), faults: Faults::default() }));
        }
        media_type(&parts.headers)?;
        Fields::parse(&bytes).map(Self)
    }
}

fn body(parts: &mut Parts) -> Result<Bytes, Error> {
    parts.extensions.remove::<Collected>().map_or(Ok(Bytes::new()), |Collected(result)| result)
}

impl Fields {
    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut faults = Faults::default();
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(Self { fields, faults }),
            Ok(_) => {
                faults.add("", Code::NotAnObject, "must be a JSON object");
                faults.check()?;
                Ok(Self { fields: Map::new(), faults })
            }
            Err(error) => Err(Error::InvalidJson(error.to_string())),
        }
    }

    /// Whether the field is given; `null` is as if it were absent.
    pub fn has(&self, field: &str) -> bool {
        self.fields.get(field).is_some_and(|value| !value.is_null())
    }

    /// Notes that one of `fields` must be given, if none is.
    pub fn one_of(&mut self, fields: &[&'static str]) {
        if !fields.iter().any(|field| self.has(field)) {
            let message = format!("must have at least one of: {}", fields.join(", "));
            self.faults.add("", Code::Required, message);
        }
    }

    /// The field's value, to be read elsewhere; `null` is as if it were absent.
    pub fn take(&mut self, field: &'static str) -> Option<Value> {
        self.fields.remove(field).filter(|value| !value.is_null())
    }

    /// One of the words that `W` knows; required where there is no default.
    pub fn word<W: WireEnum>(&mut self, field: &'static str, default: Option<W>) -> Option<W> {
        match self.take(field) {
            None if default.is_some() => return default,
            None => self.faults.add(field, Code::Required, format!("is required: one of {}", W::choices())),
            Some(value) => match value.as_str().and_then(W::parse) {
                Some(word) => return Some(word),
                None => self.faults.add(field, Code::UnknownWord, format!("must be one of {}", W::choices())),
            },
        }
        None
    }

    /// A required finite number.
    pub fn number(&mut self, field: &'static str) -> Option<f64> {
        match self.take(field) {
            None => self.faults.add(field, Code::Required, "is required"),
            Some(value) => match value.as_f64().filter(|number| number.is_finite()) {
                Some(number) => return Some(number),
                None => self.faults.add(field, Code::NotANumber, "must be a finite number"),
            },
        }
        None
    }

    /// `true` or `false`; `default` where it is not given.
    pub fn flag(&mut self, field: &'static str, default: bool) -> bool {
        match self.take(field) {
            None => default,
            Some(Value::Bool(value)) => value,
            Some(_) => {
                self.faults.add(field, Code::NotABoolean, "must be true or false");
                default
            }
        }
    }

    /// A string of at most `most` characters, if it is given.
    pub fn text(&mut self, field: &'static str, most: usize) -> Option<String> {
        match self.take(field)? {
            Value::String(text) if text.chars().count() <= most => return Some(text),
            Value::String(_) => {
                self.faults.add(field, Code::OutOfRange, format!("must be at most {most} characters"));
            }
            _ => self.faults.add(field, Code::NotAString, "must be a string"),
        }
        None
    }

    /// A required integer in `range`.
    pub fn required_integer(&mut self, field: &'static str, range: RangeInclusive<u64>) -> u64 {
        match self.take(field) {
            Some(value) => self.in_range(field, &value, &range).unwrap_or(0),
            None => {
                self.faults.add(field, Code::Required, "is required: an integer");
                0
            }
        }
    }

    /// A required string.
    pub fn string(&mut self, field: &'static str) -> Option<String> {
        match self.fields.remove(field) {
            Some(Value::String(text)) => return Some(text),
            None | Some(Value::Null) => self.faults.add(field, Code::Required, "is required"),
            Some(_) => self.faults.add(field, Code::NotAString, "must be a string"),
        }
        None
    }

    /// A required array of `length` items.
    pub fn array(&mut self, field: &'static str, length: RangeInclusive<usize>) -> Option<Vec<Value>> {
        match self.fields.remove(field) {
            Some(Value::Array(items)) if length.contains(&items.len()) => return Some(items),
            Some(Value::Array(_)) => {
                let message = format!("must have {} to {} items", length.start(), length.end());
                self.faults.add(field, Code::BadLength, message);
            }
            None | Some(Value::Null) => self.faults.add(field, Code::Required, "is required"),
            Some(_) => self.faults.add(field, Code::NotAnArray, "must be an array"),
        }
        None
    }

    /// A required name: 1 to 100 characters between white space, no control characters.
    pub fn name(&mut self, field: &'static str) -> Option<String> {
        let text = self.string(field)?;
        let name = text.trim();
        if (1..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
            return Some(name.to_owned());
        }
        self.faults.add(field, Code::BadName, "must be 1 to 100 characters without control characters");
        None
    }

    /// An integer in `range`; `default` where it is not given.
    pub fn integer(&mut self, field: &'static str, range: RangeInclusive<u64>, default: u64) -> u64 {
        match self.fields.remove(field) {
            None | Some(Value::Null) => default,
            Some(value) => self.in_range(field, &value, &range).unwrap_or(default),
        }
    }

    /// An integer in `range`, or `null`, which must be said: the outer one is what was said.
    pub fn integer_or_null(
        &mut self,
        field: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<Option<u64>> {
        match self.fields.remove(field) {
            Some(Value::Null) => Some(None),
            Some(value) => self.in_range(field, &value, &range).map(Some),
            None => {
                self.faults.add(field, Code::Required, "is required: an integer or null");
                None
            }
        }
    }

    fn in_range(&mut self, field: &'static str, value: &Value, range: &RangeInclusive<u64>) -> Option<u64> {
        if !value.is_i64() && !value.is_u64() {
            self.faults.add(field, Code::NotAnInteger, "must be an integer");
            return None;
        }
        let number = value.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            let message = format!("must be {} to {}", range.start(), range.end());
            self.faults.add(field, Code::OutOfRange, message);
        }
        number
    }

    /// A required `true` or `false`.
    pub fn boolean(&mut self, field: &'static str) -> Option<bool> {
        match self.fields.remove(field) {
            Some(Value::Bool(value)) => return Some(value),
            None | Some(Value::Null) => self.faults.add(field, Code::Required, "is required"),
            Some(_) => self.faults.add(field, Code::NotABoolean, "must be true or false"),
        }
        None
    }

    /// A required list of words that `W` knows, without repetitions; at least one.
    pub fn words<W: WireEnum>(&mut self, field: &'static str) -> Option<Vec<W>> {
        let items = match self.fields.remove(field) {
            Some(Value::Array(items)) => items,
            None | Some(Value::Null) => {
                self.faults.add(field, Code::Required, "is required");
                return None;
            }
            Some(_) => {
                self.faults.add(field, Code::NotAnArray, "must be an array");
                return None;
            }
        };
        let mut words = Vec::new();
        for item in &items {
            let Some(word) = item.as_str().and_then(W::parse) else {
                let message = format!("must be a list of: {}", W::choices());
                self.faults.add(field, Code::UnknownWord, message);
                return None;
            };
            if !words.contains(&word) {
                words.push(word);
            }
        }
        if words.is_empty() {
            self.faults.add(
                field,
                Code::Empty,
                format!("must be a list of at least one of: {}", W::choices()),
            );
            return None;
        }
        Some(words)
    }
}

fn media_type(headers: &HeaderMap) -> Result<(), Error> {
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Error::UnsupportedContentEncoding);
    }
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    let json = essence == "application/json" || essence.contains('/') && essence.ends_with("+json");
    if json { Ok(()) } else { Err(Error::UnsupportedMediaType) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(body: &str) -> (Option<String>, bool) {
        let mut fields = Fields::parse(body.as_bytes()).expect("an object");
        (fields.name("name"), fields.faults.is_empty())
    }

    #[test]
    fn a_name_is_1_to_100_characters_after_trimming() {
        assert_eq!(name(r#"{"name": "  Cron Jobs "}"#), (Some("Cron Jobs".to_owned()), true));
        let long = "é".repeat(100);
        assert_eq!(name(&format!(r#"{{"name": "{long}"}}"#)), (Some(long.clone()), true));
        for wrong in
            [r#"{}"#, r#"{"name": null}"#, r#"{"name": 7}"#, r#"{"name": "  "}"#, r#"{"name": "a\u0000b"}"#]
        {
            assert_eq!(name(wrong), (None, false), "{wrong}");
        }
        assert_eq!(name(&format!(r#"{{"name": "{long}x"}}"#)), (None, false));
    }

    #[test]
    fn an_integer_is_one_and_in_its_range() {
        let read = |body: &str| {
            let mut fields = Fields::parse(body.as_bytes()).expect("an object");
            let value = fields.integer("n", 0..=10, 7);
            fields.faults.check().map(|()| value).map_err(Error::from)
        };
        for (body, expected) in [("{}", 7), (r#"{"n": null}"#, 7), (r#"{"n": 0}"#, 0), (r#"{"n": 10}"#, 10)] {
            assert_eq!(read(body), Ok(expected), "{body}");
        }
        for body in [r#"{"n": 11}"#, r#"{"n": -1}"#, r#"{"n": 1.5}"#, r#"{"n": "1"}"#, r#"{"n": 1e99}"#] {
            assert!(matches!(read(body), Err(Error::InvalidParameter(_))), "{body}");
        }
    }

    #[test]
    fn null_is_a_value_only_where_it_is_asked_for() {
        let read = |body: &str| {
            let mut fields = Fields::parse(body.as_bytes()).expect("an object");
            fields.integer_or_null("n", 1..=10)
        };
        assert_eq!(read(r#"{"n": null}"#), Some(None));
        assert_eq!(read(r#"{"n": 3}"#), Some(Some(3)));
        assert_eq!(read("{}"), None);
        assert_eq!(read(r#"{"n": 0}"#), None);
    }

    #[test]
    fn what_is_not_json_is_told_from_what_is_not_an_object() {
        assert!(matches!(Fields::parse(b"{"), Err(Error::InvalidJson(_))));
        assert!(matches!(Fields::parse(b""), Err(Error::InvalidJson(_))));
        assert!(matches!(Fields::parse(b"[1]"), Err(Error::InvalidParameter(_))));
    }

    #[tokio::test]
    async fn a_body_at_the_limit_is_taken_and_one_beyond_it_is_not() {
        let body = |length| Collected::read(Body::from(vec![b' '; length]));
        assert!(body(LIMIT).await.0.is_ok());
        assert_eq!(body(LIMIT + 1).await.0, Err(Error::BodyTooLarge));
    }
}
