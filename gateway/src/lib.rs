//! The gateway: takes batches of metrics over HTTP and answers 200 only once Kafka has them on all in-sync replicas.
//!
//! [`handle`] shows the way of a request from top to bottom; read it first. [`error`] is everything that can be answered
//! instead of 200. The parts that reach outside are behind [`handle::Keys`], [`quota::Quota`],
//! [`idempotency::Claims`] and [`publish::Publish`].

pub mod error;
pub mod fault;
pub mod handle;
pub mod idempotency;
pub mod kafka;
pub mod metrics;
pub mod openapi;
pub mod outcomes;
pub mod parse;
pub mod publish;
pub mod quota;
pub mod request;
pub mod settings;
pub mod validate;

pub use handle::Gateway;
