//! Access to Redis: connections to one server or to a cluster, key names, circuit breakers and leases.
//!
//! Guarantees:
//! - A connection re-establishes itself, and every call on it ends within a bounded time.
//! - [`CircuitBreakers`] keep an unreachable Redis from delaying every request.
//! - A [`Lease`] has at most one holder at a time and expires by itself. It is not a fence.
//!
//! This crate knows nothing about what the keys hold. It must not depend on any crate that stores data in Redis
//! (`control`, `quota`, `idempotency`, `alerting`).

#![warn(missing_docs)]

mod circuit_breaker;
mod connection;
mod key_names;
mod lease;
#[cfg(feature = "testing")]
pub mod testing;

pub use circuit_breaker::CircuitBreakers;
pub use connection::{Redis, Servers, connect, managed};
pub use key_names::KeyNames;
pub use lease::{HeldLease, Lease};
