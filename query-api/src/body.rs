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
        let collected = parts.extensions.remove::<Collected>();
        let bytes = collected.map_or(Ok(Bytes::new()), |Collected(result)| result)?;
        Self::parse(&bytes)
    }
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

    /// A required string.
    pub fn string(&mut self, field: &'static str) -> Option<String> {
        match self.fields.remove(field) {
            Some(Value::String(text)) => return Some(text),
            None | Some(Value::Null) => self.faults.add(field, Code::Required, "is required"),
            Some(_) => self.faults.add(field, Code::NotAString, "must be a string"),
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
