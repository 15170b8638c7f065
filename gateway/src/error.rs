//! All errors of the ingest call, in one enum. This module alone decides what a client sees of each of them.
//!
//! The projections (code, status, message, headers) are exhaustive matches, so a new error cannot lack one of
//! them.

use crate::fault::{Fault, FaultCode};
use crate::parse::json::SyntaxError;
use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderName, WWW_AUTHENTICATE};
use serde::Serialize;
use service::request_id::RequestId;
use service::wire_enum;
use std::borrow::Cow;

/// The reason why a request was rejected.
#[derive(Debug, Clone, PartialEq)]
pub enum Reject {
    /// Unknown path.
    NotFound,
    /// Any method but POST.
    MethodNotAllowed,
    /// `Content-Type` is not JSON.
    UnsupportedMediaType,
    UnsupportedContentEncoding,
    InvalidIdempotencyKey,
    /// No `Authorization` header.
    MissingKey,
    /// `Authorization` is not `Bearer <token>`.
    MalformedAuthorization,
    /// The token was never issued.
    InvalidKey,
    /// The token was issued and is no longer valid.
    RevokedKey,
    /// The key's scopes do not include ingest.
    InsufficientScope,
    /// A batch with another body is stored under the idempotency key.
    IdempotencyKeyReused,
    /// The hourly quota is used up; holds the seconds until the next hour.
    QuotaExceeded(u64),
    /// The body did not arrive in time.
    RequestTimeout,
    BodyTooLarge(BodyLimit),
    /// The connection failed or the chunked encoding was invalid before the body was complete.
    BodyBroken,
    /// The body does not decode as the named `Content-Encoding`.
    BodyUndecodable(&'static str),
    InvalidJson(SyntaxError),
    /// The batch breaks at least one rule.
    InvalidBatch(Vec<Fault>),
    /// The batch names another project than the key's; holds the key's project.
    ProjectMismatch(String),
    /// The gateway cannot serve the request at the moment.
    Unavailable(Unavailable),
}

/// The size limit that a body exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLimit {
    /// Bytes as sent.
    Wire,
    /// Bytes after decoding `Content-Encoding`.
    Decoded,
}

/// The reason why the gateway cannot serve a request at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// The key could not be looked up.
    Keys,
    /// The request could not be counted, and the outage policy lets no uncounted request pass.
    Quota,
    /// The first request with this idempotency key is still in flight.
    FirstInFlight,
    /// Nothing was sent to Kafka: it was not reached yet, the producer's queue is full, or the producer
    /// rejected the record.
    NotSent,
    /// Kafka rejected the record or did not acknowledge it in time. The batch may still arrive.
    NotAcknowledged,
}

wire_enum! {
    /// Machine-readable reason for a rejected request.
    pub enum ErrorCode {
        InvalidJson = "invalid_json",
        InvalidBatch = "invalid_batch",
        InvalidIdempotencyKey = "invalid_idempotency_key",
        MissingKey = "missing_key",
        MalformedAuthorization = "malformed_authorization",
        InvalidKey = "invalid_key",
        RevokedKey = "revoked_key",
        ProjectMismatch = "project_mismatch",
        InsufficientScope = "insufficient_scope",
        NotFound = "not_found",
        MethodNotAllowed = "method_not_allowed",
        RequestTimeout = "request_timeout",
        IdempotencyKeyReused = "idempotency_key_reused",
        BodyTooLarge = "body_too_large",
        UnsupportedMediaType = "unsupported_media_type",
        UnsupportedContentEncoding = "unsupported_content_encoding",
        QuotaExceeded = "quota_exceeded",
        Unavailable = "unavailable",
    }
}

