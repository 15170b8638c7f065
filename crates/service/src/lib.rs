//! Infrastructure shared by every Tidemark binary: settings, logs, metrics, health, the HTTP server loop,
//! client addresses, Kafka and ClickHouse clients with TLS, traces, and graceful shutdown.
//!
//! Every `main` follows the same sequence: check the [`settings`], start logging ([`logs::init`]), listen for
//! signals ([`stop::on_signal`]), run the service's own work, and serve the operations port beside it
//! ([`ops::serve`]).
//!
//! Guarantees:
//! - All invalid settings are reported at once, and no report repeats a secret ([`faults`]).
//! - No log line contains a key, a password or a client's address.
//! - Clients are remembered by a keyed hash of their address, not by the address ([`client`]).
//! - A Kafka consumer that can no longer make progress fails with an error instead of waiting for ever
//!   ([`kafka::reader`]).
//! - At shutdown, requests in flight get a bounded time to finish ([`http`]).
//!
//! This crate knows nothing about metrics, projects, keys or quotas. Of the other crates of the workspace it
//! may depend on `proto` alone (for the topics' names). It must not depend on Redis.

#![warn(missing_docs)]

pub mod auth_throttle;
pub mod backoff;
pub mod circuit_breaker;
pub mod clickhouse;
pub mod client;
pub mod clock;
pub mod connections;
pub mod faults;
pub mod health;
pub mod http;
pub mod kafka;
pub mod logs;
pub mod ops;
pub mod probe;
pub mod request_id;
pub mod settings;
pub mod stop;
pub mod traces;
pub mod wire_enum;
