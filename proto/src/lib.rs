//! What the services agree on: the topics, the messages in them, and how their records are keyed.

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

/// The description of the gateway's HTTP interface, OpenAPI 3.1 in JSON. The gateway's code makes it (`gateway --openapi`)
/// and a test of the gateway holds it to that; it is kept here so that the query service can serve both as one.
pub const INGEST_OPENAPI: &str = include_str!("../openapi/ingest.json");

pub use prost::{DecodeError, Message};
