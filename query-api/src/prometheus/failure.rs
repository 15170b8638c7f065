//! Errors as Prometheus writes them: `{"status": "error", "errorType": "bad_data", "error": "…"}`.
//!
//! What the whole service has in common (keys, stores, deadlines) arrives as [`Error`] and is put into this shape here.

use crate::answer::WrongKey;
use crate::error::Error;
use axum::Json;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};
use serde::Serialize;

/// Why a call was refused.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// The request cannot be understood, and why.
    BadData(String),
    /// The query is understood but cannot be evaluated, and why.
    Execution(String),
    /// There is nothing at this path.
    NoRoute,
    /// The path takes other methods.
    MethodNotAllowed,
    /// What any call of this service may meet.
    Service(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Service(error)
    }
}

impl Failure {
    /// A parameter breaks a rule.
    pub fn parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::BadData(format!("invalid parameter {name:?}: {reason}"))
    }

    /// PromQL that is not evaluated here.
    pub fn unsupported(construct: impl std::fmt::Display) -> Self {
        Self::Execution(format!("{construct} is not supported"))
    }

    /// The query ran into its deadline.
    pub fn timeout() -> Self {
        Self::Service(Error::QueryTimeout)
    }

    /// The HTTP status and `errorType`.
    pub fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadData(_) => (StatusCode::BAD_REQUEST, "bad_data"),
            Self::Execution(_) => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
            Self::NoRoute => (StatusCode::NOT_FOUND, "not_found"),
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

    /// What a person can act on.
    fn message(&self) -> String {
        match self {
            Self::BadData(reason) | Self::Execution(reason) => reason.clone(),
            Self::NoRoute => "there is no such call: see https://prometheus.io/docs/prometheus/latest/querying/api for what a data source asks".to_owned(),
            Self::MethodNotAllowed => "the method is not allowed here: the header Allow names those that are".to_owned(),
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
            response.extensions_mut().insert(WrongKey);
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
