//! Environment variables that `deploy/local/test` sets: addresses of stores and paths of programs.

use crate::error::Result;

/// Returns the value of an environment variable; the error says which command sets it.
pub fn required(name: &str) -> Result<String> {
    std::env::var(name)
        .map_err(|_| format!("{name} is not set: run the tests with deploy/local/test, which sets it").into())
}
