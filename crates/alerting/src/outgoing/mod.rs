//! Requests to addresses that clients chose.
//!
//! [`address`] decides where they may go, [`client`] sends them there and nowhere else, [`verdict`] decides what their
//! outcome means, [`receiver_backoff`] when the next may be tried.

pub mod address;
pub mod client;
pub mod receiver_backoff;
pub mod target;
pub mod verdict;
