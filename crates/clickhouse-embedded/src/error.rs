//! What can go wrong, and how a client reads it: each fault has ClickHouse's code, a status and a text.

use crate::frames::FrameError;
use hyper::StatusCode;
use std::time::Duration;

/// A fault in the engine's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// ClickHouse's error code.
    pub code: u32,
    /// `Code: N. DB::Exception: …`
    pub text: String,
}

impl Exception {
    /// Reads the code off the engine's text. The engine wraps some errors in themselves: once is enough.
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

const UNKNOWN_EXCEPTION: u32 = 1002;
/// The code of a query that `KILL QUERY` ended.
pub const QUERY_WAS_CANCELLED: u32 = 394;

/// Why a request got no 200.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine refused or failed.
    #[error("{}", .0.text)]
    Engine(Exception),
    /// User or password are wrong.
    #[error(
        "{0}: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)"
    )]
    Authentication(String),
    /// No connection became free before the deadline.
    #[error(
        "Too many simultaneous queries: none of {0} connections became free in time. (TOO_MANY_SIMULTANEOUS_QUERIES)"
    )]
    Busy(u32),
    /// The query ran into the front's deadline.
    #[error("Timeout exceeded: the query did not end within {} s. (TIMEOUT_EXCEEDED)", .0.as_secs_f64())]
    Deadline(Duration),
    /// The client stopped sending in the middle of its body.
    #[error("Timeout exceeded while receiving the body: nothing came for {} s. (SOCKET_TIMEOUT)", .0.as_secs_f64())]
    ReceiveTimeout(Duration),
    /// The body broke off.
    #[error("The body ended early, nothing was inserted: {0}. (CANNOT_READ_ALL_DATA)")]
    BodyBroken(String),
    /// The body is larger than the front takes.
    #[error("The body is larger than {0} bytes. (QUERY_IS_TOO_LARGE)")]
    BodyTooLarge(u64),
    /// A compressed body is damaged.
    #[error("{}. {}", .0, .0.name())]
    Frame(FrameError),
    /// The front does not do this.
    #[error("{0}. (NOT_IMPLEMENTED)")]
    Unsupported(String),
    /// The request makes no sense.
    #[error("{0}. (BAD_ARGUMENTS)")]
    BadRequest(String),
    /// The name cannot be a setting's.
    #[error("Unknown setting '{0}'. (UNKNOWN_SETTING)")]
    UnknownSetting(String),
    /// More than one statement.
    #[error("Syntax error (Multi-statements are not allowed). (SYNTAX_ERROR)")]
    MultipleStatements,
    /// A query with this id is running.
    #[error("Query with id = {0} is already running. (QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING)")]
    DuplicateQueryId(String),
    /// The front stops and could not wait any longer.
    #[error("The query was ended because the server stops. (QUERY_WAS_CANCELLED)")]
    Stopping,
    /// The engine's thread ended without an answer.
    #[error("the engine gave no answer. (LOGICAL_ERROR)")]
    Lost,
}

impl Error {
    /// ClickHouse's code for it.
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

    /// The status that a server answers a code with.
    pub fn status(&self) -> StatusCode {
        match self.code() {
            // No such table, database, column, function, type, format, setting, dictionary, …
            16 | 46 | 47 | 50 | 56 | 60 | 63 | 73 | 81 | 115 | 456 => StatusCode::NOT_FOUND,
            // What the client wrote does not parse or has the wrong types.
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

    /// What the client reads: `Code: N. DB::Exception: …` and a line feed.
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
    fn an_error_that_is_wrapped_in_itself_is_unwrapped() {
        let exception =
            Exception::from_engine("Code: 115. DB::Exception: Code: 115. DB::Exception: Unknown setting 'x'");
        assert_eq!(
            exception,
            Exception { code: 115, text: "Code: 115. DB::Exception: Unknown setting 'x'".into() }
        );
    }

    #[test]
    fn a_text_without_a_code_gets_the_code_of_the_unknown() {
        let exception = Exception::from_engine("Invalid or closed connection");
        assert_eq!(exception.code, 1002);
        assert_eq!(exception.text, "Code: 1002. DB::Exception: Invalid or closed connection");
    }

    #[test]
    fn an_unknown_table_is_404_and_a_syntax_error_400() {
        let status = |text| Error::Engine(Exception::from_engine(text)).status();
        assert_eq!(status("Code: 60. DB::Exception: x"), StatusCode::NOT_FOUND);
        assert_eq!(status("Code: 62. DB::Exception: x"), StatusCode::BAD_REQUEST);
        assert_eq!(status("Code: 241. DB::Exception: x"), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
