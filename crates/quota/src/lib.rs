//! Hourly request quotas, exact across all gateways.
//!
//! Guarantees:
//! - While Redis is available, no hour grants more requests than the plan allows, and no two requests that stay counted
//!   report the same number of remaining requests (under one limit).
//! - A request consumes one number of its hour. A refund returns the number to the same hour, once. A refund with an
//!   unknown outcome is not retried.
//! - A lost answer or a killed gateway may cost its project unused numbers. No number is granted twice.
//! - A new limit applies to the first request that carries it.
//!
//! Redis counts by its own clock with one script (`count.lua`, [`store`]). [`counter`] is a gateway's view of one project:
//! the waiting requests, the refunds to be sent, and the highest number seen. Every call carries that number, so a Redis
//! that lost its latest writes is told of it. The counter has no clock and performs no I/O; [`Quotas`] is the thin shell
//! around it. One call per project is in flight at a time, and all requests that arrive meanwhile share the next one. For a
//! busy project a call also prefetches numbers ([`reserve`]), so most of its requests do not wait. Unused numbers are
//! refunded after about [`reserve::MAX_IDLE_MS`].
//!
//! Trade-off: a busy gateway that is killed loses the numbers that it has prefetched until the hour ends.
//!
//! While Redis is unavailable, [`OutagePolicy`] decides. This crate must not depend on `control`: limits are passed in.

#![warn(missing_docs)]

pub mod counter;
mod gate;
mod model;
pub mod reserve;
pub mod store;
mod usage;

pub use gate::Quotas;
pub use model::{Charge, Event, HOUR_MS, Observer, OutagePolicy, QuotaState, Source, Verdict};
pub use store::Used;
pub use usage::UsageReader;
