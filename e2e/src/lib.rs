//! A whole pipeline for tests and benchmarks: the real binaries on the real parts.
//!
//! Kafka, Redis and ClickHouse are those that `KAFKA_BROKERS`, `REDIS_URL` and `CLICKHOUSE_URL` name; `deploy/local/test`
//! starts them. Each [`Installation`] has a namespace of its own in all three, and services of its own, so that tests run
//! side by side. What is started is ended with the value that holds it.

pub mod client;
pub mod faults;
pub mod installation;
pub mod log;
pub mod own;
pub mod process;
pub mod receiver;
pub mod wait;

pub use client::{Client, Project};
pub use installation::Installation;
pub use own::OwnStore;
pub use process::Process;
pub use receiver::Receiver;

/// What the harness and its tests fail with.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// A result of the harness.
pub type Result<T> = std::result::Result<T, Error>;
