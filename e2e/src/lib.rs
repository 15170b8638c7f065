//! Harness for tests and benchmarks of the whole pipeline: the real binaries on real stores.
//!
//! `KAFKA_BROKERS`, `REDIS_URL` and `CLICKHOUSE_URL` name the stores; `deploy/local/test` starts them. Each
//! [`Installation`] has its own services and its own namespace in all three stores, so that tests run side by
//! side, as threads of one process or as processes. Whatever a value of this crate started ends when the value
//! is dropped.

pub mod client;
pub mod environment;
pub mod error;
pub mod faults;
pub mod installation;
pub mod kafka_log;
pub mod ports;
pub mod process;
pub mod receiver;
pub mod scratch;
pub mod wait;

pub use client::{Client, Project};
pub use error::{Error, Result};
pub use installation::Installation;
pub use process::Process;
pub use receiver::Receiver;
pub use scratch::ScratchStore;
