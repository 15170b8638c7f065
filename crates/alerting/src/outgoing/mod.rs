//! HTTP requests to URLs that users configure.
//!
//! [`address`] decides which addresses are permitted, [`client`] sends requests to those only, [`verdict`] decides whether
//! to retry after the outcome of a request, and [`receiver_backoff`] decides when.

pub mod address;
pub mod client;
pub mod receiver_backoff;
pub mod target;
pub mod verdict;
