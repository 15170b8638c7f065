//! Alerts: rules over metrics, their evaluation, their states and the notification of channels.
//!
//! A rule is an entity of `control.v1`. One replica at a time holds the lease ([`lease`]) and leads ([`term`]); Kafka's
//! transactional producer ([`journal`]) ensures that only one can write. The leader evaluates rules ([`evaluate`]) over
//! windows of the read engine and asks each rule's state machine ([`machine`]) for its transition. Transitions are written
//! to `alerts.v1`. Every replica reads that topic into its [`book`], and only what stands there is delivered to channels
//! ([`deliver`]).
//!
//! Guarantees:
//! - A transition is recorded once and delivered at least once. A repeated delivery carries the same id.
//! - Delivery attempts, acknowledgements and tests go through the topic too, so a crash loses none of them.
//! - Channels cannot make the process call private networks ([`outgoing`]).
//!
//! This crate reads metrics through `reads` only. It must not depend on `promql` or `query-api`.

pub mod arrivals;
pub mod book;
pub mod deliver;
pub mod directory;
pub mod evaluate;
pub mod follower;
pub mod history;
pub mod journal;
pub mod lease;
pub mod machine;
pub mod metrics;
pub mod notify;
pub mod outgoing;
pub mod present;
pub mod preview;
pub mod records;
pub mod rule;
pub mod term;
