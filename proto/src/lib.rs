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

pub use prost::{DecodeError, Message};
