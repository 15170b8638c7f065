//! Waiting for a condition instead of for a duration.

use crate::error::Result;
use std::time::{Duration, Instant};

/// Generous, because test machines are shared.
const TIMEOUT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Polls `condition` until it returns a value. `description` states the condition, for the error after a
/// timeout.
pub async fn until<T>(description: &str, mut condition: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    let mut last_error = None;
    while started.elapsed() < TIMEOUT {
        match condition().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => last_error = None,
            Err(error) => last_error = Some(error),
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Err(match last_error {
        Some(error) => {
            format!("not within {} s: {description}; last error: {error}", TIMEOUT.as_secs()).into()
        }
        None => format!("not within {} s: {description}", TIMEOUT.as_secs()).into(),
    })
}
