//! Checks a request's head in the order in which violations are answered: route, method, content type,
//! content encoding, idempotency key. The bearer token is checked after them.

use crate::error::Reject;
use crate::request::encoding::Encoding;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use hyper::http::request::Parts;

/// Path of the ingest call, the only path that the gateway serves.
pub const PATH: &str = "/api/webhooks/custom";

pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The checked head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    pub encoding: Encoding,
    /// 1 to 255 visible ASCII characters.
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
    check_media_type(&parts.headers)?;
    Ok(Head {
        encoding: content_encoding(&parts.headers)?,
        idempotency_key: idempotency_key(&parts.headers)?,
    })
}

/// Returns the token of `Authorization: Bearer <token>`.
pub fn bearer_token(headers: &HeaderMap) -> Result<&str, Reject> {
    let value = match header_values(headers, &AUTHORIZATION) {
        HeaderValues::None => return Err(Reject::MissingKey),
        HeaderValues::One(value) => value,
        HeaderValues::Many => return Err(Reject::MalformedAuthorization),
    };
    let (scheme, rest) = value.split_at_checked(6).ok_or(Reject::MalformedAuthorization)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") || rest.first() != Some(&b' ') {
        return Err(Reject::MalformedAuthorization);
    }
    visible_ascii(rest.trim_ascii_start()).ok_or(Reject::MalformedAuthorization)
}

enum HeaderValues<'a> {
    None,
    One(&'a [u8]),
    Many,
}

fn header_values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> HeaderValues<'a> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => HeaderValues::None,
        (Some(value), None) => HeaderValues::One(value.as_bytes()),
        (Some(_), Some(_)) => HeaderValues::Many,
    }
}

/// Returns `text` if it consists of one or more visible ASCII characters.
fn visible_ascii(text: &[u8]) -> Option<&str> {
    let is_visible = !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
    is_visible.then(|| std::str::from_utf8(text).ok()).flatten()
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Reject> {
    match header_values(headers, &CONTENT_TYPE) {
        HeaderValues::None => Ok(()),
        HeaderValues::One(value) if is_json(value) => Ok(()),
        HeaderValues::One(_) | HeaderValues::Many => Err(Reject::UnsupportedMediaType),
    }
}

/// Accepts `application/json` and media types with the suffix `+json`, and ignores parameters.
fn is_json(value: &[u8]) -> bool {
    if value == b"application/json" {
        return true;
    }
    let essence = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let Some(slash) = essence.iter().position(|&byte| byte == b'/') else { return false };
    let (kind, subtype) = (&essence[..slash], &essence[slash + 1..]);
    let has_json_suffix = subtype.len() > 5 && subtype[subtype.len() - 5..].eq_ignore_ascii_case(b"+json");
    is_token(kind)
        && is_token(subtype)
        && (has_json_suffix
            || kind.eq_ignore_ascii_case(b"application") && subtype.eq_ignore_ascii_case(b"json"))
}

/// Accepts a token as defined by RFC 9110.
fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn content_encoding(headers: &HeaderMap) -> Result<Encoding, Reject> {
    match header_values(headers, &CONTENT_ENCODING) {
        HeaderValues::None => Ok(Encoding::Identity),
        HeaderValues::One(value) => Encoding::from_name(value).ok_or(Reject::UnsupportedContentEncoding),
        HeaderValues::Many => Err(Reject::UnsupportedContentEncoding),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Reject> {
    match header_values(headers, &IDEMPOTENCY_KEY) {
        HeaderValues::None => Ok(None),
        HeaderValues::One(value) if value.len() <= 255 => {
            visible_ascii(value).map(Some).ok_or(Reject::InvalidIdempotencyKey)
        }
        HeaderValues::One(_) | HeaderValues::Many => Err(Reject::InvalidIdempotencyKey),
    }
}
