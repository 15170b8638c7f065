//! What every Tidemark binary shares: settings, logs, metrics, health, an HTTP server and who its clients
//! are, Kafka's and ClickHouse's basics, TLS towards them, an orderly stop.
//!
//! A `main` reads the same everywhere: [`settings`] (all faults at once), [`logs::init`], [`stop::on_signal`],
//! the service's own work, and [`ops::serve`] beside it.

#![warn(missing_docs)]

pub mod clickhouse;
pub mod client;
pub mod clock;
pub mod connections;
pub mod health;
pub mod http;
pub mod kafka;
pub mod logs;
pub mod ops;
pub mod probe;
pub mod request_id;
pub mod settings;
pub mod slowdown;
pub mod stop;
pub mod traces;
pub mod wire_enum;
