//! Errors of a request, each with its ClickHouse error code, HTTP status and message.

use crate::frames::FrameError;
use hyper::StatusCode;
use std::time::Duration;

/// An error reported by the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// ClickHouse's error code.
    pub code: u32,
    /// Message of the form `Code: N. DB::Exception: …`.
    pub text: String,
}

impl Exception {
    /// Parses the engine's message. The engine repeats the prefix of some errors; only one is kept.
    pub fn from_engine(text: &str) -> Self {
        let code = text
            .strip_prefix("Code: ")
            .and_then(|rest| rest.split_once('.'))
            .and_then(|(code, _)| code.parse().ok())
            .unwrap_or(UNKNOWN_EXCEPTION);
        let prefix = format!("Code: {code}. DB::Exception: ");
        let mut message = text;
        while let Some(rest) = message.strip_prefix(&prefix) {
            message = rest;
        }
        Self { code, text: format!("{prefix}{}", message.trim_end()) }
    }
}

/// Code of an error whose message contains no code.
const UNKNOWN_EXCEPTION: u32 = 1002;
/// Code of a query that `KILL QUERY` ended.
pub const QUERY_WAS_CANCELLED: u32 = 394;

/// Failure of a request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine reported an error.
    #[error("{}", .0.text)]
    Engine(Exception),
    /// The user or the password is wrong.
    #[error(
        "{0}: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)"
    )]
    Authentication(String),
    /// No connection became free before the deadline.
    #[error(
        "Too many simultaneous queries: none of {0} connections became free in time. (TOO_MANY_SIMULTANEOUS_QUERIES)"
    )]
    Busy(u32),
    /// The query exceeded the deadline of this program.
    #[error("Timeout exceeded: the query did not end within {} s. (TIMEOUT_EXCEEDED)", .0.as_secs_f64())]
    Deadline(Duration),
    /// The client stopped sending within its body.
    #[error("Timeout exceeded while receiving the body: no data for {} s. (SOCKET_TIMEOUT)", .0.as_secs_f64())]
    ReceiveTimeout(Duration),
    /// The body is incomplete.
    #[error("The body is incomplete, nothing was inserted: {0}. (CANNOT_READ_ALL_DATA)")]
    BodyBroken(String),
    /// The body exceeds the limit.
    #[error("The body is larger than {0} bytes. (QUERY_IS_TOO_LARGE)")]
    BodyTooLarge(u64),
    /// A compressed body is invalid.
    #[error("{}. {}", .0, .0.name())]
    Frame(FrameError),
    /// The feature is not supported.
    #[error("{0}. (NOT_IMPLEMENTED)")]
    Unsupported(String),
    /// The request is invalid.
    #[error("{0}. (BAD_ARGUMENTS)")]
    BadRequest(String),
    /// The name is not a valid name of a setting.
    #[error("Unknown setting '{0}'. (UNKNOWN_SETTING)")]
    UnknownSetting(String),
    /// The request contains more than one statement.
    #[error("Syntax error (Multi-statements are not allowed). (SYNTAX_ERROR)")]
    MultipleStatements,
    /// A query with this id is running.
    #[error("Query with id = {0} is already running. (QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING)")]
    DuplicateQueryId(String),
    /// The program is shutting down and the grace period is over.
    #[error("The query was cancelled because the server is shutting down. (QUERY_WAS_CANCELLED)")]
    Stopping,
    /// The engine's thread ended without a result.
    #[error("The engine returned no result. (LOGICAL_ERROR)")]
    Lost,
}

impl Error {
    /// Returns ClickHouse's code of the error.
    pub fn code(&self) -> u32 {
        match self {
            Self::Engine(exception) => exception.code,
            Self::Authentication(_) => 516,
            Self::Busy(_) => 202,
            Self::Deadline(_) => 159,
            Self::ReceiveTimeout(_) => 209,
            Self::BodyBroken(_) => 33,
            Self::BodyTooLarge(_) => 223,
            Self::Frame(error) => error.code(),
            Self::Unsupported(_) => 48,
            Self::BadRequest(_) => 36,
            Self::UnknownSetting(_) => 115,
            Self::MultipleStatements => 62,
            Self::DuplicateQueryId(_) => 216,
            Self::Stopping => QUERY_WAS_CANCELLED,
            Self::Lost => 49,
        }
    }

    /// Returns the HTTP status that a ClickHouse server sends with this code.
    pub fn status(&self) -> StatusCode {
        match self.code() {
            // Unknown table, database, column, function, type, format, setting, dictionary, …
            16 | 46 | 47 | 50 | 56 | 60 | 63 | 73 | 81 | 115 | 456 => StatusCode::NOT_FOUND,
            // The statement or the data does not parse or has the wrong types.
            6 | 26 | 27 | 33 | 36 | 38 | 41 | 42 | 43 | 44 | 53 | 61 | 62 | 69 | 70 | 72 | 117 | 130
            | 131 | 210 | 349 | 457 => StatusCode::BAD_REQUEST,
            192 | 193 | 516 => StatusCode::FORBIDDEN,
            48 => StatusCode::NOT_IMPLEMENTED,
            159 | 160 | 209 => StatusCode::REQUEST_TIMEOUT,
            202 => StatusCode::SERVICE_UNAVAILABLE,
            _ if matches!(self, Self::Stopping) => StatusCode::SERVICE_UNAVAILABLE,
            223 => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the response body: `Code: N. DB::Exception: …` and a line feed.
    pub fn text(&self) -> String {
        match self {
            Self::Engine(exception) => format!("{}\n", exception.text),
            other => format!("Code: {}. DB::Exception: {other}\n", other.code()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_exception_prefix_is_removed() {
        let exception =
            Exception::from_engine("Code: 115. DB::Exception: Code: 115. DB::Exception: Unknown setting 'x'");
        assert_eq!(
            exception,
            Exception { code: 115, text: "Code: 115. DB::Exception: Unknown setting 'x'".into() }
        );
    }

    #[test]
    fn message_without_a_code_gets_unknown_exception() {
        let exception = Exception::from_engine("Invalid or closed connection");
        assert_eq!(exception.code, 1002);
        assert_eq!(exception.text, "Code: 1002. DB::Exception: Invalid or closed connection");
    }

    #[test]
    fn error_codes_map_to_http_statuses() {
        let status = |text| Error::Engine(Exception::from_engine(text)).status();
        assert_eq!(status("Code: 60. DB::Exception: x"), StatusCode::NOT_FOUND);
        assert_eq!(status("Code: 62. DB::Exception: x"), StatusCode::BAD_REQUEST);
        assert_eq!(status("Code: 241. DB::Exception: x"), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
