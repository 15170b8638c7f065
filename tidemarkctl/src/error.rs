//! Errors of a command: message, advice and exit code.

use crate::token::RequiredToken;
use serde_json::Value;

/// Failure of a command. No variant contains a token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token that the call requires is not set.
    #[error("{}", .0.missing())]
    NoToken(RequiredToken),
    /// The address of query-api is invalid.
    #[error("`{0}` is not a valid address of query-api")]
    BadUrl(String),
    /// The command is wrong in another way.
    #[error("{0}")]
    Usage(String),
    /// The request got no response.
    #[error("no response from {url}: {cause}")]
    Unreachable {
        /// Address of the request.
        url: String,
        cause: String,
    },
    /// The response does not come from Tidemark's API.
    #[error("the response of {url} (HTTP {status}) is not one of Tidemark's API")]
    NotTidemark { url: String, status: u16 },
    /// The API rejected the request.
    #[error("{message} ({code}, HTTP {status}, request {request_id})")]
    Rejected {
        status: u16,
        /// Machine-readable error code.
        code: String,
        /// The API's message.
        message: String,
        /// Identifies the request in the service's log.
        request_id: String,
        /// One line per fault, if there are several.
        details: Vec<String>,
        /// Number of seconds after which a retry may succeed.
        retry_after: Option<u64>,
        /// Token that the call requires.
        required: RequiredToken,
    },
}

impl Error {
    /// Parses an error response of the API.
    pub fn rejected(url: &str, status: u16, body: &Value, required: RequiredToken) -> Self {
        let text = |field: &str| body[field].as_str().map(str::to_owned);
        let (Some(code), Some(message)) = (text("error"), text("message")) else {
            return Self::NotTidemark { url: url.to_owned(), status };
        };
        let details = body["details"].as_array().map(Vec::as_slice).unwrap_or_default();
        let detail = |fault: &Value| {
            let field = fault["field"].as_str().filter(|field| !field.is_empty()).unwrap_or("the body");
            format!("{field}: {}", fault["message"].as_str().unwrap_or("is not valid"))
        };
        Self::Rejected {
            status,
            code,
            message,
            request_id: text("requestId").unwrap_or_else(|| "unknown".to_owned()),
            // The message already describes a single fault.
            details: if details.len() > 1 { details.iter().map(detail).collect() } else { Vec::new() },
            retry_after: body["retryAfter"].as_u64(),
            required,
        }
    }

    /// Returns what the user can do about the error, one line each.
    pub fn advice(&self) -> Vec<String> {
        match self {
            Self::NoToken(_) | Self::Usage(_) => vec!["see `tidemarkctl --help`".to_owned()],
            Self::BadUrl(_) => {
                vec!["set --url or QUERY_URL to http://host:port or https://host[:port]".to_owned()]
            }
            Self::Unreachable { .. } | Self::NotTidemark { .. } => {
                vec!["check that query-api runs there; --url or QUERY_URL sets its address".to_owned()]
            }
            Self::Rejected { status, details, retry_after, required, .. } => {
                let mut lines = details.clone();
                match status {
                    401 | 403 => lines.push(required.advice().to_owned()),
                    404 => lines.push("`list` prints the existing ones".to_owned()),
                    _ => {}
                }
                if let Some(seconds) = retry_after {
                    lines.push(format!("try again in {seconds} s"));
                }
                lines
            }
        }
    }

    /// Returns 1 if the API rejected the request or was unreachable, and 2 if the command is wrong.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } | Self::NotTidemark { .. } | Self::Rejected { .. } => 1,
            Self::NoToken(_) | Self::BadUrl(_) | Self::Usage(_) => 2,
        }
    }
}
