//! The ingest worker copies metrics from Kafka to ClickHouse. Read [`pipeline`] first, then [`chain`].
//!
//! # Guarantees
//!
//! - Each record of `metrics.v1` is consumed exactly once per generation of the store: its metrics are stored, or it is
//!   dropped as a repeat of a stored record, or it is written to the dead-letter topic with a reason. That holds whichever
//!   process crashes, stalls, or is rebalanced away ([`chain`]).
//! - What is stored is a function of the log alone. A rebuild stores the same rows ([`idempotency`]).
//! - A block is visible completely or not at all, with its rollups and its marker ([`store`]).
//! - Writing stops where it would hide a loss of data, in the table or in the log ([`chain::Refusal`]).
//! - A deleted metric or project never reappears once its deletion is applied ([`deletion`]).
//!
//! # Code map
//!
//! | module | contents |
//! |---|---|
//! | [`pipeline`], [`supervisor`] | the data path of one generation; one pipeline per generation |
//! | [`chain`] | the exactly-once protocol, a pure state machine |
//! | [`partition`] | performs the protocol's actions for one partition; gathers blocks |
//! | [`fetch`], [`fetched_record`], [`kafka_log`], [`membership`] | Kafka: records, bounds of the log, consumer group |
//! | [`record`], [`idempotency`], [`block`], [`rows`] | from bytes to batches, without repeats, to a block, to rows |
//! | [`store`], [`generation`], [`migrations`] | ClickHouse: the table, its generations, its definition |
//! | [`insert_rate`], [`metrics`] | gathering time, Prometheus metrics |
//! | [`dead_letter`], [`deletion`] | records that cannot be stored; erasing what was deleted |
//! | [`control_state`] | follows the control log for generations and deletions |
//! | [`usage`] | stores the outcomes of requests for the usage report; independent of everything above |
//! | [`commands`], [`settings`] | commands of the operator; flags and environment variables |
//!
//! # Dependencies that must not exist
//!
//! - [`chain`], [`idempotency`] and [`deletion::ledger`] perform no I/O and read no clock, so that their tests can run them
//!   through every crash.
//! - [`record`] uses no other module, because the fuzz target includes it by path.
//! - No decision about what to store relies on [`membership`], on a committed Kafka offset, or on Redis. A committed
//!   offset is only evidence of a loss.
//! - Nothing depends on [`commands`], except `main`.
//! - The crate does not depend on `gateway` or `query-api`. They agree on `proto` and on the tables in `migrations/`.

// Links lead to private modules too, because this documentation is for readers of the source.
#![allow(rustdoc::private_intra_doc_links)]

mod block;
mod chain;
pub mod commands;
mod control_state;
mod dead_letter;
mod deletion;
mod fetch;
mod fetched_record;
mod generation;
mod idempotency;
mod insert_rate;
mod kafka_log;
mod membership;
pub mod metrics;
mod migrations;
mod partition;
mod pipeline;
mod record;
mod rows;
pub mod settings;
mod store;
pub mod supervisor;
pub mod usage;
