//! The rules of the request's head, in the order in which they are answered: route, method, content type, content
//! encoding, idempotency key; and the bearer token, which comes after them.

use crate::error::Reject;
use crate::request::encoding::Encoding;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::{HeaderMap as Headers, Method};

/// The one path there is.
pub const PATH: &str = "/api/webhooks/custom";

/// The header of a client's own key for a request.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What the head says about the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// How the body is encoded.
    pub encoding: Encoding,
    /// The client's key for this request: 1 to 255 visible ASCII characters.
    pub idempotency_key: Option<&'a str>,
}

/// Checks route, method and headers.
pub fn check(parts: &Parts) -> Result<Head<'_>, Reject> {
    if parts.uri.path() != PATH {
        return Err(Reject::NotFound);
    }
    if parts.method != Method::POST {
        return Err(Reject::MethodNotAllowed);
    }
    media_type(&parts.headers)?;
    Ok(Head {
        encoding: content_encoding(&parts.headers)?,
        idempotency_key: idempotency_key(&parts.headers)?,
    })
}

/// The token of `Authorization: Bearer <token>`.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Reject> {
    let value = match values(headers, &AUTHORIZATION) {
        Values::None => return Err(Reject::MissingKey),
        Values::One(value) => value,
        Values::Many => return Err(Reject::MalformedAuthorization),
    };
    let (scheme, rest) = value.split_at_checked(6).ok_or(Reject::MalformedAuthorization)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") || rest.first() != Some(&b' ') {
        return Err(Reject::MalformedAuthorization);
    }
    visible(rest.trim_ascii_start()).ok_or(Reject::MalformedAuthorization)
}

enum Values<'a> {
    None,
    One(&'a [u8]),
    Many,
}

fn values<'a>(headers: &'a Headers, name: &HeaderName) -> Values<'a> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => Values::None,
        (Some(value), None) => Values::One(value.as_bytes()),
        (Some(_), Some(_)) => Values::Many,
    }
}

/// `text` if it is one or more visible ASCII characters.
fn visible(text: &[u8]) -> Option<&str> {
    let all = !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
    all.then(|| std::str::from_utf8(text).ok()).flatten()
}

fn media_type(headers: &Headers) -> Result<(), Reject> {
    match values(headers, &CONTENT_TYPE) {
        Values::None => Ok(()),
        Values::One(value) if is_json(value) => Ok(()),
        Values::One(_) | Values::Many => Err(Reject::UnsupportedMediaType),
    }
}

/// Whether the media type is `application/json` or ends in `+json`, whatever its parameters.
fn is_json(value: &[u8]) -> bool {
    if value == b"application/json" {
        return true;
    }
    let essence = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let Some(slash) = essence.iter().position(|&byte| byte == b'/') else { return false };
    let (kind, subtype) = (&essence[..slash], &essence[slash + 1..]);
    let suffixed = subtype.len() > 5 && subtype[subtype.len() - 5..].eq_ignore_ascii_case(b"+json");
    is_token(kind)
        && is_token(subtype)
        && (suffixed || kind.eq_ignore_ascii_case(b"application") && subtype.eq_ignore_ascii_case(b"json"))
}

/// A token as RFC 9110 has it.
fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn content_encoding(headers: &Headers) -> Result<Encoding, Reject> {
    match values(headers, &CONTENT_ENCODING) {
        Values::None => Ok(Encoding::Identity),
        Values::One(value) => Encoding::named(value).ok_or(Reject::UnsupportedContentEncoding),
        Values::Many => Err(Reject::UnsupportedContentEncoding),
    }
}

fn idempotency_key(headers: &Headers) -> Result<Option<&str>, Reject> {
    match values(headers, &IDEMPOTENCY_KEY) {
        Values::None => Ok(None),
        Values::One(value) if value.len() <= 255 => {
            visible(value).map(Some).ok_or(Reject::InvalidIdempotencyKey)
        }
        Values::One(_) | Values::Many => Err(Reject::InvalidIdempotencyKey),
    }
}
