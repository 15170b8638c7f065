//! Every error of the API, in one enum: what a client sees of it is decided here and nowhere else.
//!
//! The projections are exhaustive matches, so an error that is added cannot forget its status or its message. A handler
//! returns the enum; [`crate::answer`] writes it once the request's id is known.

use crate::fault::{Fault, Faults};
use axum::response::{IntoResponse, Response};
use control::keys::AuthError;
use control::projection::ReadError;
use hyper::StatusCode;
use serde::Serialize;
use service::request_id::RequestId;
use std::borrow::Cow;
use utoipa::ToSchema;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// There is nothing at this path.
    NoRoute,
    /// The project has no such metric.
    NoMetric,
    /// There is no such project, or it is another one than the key's.
    NoProject,
    /// The project has no such connection.
    NoConnection,
    /// The project has no such key that stands alone.
    NoKey,
    /// The project has no such dashboard.
    NoDashboard,
    /// The project has no such alert rule.
    NoAlert,
    /// The project has no such channel.
    NoChannel,
    /// The project's plan does not include it.
    PlanRequired,
    /// The path takes other methods; `Allow` names them.
    MethodNotAllowed,
    /// `Content-Type` is something else than JSON.
    UnsupportedMediaType,
    /// The body is encoded.
    UnsupportedContentEncoding,
    /// There is no `Authorization`.
    MissingKey,
    /// `Authorization` is not `Bearer <token>`.
    MalformedAuthorization,
    /// A token that we never gave out.
    InvalidKey,
    /// A token that was ours once.
    RevokedKey,
    /// A session cookie that is not ours, or has ended.
    InvalidSession,
    /// The key may never make this call.
    InsufficientScope(Needs),
    /// The body stopped arriving.
    RequestTimeout,
    /// The body is over the limit.
    BodyTooLarge,
    /// The body did not arrive whole.
    BodyBroken,
    /// The body is not JSON, and why.
    InvalidJson(String),
    /// Fields or parameters break rules; at least one.
    InvalidParameter(Vec<Fault>),
    /// The change was made for another version.
    VersionMismatch,
    /// The change does not say which version it was made for.
    VersionRequired,
    /// What is to be changed does not allow it now.
    Conflict(Conflict),
    /// We cannot do it now.
    Unavailable(Unavailable),
    /// A query ran into its deadline.
    QueryTimeout,
    /// The project's queries wait in a line that is too long, or waited too long.
    TooManyQueries,
    /// The project has as many streams as it may have.
    TooManyStreams,
}

/// What a call asks of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Scope `read`.
    Read,
    /// Scope `manage`.
    Manage,
    /// The operator's token.
    Operator,
}

/// What stands in the way of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// Another change of the same thing.
    Busy,
    /// Too many replaced keys are in their grace.
    TooManyKeys,
    /// The rule is ok: there is nothing to acknowledge.
    NotFiring,
    /// The rule has no channels that could be told.
    NoChannels,
}

/// What is missing when we cannot serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// The key could not be looked up.
    Keys,
    /// The plan could not be looked up.
    Plans,
    /// Whether a session was ended could not be looked up.
    Sessions,
    /// Redis did not say what there is.
    Directory,
    /// Redis did not say which store is read, or there is none yet.
    Store,
    /// ClickHouse did not answer.
    Query,
    /// Redis did not say how a project stands.
    Usage,
    /// A change was not, or may not have been, carried out.
    Command,
}

impl From<AuthError> for Error {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unknown => Self::InvalidKey,
            AuthError::Revoked => Self::RevokedKey,
            AuthError::Unavailable => Self::Unavailable(Unavailable::Keys),
        }
    }
}

