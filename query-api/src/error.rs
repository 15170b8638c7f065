//! The errors of the API, in one enum. It alone decides the status, the code and the message that clients see.
//!
//! Every projection is an exhaustive match, so a new error cannot lack a status or a message. Handlers return
//! the enum; [`crate::middleware`] writes the answer, because only it knows the request id.

use crate::faults::{Fault, Faults};
use axum::response::{IntoResponse, Response};
use control::keys::AuthError;
use control::projection::ReadError;
use hyper::StatusCode;
use serde::Serialize;
use service::request_id::RequestId;
use std::borrow::Cow;
use utoipa::ToSchema;

/// The reason why a request was refused.
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// No route has this path.
    RouteNotFound,
    /// The project has no such metric.
    MetricNotFound,
    /// The project does not exist, or the key belongs to another one.
    ProjectNotFound,
    /// The project has no such connection.
    ConnectionNotFound,
    /// The project has no such key, or the key belongs to a connection.
    KeyNotFound,
    /// The project has no such dashboard.
    DashboardNotFound,
    /// The project has no such alert rule.
    AlertNotFound,
    /// The project has no such channel.
    ChannelNotFound,
    /// The project's plan does not include the feature.
    PlanRequired,
    /// The route does not support the method; the header `Allow` lists the supported ones.
    MethodNotAllowed,
    /// The `Content-Type` is not JSON.
    UnsupportedMediaType,
    /// The body has a `Content-Encoding`.
    UnsupportedContentEncoding,
    /// The request has no `Authorization` header.
    MissingKey,
    /// The header `Authorization` is not `Bearer <token>`.
    MalformedAuthorization,
    /// The token was never issued.
    InvalidKey,
    /// The token was revoked.
    RevokedKey,
    /// The session cookie was not issued by this installation, or the session has ended.
    InvalidSession,
    /// The key's scopes do not allow the call.
    InsufficientScope(RequiredScope),
    /// The body did not arrive in time.
    RequestTimeout,
    /// The body exceeds its size limit.
    BodyTooLarge,
    /// The connection failed before the whole body had arrived.
    BodyIncomplete,
    /// The body is not JSON; the parser's reason.
    InvalidJson(String),
    /// Fields or parameters break rules.
    InvalidParameter(Vec<Fault>),
    /// `If-Match` names another version than the current one.
    VersionMismatch,
    /// The call requires `If-Match`.
    VersionRequired,
    /// The state of the entity does not allow the change.
    Conflict(Conflict),
    /// A dependency is unavailable.
    Unavailable(Unavailable),
    /// A query exceeded its deadline.
    QueryTimeout,
    /// The queue of the project's queries is full, or the query waited too long in it.
    TooManyQueries,
    /// The project has reached its limit of concurrent streams.
    TooManyStreams,
}

/// The scope that a call requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequiredScope {
    /// Scope `read`.
    Read,
    /// Scope `manage`.
    Manage,
    /// The operator's token.
    Operator,
}

/// The reason why the state of an entity does not allow a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// Another change of the same entity is in progress.
    Busy,
    /// Too many replaced keys are still in their grace period.
    TooManyKeys,
    /// The rule is in the state `ok`, so it cannot be acknowledged.
    NotFiring,
    /// The rule has no channels to notify.
    NoChannels,
}