impl Reject {
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound => ErrorCode::NotFound,
            Self::MethodNotAllowed => ErrorCode::MethodNotAllowed,
            Self::UnsupportedMediaType => ErrorCode::UnsupportedMediaType,
            Self::UnsupportedContentEncoding => ErrorCode::UnsupportedContentEncoding,
            Self::InvalidIdempotencyKey => ErrorCode::InvalidIdempotencyKey,
            Self::MissingKey => ErrorCode::MissingKey,
            Self::MalformedAuthorization => ErrorCode::MalformedAuthorization,
            Self::InvalidKey => ErrorCode::InvalidKey,
            Self::RevokedKey => ErrorCode::RevokedKey,
            Self::InsufficientScope => ErrorCode::InsufficientScope,
            Self::IdempotencyKeyReused => ErrorCode::IdempotencyKeyReused,
            Self::QuotaExceeded(_) => ErrorCode::QuotaExceeded,
            Self::RequestTimeout => ErrorCode::RequestTimeout,
            Self::BodyTooLarge(_) => ErrorCode::BodyTooLarge,
            Self::BodyBroken | Self::BodyUndecodable(_) | Self::InvalidJson(_) => ErrorCode::InvalidJson,
            Self::InvalidBatch(_) => ErrorCode::InvalidBatch,
            Self::ProjectMismatch(_) => ErrorCode::ProjectMismatch,
            Self::Unavailable(_) => ErrorCode::Unavailable,
        }
    }

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

    /// Returns a sentence that says what is wrong and what to do.
    pub fn message(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::NotFound => "This path does not exist: send metrics with POST to /api/webhooks/custom.",
            Self::MethodNotAllowed => "Only POST is allowed on this path: send metrics with POST.",
            Self::UnsupportedMediaType => "The Content-Type must be application/json.",
            Self::UnsupportedContentEncoding => {
                "The Content-Encoding is not supported: use gzip, zstd or deflate, or omit the header."
            }
            Self::InvalidIdempotencyKey => {
                "The Idempotency-Key must be 1 to 255 visible ASCII characters, without spaces."
            }
            Self::MissingKey => "The API key is missing: send the header `Authorization: Bearer <key>`.",
            Self::MalformedAuthorization => {
                "The Authorization header is malformed: it must be `Bearer <key>`."
            }
            Self::InvalidKey => {
                "This API key is unknown: check that it was copied completely, or rotate the connection's key and use the new one."
            }
            Self::RevokedKey => {
                "This API key was revoked or has expired: create or rotate a key and use the new one."
            }
            Self::InsufficientScope => {
                "This API key is not allowed to send metrics: use the API key of a connection."
            }
            Self::IdempotencyKeyReused => {
                "This Idempotency-Key was already used with a different body: use a new key for each new batch."
            }
            Self::QuotaExceeded(_) => {
                "The project's request quota for this hour is used up: wait for the next hour, or send more metrics per request."
            }
            Self::RequestTimeout => "The body did not arrive in time: send the request again.",
            Self::BodyTooLarge(BodyLimit::Wire) => {
                "The body is larger than 1 MiB: send fewer metrics per request."
            }
            Self::BodyTooLarge(BodyLimit::Decoded) => {
                "The decoded body is larger than 4 MiB: send fewer metrics per request."
            }
            Self::BodyBroken => "The body did not arrive completely: send the request again.",
            Self::BodyUndecodable("zstd") => {
                "The body cannot be decoded as zstd: encode it with zstd and a window of at most 8 MiB, or omit \
                 Content-Encoding."
            }
            Self::BodyUndecodable(encoding) => {
                return format!(
                    "The body cannot be decoded as {encoding}: encode it with {encoding}, or omit Content-Encoding."
                )
                .into();
            }
            Self::InvalidJson(error) => return format!("The body is not valid JSON: {error}.").into(),
            Self::InvalidBatch(faults) => return batch_message(faults),
            Self::ProjectMismatch(project) => {
                return format!(
                    "This API key belongs to project {project}, but `projectId` names another project: send \
                     {project}, or use an API key of the other project."
                )
                .into();
            }
            Self::Unavailable(Unavailable::Keys) => "The API key cannot be checked at the moment: try again.",
            Self::Unavailable(Unavailable::Quota) => {
                "The batch was not stored because the quota cannot be checked at the moment: try again."
            }
            Self::Unavailable(Unavailable::FirstInFlight) => {
                "The first request with this Idempotency-Key is still in progress: try again."
            }
            Self::Unavailable(Unavailable::NotSent) => {
                "The batch was not stored because the service cannot accept it at the moment: try again."
            }
            Self::Unavailable(Unavailable::NotAcknowledged) => {
                "The batch may or may not have been stored: retry with the same Idempotency-Key; a retry without one may store it twice."
            }
        })
    }

    /// Returns every broken rule of the batch; empty for errors without `details`.
    pub fn details(&self) -> &[Fault] {
        match self {
            Self::InvalidBatch(faults) => faults,
            _ => &[],
        }
    }

    /// Returns the seconds after which a retry may succeed.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::QuotaExceeded(seconds) => Some(*seconds),
            Self::Unavailable(
                Unavailable::Keys | Unavailable::Quota | Unavailable::FirstInFlight | Unavailable::NotSent,
            ) => Some(1),
            Self::Unavailable(Unavailable::NotAcknowledged) => Some(2),
            _ => None,
        }
    }

    /// Returns the header that only answers with this error carry.
    pub fn header(&self) -> Option<(HeaderName, &'static str)> {
        match self {
            Self::MethodNotAllowed => Some((ALLOW, "POST")),
            Self::MissingKey | Self::MalformedAuthorization | Self::InvalidKey | Self::RevokedKey => {
                Some((WWW_AUTHENTICATE, "Bearer"))
            }
            _ => None,
        }
    }

    /// Returns the answer's JSON body.
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

/// The shape of every error.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Error)]
pub struct ErrorBody<'a> {
    /// Machine-readable reason.
    error: ErrorCode,
    /// Human-readable reason and remedy.
    message: Cow<'static, str>,
    /// Identifies the request; also sent in the header X-Request-Id.
    #[schema(value_type = String)]
    request_id: RequestId,
    /// With 429 and 503: seconds after which a retry may succeed; also sent in the header Retry-After.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after: Option<u64>,
    /// With `invalid_batch`: every broken rule, in order.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    details: &'a [Fault],
}

fn batch_message(faults: &[Fault]) -> Cow<'static, str> {
    let Some(first) = faults.first() else { return Cow::Borrowed("The batch is not valid.") };
    let location = match first.index {
        Some(index) if first.code == FaultCode::NotAnObject => format!("metrics[{index}]"),
        Some(index) => format!("metrics[{index}].{}", first.field),
        None => first.field.to_string(),
    };
    let more = match faults.len() - 1 {
        0 => String::new(),
        1 => " (and 1 more error)".to_owned(),
        more => format!(" (and {more} more errors)"),
    };
    format!("Nothing was stored: `{location}` {}{more}.", first.message).into()
}
