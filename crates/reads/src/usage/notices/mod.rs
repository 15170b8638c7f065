//! Notices about unusual usage of a project, computed from rows of the usage table. No clock or I/O.

mod address;
mod refused;
mod traffic;

use super::table::{AddressRow, ConnectionRow, HourRow, RefusedRow};
use crate::series::buckets::Range;
use serde::Serialize;
use service::wire_enum;
use std::time::Duration;
use utoipa::ToSchema;

/// Maximum number of notices in an answer; the newest are kept.
const MAX_NOTICES: usize = 200;

/// Time before a range from which [`RefusedRow`]s are needed for its first minutes.
pub const REFUSED_BEFORE_MS: i64 = refused::WINDOW_MS;
/// Time before a range from which [`HourRow`]s are needed for its first hours.
pub const TRAFFIC_BEFORE_MS: i64 = traffic::BEFORE_MS;

/// Thresholds of notices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Minimum number of requests with invalid or revoked keys of a connection within five minutes.
    pub refused_keys: u64,
    /// Minimum time since the first use of a connection for a notice about a new address.
    pub new_address_after: Duration,
    /// Factor by which the requests of an hour must exceed the connection's mean.
    pub traffic_jump: f64,
}

wire_enum! {
    /// Subject of a notice.
    pub enum NoticeKind {
        /// Many requests used invalid or revoked keys of one connection.
        RefusedKeys = "refused_keys",
        /// A connection was used from an address that never used it before.
        NewAddress = "new_address",
        /// A connection sent far more requests than before.
        TrafficJump = "traffic_jump",
    }
}

/// Notice about unusual usage.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// Subject of the notice.
    pub kind: NoticeKind,
    /// Time at which the condition was first met, Unix milliseconds.
    pub at: i64,
    /// The connection; `null` for keys of the project without a connection.
    #[schema(required)]
    pub connection_id: Option<String>,
    /// Description with advice.
    pub message: String,
    /// Data that the notice is based on.
    pub evidence: Evidence,
}

/// Data that a notice is based on. Fields that do not apply to its kind are absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// First millisecond of the examined time range.
    pub from: i64,
    /// First millisecond after the examined time range.
    pub to: i64,
    /// Requests in the range.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub requests: Option<u64>,
    /// Requests in the range with an invalid secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub invalid_key: Option<u64>,
    /// Requests in the range with a revoked key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub revoked_key: Option<u64>,
    /// Mean number of requests per hour of the connection before the range.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub mean_per_hour: Option<f64>,
    /// Time of the connection's first use, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub first_used_at: Option<i64>,
    /// Keyed hashes of the addresses, in hexadecimal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub addresses: Vec<String>,
}

/// Rows of the usage table from which notices are computed.
#[derive(Debug, Clone, Copy)]
pub struct UsageRows<'a> {
    /// All connections.
    pub connections: &'a [ConnectionRow],
    /// Rows from [`REFUSED_BEFORE_MS`] before the range.
    pub refused: &'a [RefusedRow],
    /// First uses in the range.
    pub addresses: &'a [AddressRow],
    /// Rows from [`TRAFFIC_BEFORE_MS`] before the range.
    pub hours: &'a [HourRow],
}

/// Returns the notices of `range`, newest first.
pub fn notices(range: Range, rows: UsageRows<'_>, thresholds: &Thresholds) -> Vec<Notice> {
    let mut notices = refused::notices(range, rows.refused, thresholds);
    notices.extend(address::notices(rows.addresses, rows.connections, thresholds));
    notices.extend(traffic::notices(range, rows.hours, rows.connections, thresholds));
    notices.sort_by(|one, other| {
        (other.at, &one.connection_id, one.kind as u8).cmp(&(one.at, &other.connection_id, other.kind as u8))
    });
    notices.truncate(MAX_NOTICES);
    notices
}

/// Converts the connection id of a row to that of an answer.
pub fn connection_id(id: &str) -> Option<String> {
    (!id.is_empty()).then(|| id.to_owned())
}

fn hexadecimal(addresses: impl IntoIterator<Item = u64>) -> Vec<String> {
    addresses.into_iter().map(|address| format!("{address:016x}")).collect()
}

#[cfg(test)]
const TEST_THRESHOLDS: Thresholds =
    Thresholds { refused_keys: 20, new_address_after: Duration::from_secs(86_400), traffic_jump: 10.0 };
