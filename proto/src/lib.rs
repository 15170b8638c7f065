//! Definitions that all services share: topics, the messages in them, and the keys of records.
//!
//! Guarantees:
//! - Field numbers, topic names, header names and key formats never change, so that records of every earlier
//!   version can be read.
//! - Decoding ignores fields of later versions; an entity of an unknown kind has no key and is skipped.
//!
//! This crate performs no I/O. It must not depend on any other crate of the workspace.

pub mod control;
pub mod encode;
mod id;
pub mod topics;

pub use id::batch_id;

/// The messages of `tidemark/v1/*.proto`.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/tidemark.v1.rs"));
}

/// OpenAPI 3.1 description of the gateway's HTTP interface, in JSON. The gateway generates it (`gateway
/// --openapi`), and a test of the gateway fails if the file is outdated. It is in this crate so that the
/// query API can serve one description of both interfaces.
pub const INGEST_OPENAPI: &str = include_str!("../openapi/ingest.json");

pub use prost::{DecodeError, Message};
