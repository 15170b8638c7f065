//! PromQL: parsing, planning and evaluation.
//!
//! [`parse`] and [`plan`] turn the text of a query into selectors to be read and a tree to be evaluated. The caller reads
//! each selector's samples for the whole range at once, and [`eval`] evaluates them in memory, within a [`budget`].
//!
//! Guarantees: the semantics of Prometheus 3, checked against Prometheus's own evaluator; an unsupported construct is
//! an error that names it.
//!
//! This crate performs no I/O and must not depend on any crate that does.

pub mod budget;
mod error;
pub mod eval;
pub mod functions;
pub mod grid;
pub mod labels;
pub mod parse;
pub mod plan;

pub use error::Error;
