//! What of a project's use looks wrong: decided from what the table says, without clock or I/O.

mod address;
mod refused;
mod traffic;

use super::table::{AddressRow, ConnectionRow, HourRow, RefusedRow};
use crate::series::buckets::Range;
use serde::Serialize;
use service::wire_enum;
use std::time::Duration;
use utoipa::ToSchema;

/// An answer has so many notices at most, the newest.
const MOST: usize = 200;

/// How far before a range the table must be read to judge its first minutes.
pub const REFUSED_BEFORE_MS: i64 = refused::WINDOW_MS;
/// How far before a range the table must be read to judge its first hours.
pub const TRAFFIC_BEFORE_MS: i64 = traffic::BEFORE_MS;

/// From when on something is worth a notice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// So many answers to wrong or revoked keys of a connection within five minutes.
    pub refused_keys: u64,
    /// A new address is worth a word once a connection has been in use for so long.
    pub new_address_after: Duration,
    /// An hour with more than so many times the requests that the connection had in the mean.
    pub traffic_jump: f64,
}

wire_enum! {
    /// What a notice is about.
    pub enum NoticeKind {
        /// Many requests came with wrong or revoked keys of one connection.
        RefusedKeys = "refused_keys",
        /// A connection was used from an address that never used it before.
        NewAddress = "new_address",
        /// A connection sent far more requests than it used to.
        TrafficJump = "traffic_jump",
    }
}

/// Something that looks wrong.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// What it is about.
    pub kind: NoticeKind,
    /// When it was to be seen first, Unix milliseconds.
    pub at: i64,
    /// The connection; `null` for the project's keys that belong to none.
    #[schema(required)]
    pub connection_id: Option<String>,
    /// One sentence for people.
    pub message: String,
    /// What it was seen by.
    pub evidence: Evidence,
}

/// What a notice was seen by. What does not belong to its kind is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// The first millisecond of the time that was looked at.
    pub from: i64,
    /// The first millisecond after it.
    pub to: i64,
    /// Requests in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub requests: Option<u64>,
    /// Those of them with a wrong secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub invalid_key: Option<u64>,
    /// Those of them with a revoked key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub revoked_key: Option<u64>,
    /// What the connection had an hour in the mean before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub mean_per_hour: Option<f64>,
    /// When the connection was first used, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub first_used_at: Option<i64>,
    /// Keyed hashes of the addresses, in hexadecimal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub addresses: Vec<String>,
}

/// What is to be judged.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// All connections.
    pub connections: &'a [ConnectionRow],
    /// From [`REFUSED_BEFORE_MS`] before the range on.
    pub refused: &'a [RefusedRow],
    /// First uses in the range.
    pub addresses: &'a [AddressRow],
    /// From [`TRAFFIC_BEFORE_MS`] before the range on.
    pub hours: &'a [HourRow],
}

/// What looks wrong in `range`, newest first.
pub fn notices(range: Range, seen: Seen<'_>, thresholds: &Thresholds) -> Vec<Notice> {
    let mut notices = refused::notices(range, seen.refused, thresholds);
    notices.extend(address::notices(seen.addresses, seen.connections, thresholds));
    notices.extend(traffic::notices(range, seen.hours, seen.connections, thresholds));
    notices.sort_by(|one, other| {
        (other.at, &one.connection_id, one.kind as u8).cmp(&(one.at, &other.connection_id, other.kind as u8))
    });
    notices.truncate(MOST);
    notices
}

/// A connection's id as answers have it.
pub fn connection_id(id: &str) -> Option<String> {
    (!id.is_empty()).then(|| id.to_owned())
}

fn hexadecimal(addresses: impl IntoIterator<Item = u64>) -> Vec<String> {
    addresses.into_iter().map(|address| format!("{address:016x}")).collect()
}

#[cfg(test)]
const TEST_THRESHOLDS: Thresholds =
    Thresholds { refused_keys: 20, new_address_after: Duration::from_secs(86_400), traffic_jump: 10.0 };
