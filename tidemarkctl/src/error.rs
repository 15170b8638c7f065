//! Why a command was not carried out: what is said about it, what to do, and the exit code.

use crate::calls::Needs;
use serde_json::Value;

/// Why a command was not carried out. No variant holds a token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A token that the call needs was not given.
    #[error("{}", .0.missing())]
    NoToken(Needs),
    /// The address of the query service cannot be read.
    #[error("`{0}` is no address of a query service")]
    BadUrl(String),
    /// Something else is wrong with the command.
    #[error("{0}")]
    Usage(String),
    /// No answer came.
    #[error("no answer from {url}: {cause}")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What failed.
        cause: String,
    },
    /// An answer came that is none of the API's.
    #[error("{url} answered {status} with something that is not Tidemark's")]
    NotOurs {
        /// Who answered.
        url: String,
        /// How.
        status: u16,
    },
    /// The API refused.
    #[error("{message} ({code}, HTTP {status}, request {request_id})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The machine code.
        code: String,
        /// The API's own sentence.
        message: String,
        /// Names the request in the service's log.
        request_id: String,
        /// What is wrong in detail, a line each.
        details: Vec<String>,
        /// After how many seconds it may work.
        retry_after: Option<u64>,
        /// What the call needed.
        needs: Needs,
    },
}

impl Error {
    /// Reads a refusal in the API's one shape.
    pub fn refused(url: &str, status: u16, body: &Value, needs: Needs) -> Self {
        let text = |field: &str| body[field].as_str().map(str::to_owned);
        let (Some(code), Some(message)) = (text("error"), text("message")) else {
            return Self::NotOurs { url: url.to_owned(), status };
        };
        let details = body["details"].as_array().map(Vec::as_slice).unwrap_or_default();
        let detail = |fault: &Value| {
            let field = fault["field"].as_str().filter(|field| !field.is_empty()).unwrap_or("the body");
            format!("{field}: {}", fault["message"].as_str().unwrap_or("is not valid"))
        };
        Self::Refused {
            status,
            code,
            message,
            request_id: text("requestId").unwrap_or_else(|| "unknown".to_owned()),
            // A single fault is in the message already.
            details: if details.len() > 1 { details.iter().map(detail).collect() } else { Vec::new() },
            retry_after: body["retryAfter"].as_u64(),
            needs,
        }
    }

    /// What to do, a line each.
    pub fn advice(&self) -> Vec<String> {
        match self {
            Self::NoToken(_) | Self::Usage(_) => vec!["`tidemarkctl --help` says more".to_owned()],
            Self::BadUrl(_) => {
                vec!["give --url or QUERY_URL as http://host:port or https://host[:port]".to_owned()]
            }
            Self::Unreachable { .. } | Self::NotOurs { .. } => {
                vec!["is query-api running there? --url or QUERY_URL says where it is looked for".to_owned()]
            }
            Self::Refused { status, details, retry_after, needs, .. } => {
                let mut lines = details.clone();
                match status {
                    401 | 403 => lines.push(needs.advice().to_owned()),
                    404 => lines.push("`list` shows which there are".to_owned()),
                    _ => {}
                }
                if let Some(seconds) = retry_after {
                    lines.push(format!("try again in {seconds} s"));
                }
                lines
            }
        }
    }

    /// 1 where the API refused or could not be reached, 2 where the command is wrong.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } | Self::NotOurs { .. } | Self::Refused { .. } => 1,
            Self::NoToken(_) | Self::BadUrl(_) | Self::Usage(_) => 2,
        }
    }
}
