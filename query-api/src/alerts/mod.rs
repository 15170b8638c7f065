//! Alerts: rules over metrics, what comes of them, and who is told.
//!
//! The way of an alert: a rule is an entity of `control.v1`; one replica at a time ([`lease`] for quiet, [`journal`] for
//! certain) runs a [`term`], in which [`evaluate`] measures ([`measure`]) and asks the [`machine`] of each rule for its
//! change. Changes are written to `alerts.v1`; every replica reads that topic back into its [`book`], and only what stands
//! there is told to channels ([`deliver`]). Tries, acknowledgements and tests go through the topic too, so a crash at any
//! point loses nothing and repeats at most a request whose answer was not recorded; its id is the same then.

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
pub mod measure;
pub mod metrics;
pub mod present;
pub mod preview;
pub mod records;
pub mod rule;
pub mod term;
