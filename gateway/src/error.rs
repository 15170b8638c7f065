//! Every error of the ingest call, in one enum: what a client sees of it is decided here and nowhere else.
//!
//! The projections are exhaustive matches, so an error that is added cannot forget its status or its message.

use crate::fault::{Code, Fault};
use crate::parse::json::SyntaxError;
use hyper::StatusCode;
use serde::Serialize;
use service::request_id::RequestId;
use std::borrow::Cow;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq)]
pub enum Reject {
    /// There is nothing at this path.
    NotFound,
    /// The path takes POST only.
    MethodNotAllowed,
    /// `Content-Type` is something else than JSON.
    UnsupportedMediaType,
    /// `Content-Encoding` is none that we decode.
    UnsupportedContentEncoding,
    /// `Idempotency-Key` breaks its rule.
    InvalidIdempotencyKey,
    /// There is no `Authorization`.
    MissingKey,
    /// `Authorization` is not `Bearer <token>`.
    MalformedAuthorization,
    /// A token that we never gave out.
    InvalidKey,
    /// A token that was ours once.
    RevokedKey,
    /// The key may not ingest.
    InsufficientScope,
    /// The idempotency key was used with another body.
    IdempotencyKeyReused,
    /// The hour's requests are used up, for so many seconds more.
    QuotaExceeded(u64),
    /// The body stopped arriving.
    RequestTimeout,
    /// The body is over one of the two limits.
    BodyTooLarge(Limit),
    /// The body did not arrive whole.
    BodyBroken,
    /// The body does not decode as its `Content-Encoding` says.
    BodyUndecodable(&'static str),
    /// The body is not JSON.
    InvalidJson(SyntaxError),
    /// The batch breaks rules; at least one.
    InvalidBatch(Vec<Fault>),
    /// The batch names another project than the key's, which is this one.
    ProjectMismatch(String),
    /// We cannot do it now.
    Unavailable(Unavailable),
}

/// Which limit a body is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Bytes as they were sent.
    Wire,
    /// Bytes after `Content-Encoding` was undone.
    Decoded,
}

/// What is missing when we cannot serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// The key could not be looked up.
    Keys,
    /// The request could not be counted, and nothing passes uncounted.
    Quota,
    /// The first request with this idempotency key has not ended yet.
    UnderWay,
    /// Nothing was sent to Kafka: not connected yet, its queue is full, or the producer did not take the record.
    NotSent,
    /// Kafka did not acknowledge in time, or refused. The batch may still arrive.
    NotAcknowledged,
}