/// The lookup or change that failed because a dependency is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// The key could not be looked up.
    Keys,
    /// The plan could not be looked up.
    Plans,
    /// The sessions that were ended early could not be looked up.
    Sessions,
    /// The directory in Redis could not be read.
    Directory,
    /// The current store generation is unknown: Redis is unavailable, or no generation exists yet.
    Store,
    /// ClickHouse did not answer.
    Query,
    /// The usage could not be read.
    Usage,
    /// A change was not made, or its outcome is unknown.
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
    /// The machine code, stable for clients.
    pub fn code(&self) -> &'static str {
        match self {
            Self::RouteNotFound
            | Self::MetricNotFound
            | Self::ProjectNotFound
            | Self::ConnectionNotFound
            | Self::KeyNotFound
            | Self::DashboardNotFound
            | Self::AlertNotFound
            | Self::ChannelNotFound => "not_found",
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
            Self::BodyIncomplete | Self::InvalidJson(_) => "invalid_json",
            Self::InvalidParameter(_) => "invalid_parameter",
            Self::VersionMismatch => "version_mismatch",
            Self::VersionRequired => "version_required",
            Self::Conflict(_) => "conflict",
            Self::Unavailable(_) => "unavailable",
            Self::QueryTimeout => "query_timeout",
            Self::TooManyQueries | Self::TooManyStreams => "too_many_queries",
        }
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Self::BodyIncomplete | Self::InvalidJson(_) | Self::InvalidParameter(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::MissingKey
            | Self::MalformedAuthorization
            | Self::InvalidKey
            | Self::RevokedKey
            | Self::InvalidSession => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope(_) | Self::PlanRequired => StatusCode::FORBIDDEN,
            Self::RouteNotFound
            | Self::MetricNotFound
            | Self::ProjectNotFound
            | Self::ConnectionNotFound
            | Self::KeyNotFound
            | Self::DashboardNotFound
            | Self::AlertNotFound
            | Self::ChannelNotFound => StatusCode::NOT_FOUND,
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

    /// A sentence that says what is wrong and what to do.
    pub fn message(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::RouteNotFound => "This path does not exist: see /api/v1/openapi.json for all paths.",
            Self::MetricNotFound => {
                "The project has no such metric: a metric is created by the first point that is sent to it."
            }
            Self::ProjectNotFound => "The project does not exist, or this key belongs to another project.",
            Self::ConnectionNotFound => {
                "The project has no such connection: GET /api/v1/connections lists its connections."
            }
            Self::KeyNotFound => "The project has no such key: GET /api/v1/keys lists its keys.",
            Self::DashboardNotFound => {
                "The project has no such dashboard: GET /api/v1/dashboards lists its dashboards."
            }
            Self::AlertNotFound => "The project has no such alert rule: GET /api/v1/alerts lists its rules.",
            Self::ChannelNotFound => {
                "The project has no such channel: GET /api/v1/channels lists its channels."
            }
            Self::PlanRequired => {
                "The project's plan does not include alerts: ask the operator for another plan."
            }
            Self::MethodNotAllowed => {
                "This path does not support the method: the header Allow lists the supported methods."
            }
            Self::UnsupportedMediaType => "The Content-Type must be application/json.",
            Self::UnsupportedContentEncoding => {
                "The body must not be compressed: send it without Content-Encoding."
            }
            Self::MissingKey => "The API key is missing: send the header `Authorization: Bearer <key>`.",
            Self::MalformedAuthorization => "The header Authorization must be `Bearer <key>`.",
            Self::InvalidKey => {
                "The API key is unknown: check that it was copied completely, or create a new key."
            }
            Self::RevokedKey => "The API key was revoked: use another key, or create a new one.",
            Self::InvalidSession => "The session has ended: sign in again.",
            Self::InsufficientScope(RequiredScope::Read) => {
                "The key lacks the scope `read`: use a key with the scope `read` or `manage`."
            }
            Self::InsufficientScope(RequiredScope::Manage) => {
                "The key lacks the scope `manage`: use a key with the scope `manage`."
            }
            Self::InsufficientScope(RequiredScope::Operator) => "This call requires the operator's token.",
            Self::RequestTimeout => "The body did not arrive in time: send the request again.",
            Self::BodyTooLarge => "The body exceeds 64 KiB: shorten it, or split the request.",
            Self::BodyIncomplete => "The body did not arrive completely: send the request again.",
            Self::InvalidJson(reason) => return format!("The body is not valid JSON: {reason}.").into(),
            Self::InvalidParameter(faults) => return parameter_message(faults),
            Self::VersionMismatch => {
                "If-Match does not name the current version: get the entity again and repeat the change."
            }
            Self::VersionRequired => {
                "The header If-Match is missing: send the ETag of the version to change, or `*`."
            }
            Self::Conflict(Conflict::Busy) => {
                "Another change of the same entity is in progress, and nothing was changed: retry in a few seconds."
            }
            Self::Conflict(Conflict::TooManyKeys) => {
                "Too many replaced keys are in their grace period: rotate without a grace period, which ends \
                 those of all replaced keys, or wait."
            }
            Self::Conflict(Conflict::NotFiring) => {
                "The rule is in the state ok: there is nothing to acknowledge."
            }
            Self::Conflict(Conflict::NoChannels) => {
                "The rule has no channels to notify: add channels to it with PUT."
            }
            Self::Unavailable(Unavailable::Directory) => {
                "The directory cannot be read at the moment: retry the request."
            }
            Self::Unavailable(Unavailable::Keys) => {
                "The key cannot be looked up at the moment: retry the request."
            }
            Self::Unavailable(Unavailable::Sessions) => {
                "The session cannot be looked up at the moment: retry the request."
            }
            Self::Unavailable(Unavailable::Plans) => {
                "The plan cannot be looked up at the moment: retry the request."
            }
            Self::Unavailable(Unavailable::Store | Unavailable::Query) => {
                "The metrics cannot be read at the moment: retry the request."
            }
            Self::Unavailable(Unavailable::Usage) => {
                "The usage cannot be read at the moment: retry the request."
            }
            Self::Unavailable(Unavailable::Command) => {
                "The change may or may not have been made: check its result, then retry."
            }
            Self::QueryTimeout => "The query took too long: request a shorter range or a longer interval.",
            Self::TooManyQueries => {
                "Too many queries of this project are waiting: request several series at once with POST /api/v1/query."
            }
            Self::TooManyStreams => {
                "The project has reached its limit of concurrent streams: close one first."
            }
        })
    }

    /// The `details` of the answer; empty for errors without details.
    pub fn details(&self) -> &[Fault] {
        match self {
            Self::InvalidParameter(faults) => faults,
            _ => &[],
        }
    }

    /// Seconds after which a retry may succeed.
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

    /// The additional header of the answer.
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

    /// The body of the answer.
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

/// The body of every error answer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// Machine code of the error.
    error: &'static str,
    /// A sentence for people that says what to do.
    message: Cow<'static, str>,
    /// The id of the request, as in the header `X-Request-Id`.
    request_id: String,
    /// With 429 and 503: seconds after which a retry may succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// With `invalid_parameter`: all faults of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Fault>,
}

/// The error travels in the extensions of the response until the middleware writes the body.
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
pub fn directory_unavailable(error: ReadError) -> Error {
    tracing::warn!(%error, "directory lookup failed: Redis unavailable");
    Error::Unavailable(Unavailable::Directory)
}

impl From<reads::Error> for Error {
    fn from(error: reads::Error) -> Self {
        match error {
            reads::Error::UnknownMetric => Self::MetricNotFound,
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
