//! Points as they come: one reader of the log for all who listen.
//!
//! [`tail`] reads `metrics.v1` from its end, once for each process however many listen, and hands each batch to those
//! who want it through bounded queues ([`hub`]). What a listener has seen is a [`cursor`], which travels as the event's
//! id: whoever comes back with it, to whichever process, gets what it missed by [`replay`] and goes on without gap or
//! repeat. A listener that is too slow is let go, and comes back with its cursor. What is pushed is what is stored: a
//! copy of a record that had an idempotency key is dropped here by the ingest worker's rule ([`seen`]).
//!
//! Within a Kafka partition points come in its order; across partitions, as they arrive.

pub mod cursor;
pub mod hub;
pub mod replay;
pub mod seen;
pub mod session;
pub mod tail;
