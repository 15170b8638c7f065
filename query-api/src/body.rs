//! Request bodies: up to 64 KiB, JSON for everything but the Prometheus API.
//!
//! The middleware reads a body before the handler runs, so that a client whose request is refused can still
//! read the answer. Bytes beyond the limit are read and dropped, up to a bound.

use crate::error::Error;
use crate::fields::{Fields, FromFields};
use axum::body::Body;
use axum::extract::FromRequestParts;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::http::request::Parts;
use std::time::Duration;

/// Maximum size of a body in bytes.
const LIMIT: usize = 64 << 10;
/// Maximum number of bytes that are read and dropped after a body has exceeded its limit.
const DROP_LIMIT: usize = 8 << 20;
/// Maximum time for a whole body to arrive.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A request's body as the middleware read it, or the reason why it could not be read.
#[derive(Debug, Clone)]
pub struct ReceivedBody(Result<Bytes, Error>);

impl ReceivedBody {
    /// Reads `body` to its end.
    pub async fn read(body: Body) -> Self {
        Self(tokio::time::timeout(TIMEOUT, collect(body)).await.unwrap_or(Err(Error::RequestTimeout)))
    }

    /// Takes the body out of a request; it is empty if the middleware did not run.
    pub fn take(parts: &mut Parts) -> Result<Bytes, Error> {
        parts.extensions.remove::<Self>().map_or(Ok(Bytes::new()), |Self(result)| result)
    }
}

async fn collect(mut body: Body) -> Result<Bytes, Error> {
    let (mut bytes, mut length) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::BodyIncomplete)?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length <= LIMIT {
            bytes.extend_from_slice(&data);
        } else if length > DROP_LIMIT {
            break;
        }
    }
    if length <= LIMIT { Ok(bytes.freeze()) } else { Err(Error::BodyTooLarge) }
}

/// A body that is valid. Handlers that must check something else first take [`Fields`] and validate them later.
#[derive(Debug)]
pub struct Validated<T>(pub T);

/// A body that is valid. It may be left out or be `null`; it then has no fields.
#[derive(Debug)]
pub struct ValidatedOrEmpty<T>(pub T);

impl<S: Sync> FromRequestParts<S> for Fields {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        check_media_type(&parts.headers)?;
        Self::parse(&ReceivedBody::take(parts)?)
    }
}

impl<S: Sync, T: FromFields> FromRequestParts<S> for Validated<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Fields::from_request_parts(parts, state).await?.validate().map(Self)
    }
}

impl<S: Sync, T: FromFields> FromRequestParts<S> for ValidatedOrEmpty<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let bytes = ReceivedBody::take(parts)?;
        let fields = if matches!(bytes.trim_ascii(), b"" | b"null") {
            Fields::default()
        } else {
            check_media_type(&parts.headers)?;
            Fields::parse(&bytes)?
        };
        fields.validate().map(Self)
    }
}

/// Accepts bodies without a `Content-Type`, and those whose type is JSON.
fn check_media_type(headers: &HeaderMap) -> Result<(), Error> {
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

    #[tokio::test]
    async fn body_over_the_limit_is_refused() {
        let body = |length| ReceivedBody::read(Body::from(vec![b' '; length]));
        assert!(body(LIMIT).await.0.is_ok());
        assert_eq!(body(LIMIT + 1).await.0, Err(Error::BodyTooLarge));
    }
}
