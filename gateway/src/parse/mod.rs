//! From a decoded body to a batch, in two passes of which most requests need one.
//!
//! The [`fast`] pass borrows from the body and takes only what is plainly right. Whatever it does not take goes to the
//! [`slow`] pass, which is the authority: it decides whether the body is right after all (an unknown field, a timestamp
//! written as `1.79e12`) and, if not, lists what is wrong. What the fast pass takes, the slow one takes with the same
//! result; a property test holds them to it.

pub mod fast;
pub mod json;
pub mod number;
pub mod slow;

#[cfg(test)]
mod tests;

use crate::error::Reject;
use proto::encode::SampleRef;
use std::borrow::Cow;

/// A batch that keeps every rule, borrowed from the body where that is possible.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch<'a> {
    /// The project that the client named.
    pub project_id: Cow<'a, str>,
    /// Its metrics: 1 to 100.
    pub samples: Vec<Sample<'a>>,
}

/// A metric that keeps every rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<'a> {
    /// Its id.
    pub metric_id: Cow<'a, str>,
    /// Its name, if the client gave one.
    pub metric_name: Option<Cow<'a, str>>,
    /// Finite, and the very double that was sent.
    pub value: f64,
    /// Its unit, if the client gave one.
    pub unit: Option<Cow<'a, str>>,
    /// Unix milliseconds, if the client gave them.
    pub timestamp_ms: Option<i64>,
}

impl Sample<'_> {
    /// The metric as it is stored; what came without a time has the batch's.
    pub fn as_ref(&self, received_at_ms: i64) -> SampleRef<'_> {
        SampleRef {
            metric_id: &self.metric_id,
            metric_name: self.metric_name.as_deref(),
            value: self.value,
            unit: self.unit.as_deref(),
            timestamp_ms: self.timestamp_ms.unwrap_or(received_at_ms),
        }
    }
}

/// The batch in `body`. `now_ms` bounds its timestamps.
pub fn batch(body: &[u8], now_ms: i64) -> Result<Batch<'_>, Reject> {
    match fast::batch(body, now_ms) {
        Some(batch) => Ok(batch),
        None => slow::batch(body, now_ms),
    }
}