impl Error {
    /// The machine code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoRoute
            | Self::NoMetric
            | Self::NoProject
            | Self::NoConnection
            | Self::NoKey
            | Self::NoDashboard
            | Self::NoAlert
            | Self::NoChannel => "not_found",
            Self::PlanRequired => "plan_required",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::UnsupportedContentEncoding => "unsupported_content_encoding",
            Self::MissingKey => "missing_key",
            Self::MalformedAuthorization => "malformed_authorization",
            Self::InvalidKey | Self::InvalidSession => "invalid_key",
            Self::RevokedKey => "revoked_key",
            Self::InsufficientScope(_) => "insufficient_scope",
            Self::RequestTimeout => "request_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyBroken | Self::InvalidJson(_) => "invalid_json",
            Self::InvalidParameter(_) => "invalid_parameter",
            Self::VersionMismatch => "version_mismatch",
            Self::VersionRequired => "version_required",
            Self::Conflict(_) => "conflict",
            Self::Unavailable(_) => "unavailable",
            Self::QueryTimeout => "query_timeout",
            Self::TooManyQueries | Self::TooManyStreams => "too_many_queries",
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BodyBroken | Self::InvalidJson(_) | Self::InvalidParameter(_) => StatusCode::BAD_REQUEST,
            Self::MissingKey
            | Self::MalformedAuthorization
            | Self::InvalidKey
            | Self::RevokedKey
            | Self::InvalidSession => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope(_) | Self::PlanRequired => StatusCode::FORBIDDEN,
            Self::NoRoute
            | Self::NoMetric
            | Self::NoProject
            | Self::NoConnection
            | Self::NoKey
            | Self::NoDashboard
            | Self::NoAlert
            | Self::NoChannel => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType | Self::UnsupportedContentEncoding => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Self::VersionMismatch => StatusCode::PRECONDITION_FAILED,
            Self::VersionRequired => StatusCode::PRECONDITION_REQUIRED,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::QueryTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::TooManyQueries | Self::TooManyStreams => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// One sentence that a person can act on.
    pub fn message(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::NoRoute => "There is nothing here: /api/v1/openapi.json lists what there is.",
            Self::NoMetric => "This project has no such metric: it appears with its first point.",
            Self::NoProject => "There is no such project, or this key belongs to another one.",
            Self::NoConnection => "This project has no such connection: GET /api/v1/connections lists them.",
            Self::NoKey => "This project has no such key: GET /api/v1/keys lists them.",
            Self::NoDashboard => "This project has no such dashboard: GET /api/v1/dashboards lists them.",
            Self::NoAlert => "This project has no such alert rule: GET /api/v1/alerts lists them.",
            Self::NoChannel => "This project has no such channel: GET /api/v1/channels lists them.",
            Self::PlanRequired => "The project's plan has no alerts: ask the operator for one that has.",
            Self::MethodNotAllowed => {
                "The method is not allowed here: the header Allow names those that are."
            }
            Self::UnsupportedMediaType => "The Content-Type must be application/json.",
            Self::UnsupportedContentEncoding => "The body must not be encoded: leave Content-Encoding out.",
            Self::MissingKey => "There is no API key: send the header `Authorization: Bearer <key>`.",
            Self::MalformedAuthorization => "The header Authorization must read `Bearer <key>`.",
            Self::InvalidKey => {
                "This API key is not known: check that it was copied whole, or make a new one."
            }
            Self::RevokedKey => "This API key was revoked: make or rotate a key and use the new one.",
            Self::InvalidSession => "The session has ended: sign in again.",
            Self::InsufficientScope(Needs::Read) => {
                "This key may not read: use a key with the scope `read` or `manage`."
            }
            Self::InsufficientScope(Needs::Manage) => {
                "This key may not do this: use a key with the scope `manage`."
            }
            Self::InsufficientScope(Needs::Operator) => "Only the operator's token may do this.",
            Self::RequestTimeout => "The body stopped arriving: send it again.",
            Self::BodyTooLarge => "The body is over 64 KiB: leave something out, or split it.",
            Self::BodyBroken => "The body did not arrive whole: send it again.",
            Self::InvalidJson(reason) => return format!("The body is not valid JSON: {reason}.").into(),
            Self::InvalidParameter(faults) => return parameter_message(faults),
            Self::VersionMismatch => {
                "It was changed meanwhile, and has another version than If-Match says: get it again."
            }
            Self::VersionRequired => {
                "Say which version the change was made for: send the answer's ETag as If-Match, or `*`."
            }
            Self::Conflict(Conflict::Busy) => {
                "Another change of it is under way, and nothing was changed: try again in a few seconds."
            }
            Self::Conflict(Conflict::TooManyKeys) => {
                "Too many replaced keys are in their grace: rotate without grace, which ends them, or wait."
            }
            Self::Conflict(Conflict::NotFiring) => "The rule is ok: there is nothing to acknowledge.",
            Self::Conflict(Conflict::NoChannels) => {
                "The rule has no channels that could be told: give it some with PUT."
            }
            Self::Unavailable(Unavailable::Directory) => "It cannot be looked up at the moment: try again.",
            Self::Unavailable(Unavailable::Keys) => "The key cannot be looked up at the moment: try again.",
            Self::Unavailable(Unavailable::Sessions) => {
                "The session cannot be looked up at the moment: try again."
            }
            Self::Unavailable(Unavailable::Plans) => "The plan cannot be looked up at the moment: try again.",
            Self::Unavailable(Unavailable::Store | Unavailable::Query) => {
                "The metrics cannot be read at the moment: try again."
            }
            Self::Unavailable(Unavailable::Usage) => "The usage cannot be read at the moment: try again.",
            Self::Unavailable(Unavailable::Command) => {
                "The change may or may not have been made: look, and try again."
            }
            Self::QueryTimeout => "The query took too long: ask for a shorter range or for longer intervals.",
            Self::TooManyQueries => {
                "Too many queries of this project wait already: ask for several series at once by POST /api/v1/query."
            }
            Self::TooManyStreams => "This project has as many streams as it may have: close one first.",
        })
    }

    /// What is wrong in detail; empty where the answer has no `details`.
    pub fn details(&self) -> &[Fault] {
        match self {
            Self::InvalidParameter(faults) => faults,
            _ => &[],
        }
    }

    /// After how many seconds it may work.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Unavailable(
                Unavailable::Keys
                | Unavailable::Plans
                | Unavailable::Sessions
                | Unavailable::Directory
                | Unavailable::Store
                | Unavailable::Query
                | Unavailable::Usage,
            ) => Some(1),
            Self::Unavailable(Unavailable::Command) | Self::TooManyQueries => Some(2),
            Self::TooManyStreams => Some(10),
            _ => None,
        }
    }

    /// The header that only this error has.
    pub fn header(&self) -> Option<(hyper::header::HeaderName, &'static str)> {
        match self {
            Self::MissingKey
            | Self::MalformedAuthorization
            | Self::InvalidKey
            | Self::RevokedKey
            | Self::InvalidSession => Some((hyper::header::WWW_AUTHENTICATE, "Bearer")),
            _ => None,
        }
    }

    /// The answer's body.
    pub fn body(&self, request_id: RequestId) -> ErrorBody {
        ErrorBody {
            error: self.code(),
            message: self.message(),
            request_id: request_id.to_string(),
            retry_after: self.retry_after(),
            details: self.details().to_vec(),
        }
    }
}

