//! Claims on idempotency keys: which batch a client's key stands for, across all gateways.
//!
//! Guarantees, while Redis keeps its memory and for [`KEY_LIFETIME_MS`] after a batch was received:
//! - Of the batches offered under one key, one holds the claim at a time.
//! - A confirmed claim never changes: every later request is answered with the same ids.
//! - An unconfirmed claim is released by its holder, or taken over once the holder's lease has expired. The same body
//!   continues with the same ids, so that all answers to it are equal. Another body gets new ids, because nothing was
//!   acknowledged.
//!
//! Redis only makes the answers equal. That no batch is stored twice is ensured by the ingest worker from the log alone, so
//! a gateway that cannot reach Redis continues without a claim.
//!
//! Redis stores a claim and exchanges it if it is the one that the caller has read (`exchange.lua`, [`store`]).
//! [`protocol`] decides on the exchange. It has no clock and performs no I/O. This crate must not depend on `control`.

#![warn(missing_docs)]

mod model;
pub mod protocol;
pub mod store;

pub use model::{
    Batch, Change, Claim, Exchanged, Ids, KEY_LIFETIME_MS, RETENTION_HOURS, Seen, State, Unavailable, Version,
};
pub use store::Claims;
