//! Tokens: which one a call of the API requires.

/// Token that a call requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequiredToken {
    /// The operator's token.
    Operator,
    /// A key of the project.
    Key,
    /// The operator's token or a key of the project.
    Either,
}

impl RequiredToken {
    /// Error message for a missing token.
    pub fn missing(self) -> &'static str {
        match self {
            Self::Operator => "this command needs the operator's token: set OPERATOR_TOKEN",
            Self::Key => {
                "this command needs a key of the project with the scope `manage`: set TIDEMARK_TOKEN"
            }
            Self::Either => {
                "this command needs the operator's token or a key: set OPERATOR_TOKEN or TIDEMARK_TOKEN"
            }
        }
    }

    /// Advice for a rejected token.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Operator => {
                "set OPERATOR_TOKEN to the operator's token, the one with which query-api was started"
            }
            Self::Key => "set TIDEMARK_TOKEN to a key of the project with the scope `manage`",
            Self::Either => {
                "set OPERATOR_TOKEN to the operator's token, or TIDEMARK_TOKEN to a key of the project"
            }
        }
    }
}