impl Reject {
    /// The machine code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::UnsupportedContentEncoding => "unsupported_content_encoding",
            Self::InvalidIdempotencyKey => "invalid_idempotency_key",
            Self::MissingKey => "missing_key",
            Self::MalformedAuthorization => "malformed_authorization",
            Self::InvalidKey => "invalid_key",
            Self::RevokedKey => "revoked_key",
            Self::InsufficientScope => "insufficient_scope",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::QuotaExceeded(_) => "quota_exceeded",
            Self::RequestTimeout => "request_timeout",
            Self::BodyTooLarge(_) => "body_too_large",
            Self::BodyBroken | Self::BodyUndecodable(_) | Self::InvalidJson(_) => "invalid_json",
            Self::InvalidBatch(_) => "invalid_batch",
            Self::ProjectMismatch(_) => "project_mismatch",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::InvalidIdempotencyKey
            | Self::BodyBroken
            | Self::BodyUndecodable(_)
            | Self::InvalidJson(_)
            | Self::InvalidBatch(_) => StatusCode::BAD_REQUEST,
            Self::MissingKey | Self::MalformedAuthorization | Self::InvalidKey | Self::RevokedKey => {
                StatusCode::UNAUTHORIZED
            }
            Self::InsufficientScope | Self::ProjectMismatch(_) => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::IdempotencyKeyReused => StatusCode::CONFLICT,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType | Self::UnsupportedContentEncoding => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Self::QuotaExceeded(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// One sentence that a person can act on.
    pub fn message(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::NotFound => "There is nothing here: send metrics with POST to /api/webhooks/custom.",
            Self::MethodNotAllowed => "Only POST is allowed here.",
            Self::UnsupportedMediaType => "The Content-Type must be application/json.",
            Self::UnsupportedContentEncoding => {
                "The Content-Encoding must be gzip, zstd or deflate, or be left out."
            }
            Self::InvalidIdempotencyKey => "The Idempotency-Key must be 1 to 255 visible ASCII characters.",
            Self::MissingKey => "There is no API key: send the header `Authorization: Bearer <key>`.",
            Self::MalformedAuthorization => "The header Authorization must read `Bearer <key>`.",
            Self::InvalidKey => {
                "This API key is not known: check that it was copied whole, or rotate the connection's key and use the new one."
            }
            Self::RevokedKey => "This API key was revoked: make or rotate a key and use the new one.",
            Self::InsufficientScope => "This key may not send metrics: use the API key of a connection.",
            Self::IdempotencyKeyReused => {
                "This Idempotency-Key was used with another body: use a new key for a new batch."
            }
            Self::QuotaExceeded(_) => {
                "The requests of this hour are used up: wait, or put more metrics in one request."
            }
            Self::RequestTimeout => "The body stopped arriving: send it again.",
            Self::BodyTooLarge(Limit::Wire) => "The body is over 1 MiB: send fewer metrics at once.",
            Self::BodyTooLarge(Limit::Decoded) => {
                "The decoded body is over 4 MiB: send fewer metrics at once."
            }
            Self::BodyBroken => "The body did not arrive whole: send it again.",
            Self::BodyUndecodable("zstd") => {
                "The body does not decode as zstd: encode it so, with a window of at most 8 MiB, or leave \
                 Content-Encoding out."
            }
            Self::BodyUndecodable(encoding) => {
                return format!(
                    "The body does not decode as {encoding}: encode it so, or leave Content-Encoding out."
                )
                .into();
            }
            Self::InvalidJson(error) => return format!("The body is not valid JSON: {error}.").into(),
            Self::InvalidBatch(faults) => return batch_message(faults),
            Self::ProjectMismatch(project) => {
                return format!(
                    "This key belongs to project {project}, the batch names another one: name it, or use a key of the other."
                )
                .into();
            }
            Self::Unavailable(Unavailable::Keys) => "The key cannot be looked up at the moment: try again.",
            Self::Unavailable(Unavailable::Quota) => {
                "The batch was not stored, the quota cannot be checked at the moment: try again."
            }
            Self::Unavailable(Unavailable::UnderWay) => {
                "The first request with this Idempotency-Key is still under way: try again."
            }
            Self::Unavailable(Unavailable::NotSent) => {
                "The batch was not stored, we cannot take it at the moment: try again."
            }
            Self::Unavailable(Unavailable::NotAcknowledged) => {
                "The batch may or may not be stored: send it again with the same Idempotency-Key; without one it may be stored twice."
            }
        })
    }

    /// What is wrong in detail; empty where the answer has no `details`.
    pub fn details(&self) -> &[Fault] {
        match self {
            Self::InvalidBatch(faults) => faults,
            _ => &[],
        }
    }

    /// After how many seconds it may work.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::QuotaExceeded(seconds) => Some(*seconds),
            Self::Unavailable(
                Unavailable::Keys | Unavailable::Quota | Unavailable::UnderWay | Unavailable::NotSent,
            ) => Some(1),
            Self::Unavailable(Unavailable::NotAcknowledged) => Some(2),
            _ => None,
        }
    }

    /// The header that only this error has.
    pub fn header(&self) -> Option<(hyper::header::HeaderName, &'static str)> {
        use hyper::header::{ALLOW, WWW_AUTHENTICATE};
        match self {
            Self::MethodNotAllowed => Some((ALLOW, "POST")),
            Self::MissingKey | Self::MalformedAuthorization | Self::InvalidKey | Self::RevokedKey => {
                Some((WWW_AUTHENTICATE, "Bearer"))
            }
            _ => None,
        }
    }

    /// The answer's body.
    pub fn body(&self, request_id: RequestId) -> Vec<u8> {
        let body = ErrorBody {
            error: self.code(),
            message: self.message(),
            request_id,
            retry_after: self.retry_after(),
            details: self.details(),
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

/// The one shape of every error.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Error)]
pub struct ErrorBody<'a> {
    /// What is wrong, for machines.
    #[schema(value_type = crate::openapi::ErrorCode)]
    error: &'static str,
    /// What is wrong and what to do, for people.
    message: Cow<'static, str>,
    /// Names the request; the header X-Request-Id too.
    #[schema(value_type = String)]
    request_id: RequestId,
    /// With 429 and 503: after how many seconds it may work; the header Retry-After too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after: Option<u64>,
    /// With `invalid_batch`: every fault, in order.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    details: &'a [Fault],
}

fn batch_message(faults: &[Fault]) -> Cow<'static, str> {
    let Some(first) = faults.first() else { return Cow::Borrowed("The batch is not valid.") };
    let place = match first.index {
        Some(index) if first.code == Code::NotAnObject => format!("metrics[{index}]"),
        Some(index) => format!("metrics[{index}].{}", first.field),
        None => first.field.to_string(),
    };
    let more = match faults.len() - 1 {
        0 => String::new(),
        1 => " (and one more fault)".to_owned(),
        more => format!(" (and {more} more faults)"),
    };
    format!("Nothing was stored: `{place}` {}{more}.", first.message).into()
}
