//! Errors in Prometheus's shape: `{"status": "error", "errorType": "bad_data", "error": "…"}`. An [`Error`]
//! of the whole service (keys, stores, deadlines) is converted to this shape.

use crate::error::Error;
use crate::middleware::UnknownKey;
use axum::Json;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};
use serde::Serialize;

/// The reason why a call failed.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// The query was refused.
    Query(promql::Error),
    /// No route has this path.
    RouteNotFound,
    /// The route does not support the method.
    MethodNotAllowed,
    /// An error that any call of the service may have.
    Service(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Service(error)
    }
}

impl From<reads::Error> for Failure {
    fn from(error: reads::Error) -> Self {
        Self::Service(error.into())
    }
}

impl From<promql::Error> for Failure {
    fn from(error: promql::Error) -> Self {
        match error {
            promql::Error::Timeout => Self::Service(Error::QueryTimeout),
            error => Self::Query(error),
        }
    }
}

impl Failure {
    /// Returns the failure of a query that was understood but cannot be evaluated.
    pub fn execution(reason: String) -> Self {
        Self::Query(promql::Error::Execution(reason))
    }

    /// Returns the failure of a malformed request.
    pub fn bad_data(reason: String) -> Self {
        Self::Query(promql::Error::BadData(reason))
    }

    /// Returns the failure for the invalid parameter `name`.
    pub fn parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        promql::Error::parameter(name, reason).into()
    }

    /// Returns the HTTP status and `errorType`.
    pub fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Query(promql::Error::BadData(_)) => (StatusCode::BAD_REQUEST, "bad_data"),
            Self::Query(promql::Error::Execution(_)) => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
            Self::Query(promql::Error::Timeout) => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            Self::RouteNotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "bad_data"),
            Self::Service(error) => match error.status() {
                StatusCode::GATEWAY_TIMEOUT => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
                StatusCode::UNAUTHORIZED => (StatusCode::UNAUTHORIZED, "unauthorized"),
                StatusCode::FORBIDDEN => (StatusCode::FORBIDDEN, "forbidden"),
                StatusCode::NOT_FOUND => (StatusCode::NOT_FOUND, "not_found"),
                status @ (StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) => {
                    (status, "unavailable")
                }
                status if status.is_client_error() => (status, "bad_data"),
                status => (status, "internal"),
            },
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Query(error) => error.to_string(),
            Self::RouteNotFound => "this path does not exist: see https://prometheus.io/docs/prometheus/latest/querying/api for the paths of the API".to_owned(),
            Self::MethodNotAllowed => "this path does not support the method: the header Allow lists the supported methods".to_owned(),
            Self::Service(error) => error.message().into_owned(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    status: &'static str,
    error_type: &'static str,
    error: String,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, error_type) = self.kind();
        let body = Body { status: "error", error_type, error: self.message() };
        let mut response = (status, Json(body)).into_response();
        let Self::Service(error) = self else { return response };
        if error == Error::InvalidKey {
            response.extensions_mut().insert(UnknownKey);
        }
        if let Some((name, text)) = error.header() {
            response.headers_mut().insert(name, HeaderValue::from_static(text));
        }
        if let Some(seconds) = error.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
