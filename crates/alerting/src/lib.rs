//! Alerts: rules over metrics, their evaluation, their states and the notification of channels.
//!
//! A rule is an entity of `control.v1`. One replica at a time holds the lease ([`lease`]) and leads ([`leadership`]). Kafka's
//! transactional producer ([`journal`]) ensures that only one replica can write. The leader evaluates rules ([`evaluate`])
//! over windows of the read engine and asks each rule's state machine ([`state_machine`]) for its transition. Transitions
//! are written to `alerts.v1`. Every replica reads that topic ([`follower`]) into its [`alert_state`]. The leader delivers
//! messages to channels ([`delivery`]) only after it has read their transitions from the topic.
//!
//! Guarantees:
//! - A transition is recorded once and delivered at least once. A repeated delivery carries the same id.
//! - Delivery attempts, acknowledgements and tests go through the topic too, so a crash loses none of them.
//! - Channels cannot make the process call private networks ([`outgoing`]).
//!
//! This crate reads metrics through `reads` only. It must not depend on `promql` or `query-api`.

pub mod alert_state;
pub mod arrivals;
pub mod current_value;
pub mod delivery;
pub mod directory;
pub mod evaluate;
mod evaluation_loop;
pub mod follower;
pub mod history;
pub mod journal;
pub mod leadership;
pub mod lease;
pub mod metrics;
mod metrics_tail;
pub mod notify;
pub mod outgoing;
pub mod preview;
pub mod records;
pub mod rule;
pub mod state_machine;