/// The shape of every error.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// The machine code.
    error: &'static str,
    /// One sentence that a person can act on.
    message: Cow<'static, str>,
    /// The id that `X-Request-Id` has too.
    request_id: String,
    /// With 429 and 503: after how many whole seconds it may work.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// With `invalid_parameter`: every broken rule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Fault>,
}

/// The error travels with the response until it is written.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

fn parameter_message(faults: &[Fault]) -> Cow<'static, str> {
    let Some(first) = faults.first() else { return Cow::Borrowed("The request is not valid.") };
    let field = if first.field.is_empty() { "The body".to_owned() } else { format!("`{}`", first.field) };
    let more = match faults.len() - 1 {
        0 => String::new(),
        1 => " (and one more fault)".to_owned(),
        more => format!(" (and {more} more faults)"),
    };
    format!("{field} {}{more}.", first.message).into()
}

/// Logs a failed lookup in the directory and returns the error for the client.
pub fn unreadable(error: ReadError) -> Error {
    tracing::warn!(%error, "directory lookup failed: Redis unavailable");
    Error::Unavailable(Unavailable::Directory)
}

impl From<reads::Error> for Error {
    fn from(error: reads::Error) -> Self {
        match error {
            reads::Error::UnknownMetric => Self::NoMetric,
            reads::Error::StoreUnknown => Self::Unavailable(Unavailable::Store),
            reads::Error::QueryFailed => Self::Unavailable(Unavailable::Query),
            reads::Error::QueryTimeout => Self::QueryTimeout,
            reads::Error::TooManyQueries => Self::TooManyQueries,
            reads::Error::TooManyStreams => Self::TooManyStreams,
        }
    }
}

impl From<Faults> for Error {
    fn from(faults: Faults) -> Self {
        Self::InvalidParameter(faults.into_inner())
    }
}
