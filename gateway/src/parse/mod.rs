//! Turns a decoded body into a batch, in two passes. Most requests need only the first one.
//!
//! The [`fast`] pass borrows from the body and accepts only bodies that are plainly valid. Everything else
//! goes to the [`slow`] pass, which is authoritative: it decides whether the body is valid after all (an
//! unknown field, a timestamp written as `1.79e12`), and if not, lists the faults. Whatever the fast pass
//! accepts, the slow pass accepts with the same result; property tests verify this.

pub mod fast;
pub mod json;
pub mod number;
pub mod slow;

#[cfg(test)]
mod tests;

use crate::error::Reject;
use proto::encode::SampleRef;
use std::borrow::Cow;

/// A valid batch, borrowed from the body where possible.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch<'a> {
    /// Project id as sent; not yet compared with the key's project.
    pub project_id: Cow<'a, str>,
    /// 1 to 100 metrics.
    pub samples: Vec<Sample<'a>>,
}

/// A valid metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<'a> {
    pub metric_id: Cow<'a, str>,
    pub metric_name: Option<Cow<'a, str>>,
    /// Finite, and bit for bit the double that was sent.
    pub value: f64,
    pub unit: Option<Cow<'a, str>>,
    /// Unix milliseconds.
    pub timestamp_ms: Option<i64>,
}

impl Sample<'_> {
    /// Returns the metric as it is stored. The default timestamp is `received_at_ms`.
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

/// Parses and validates `body`. `now_ms` is the current time, which bounds the timestamps.
pub fn batch(body: &[u8], now_ms: i64) -> Result<Batch<'_>, Reject> {
    match fast::batch(body, now_ms) {
        Some(batch) => Ok(batch),
        None => slow::batch(body, now_ms),
    }
}
