//! Waiting for a condition, never for a time.

use crate::Result;
use std::time::{Duration, Instant};

/// So long a condition may take before it counts as never: generous, for machines are shared.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(10);

/// Asks `condition` until it gives a value. `what` is what the failure says did not happen.
pub async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    let mut last = None;
    while begun.elapsed() < PATIENCE {
        match condition().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => last = None,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(match last {
        Some(error) => format!("{what}: not within {} s; last: {error}", PATIENCE.as_secs()).into(),
        None => format!("{what}: not within {} s", PATIENCE.as_secs()).into(),
    })
}
