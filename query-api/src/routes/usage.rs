//! The usage report: requests by key, and notices about suspicious ones.

use crate::app::App;
use crate::auth::Reader;
use crate::error::{Error, ErrorBody};
use crate::faults::{FaultCode, Faults};
use crate::params::Params;
use crate::routes::projects::Quota;
use axum::Json;
use axum::extract::State;
use jiff::tz::TimeZone;
use reads::series::buckets::{MAX_BUCKETS, Range};
use reads::usage::notices::{self, Notice, UsageRows, connection_id};
use reads::usage::table::{ConnectionRow, ItemRow};
use serde::Serialize;
use service::wire_enum;
use std::collections::HashMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// Maximum number of items of a report.
const MAX_ITEMS: usize = 100_000;

wire_enum! {
    /// Length of the buckets, which begin in UTC.
    pub enum UsageInterval {
        /// Minutes.
        Minute = "minute",
        /// Hours.
        Hour = "hour",
        /// Days.
        Day = "day",
    }
}

impl UsageInterval {
    fn width_ms(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }
}

/// The requests of one bucket, connection and outcome.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The bucket's start, Unix milliseconds.
    timestamp: i64,
    /// The connection of the key; `null` for standalone keys.
    #[schema(required)]
    connection_id: Option<String>,
    /// `accepted`, `replayed`, or the error's code.
    outcome: String,
    /// Number of requests.
    requests: u64,
    /// Number of accepted metrics in these requests.
    metrics: u64,
}

/// A connection with requests in the last 90 days.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsedConnection {
    /// The connection; `null` for standalone keys.
    #[schema(required)]
    connection_id: Option<String>,
    /// Name of the connection; `null` if it was removed.
    #[schema(required)]
    name: Option<String>,
    /// Time of the last request with its key, Unix milliseconds.
    last_used_at: i64,
    /// Number of client addresses in the range.
    addresses: u64,
}

/// Usage of the project's keys.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageReport {
    /// Quota usage of the current hour.
    quota: Quota,
    /// Requests by time, connection and outcome, ascending.
    items: Vec<Item>,
    /// The connections that were used in the last 90 days.
    connections: Vec<UsedConnection>,
    /// Suspicious requests, newest first.
    notices: Vec<Notice>,
}

/// Reports the usage of the project's keys in a range, and suspicious requests. The range is extended to
/// whole minutes. Requests appear within a few seconds and are kept for 90 days.
#[utoipa::path(
    get,
    path = "/usage",
    tag = "usage",
    operation_id = "getUsage",
    params(
        ("startDate" = Option<String>, Query, description = "Start of the range (inclusive), Unix milliseconds or ISO 8601; default 24 hours before its end"),
        ("endDate" = Option<String>, Query, description = "End of the range (exclusive), Unix milliseconds or ISO 8601; default now"),
        ("interval" = Option<UsageInterval>, Query, description = "Length of the buckets; default `hour`"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The usage", body = UsageReport),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn get(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<UsageReport>, Error> {
    let range = params.range(&TimeZone::UTC, service::clock::now_ms());
    let interval = params.choice("interval", UsageInterval::Hour);
    params.check()?;
    if bucket_count(range, interval) > MAX_BUCKETS {
        return Err(too_many("makes more than 11000 buckets of this range").into());
    }
    let (usage, project) = (&app.usage, key.project_id.as_str());
    let earlier = |by: i64| Range { start: range.start - by, end: range.end };
    let used = async { Ok::<_, reads::Error>(usage.hour(project).await) };
    let (items, connections, refused, addresses, hours, used) = tokio::try_join!(
        usage.table.items(project, range, interval.width_ms(), MAX_ITEMS),
        usage.table.connections(project, range),
        usage.table.refused(project, earlier(notices::REFUSED_BEFORE_MS)),
        usage.table.new_addresses(project, range),
        usage.table.hours(project, whole_hours(earlier(notices::TRAFFIC_BEFORE_MS))),
        used,
    )?;
    let used = used?;
    if items.len() > MAX_ITEMS {
        return Err(too_many("makes more than 100000 items of this range").into());
    }
    let rows =
        UsageRows { connections: &connections, refused: &refused, addresses: &addresses, hours: &hours };
    let notices = notices::notices(range, rows, &usage.thresholds);
    let ids: Vec<&str> =
        connections.iter().map(|row| row.connection_id.as_str()).filter(|id| !id.is_empty()).collect();
    let mut names = usage.names(&ids).await?;
    Ok(Json(UsageReport {
        quota: Quota::new(key.requests_per_hour, used),
        items: items.into_iter().map(Item::from).collect(),
        connections: connections.into_iter().map(|row| used_connection(row, &mut names)).collect(),
        notices,
    }))
}

impl From<ItemRow> for Item {
    fn from(row: ItemRow) -> Self {
        Self {
            timestamp: row.bucket,
            connection_id: connection_id(&row.connection_id),
            outcome: row.outcome,
            requests: row.requests,
            metrics: row.metrics,
        }
    }
}

fn used_connection(row: ConnectionRow, names: &mut HashMap<String, String>) -> UsedConnection {
    UsedConnection {
        name: names.remove(&row.connection_id),
        connection_id: connection_id(&row.connection_id),
        last_used_at: row.last_at,
        addresses: row.addresses,
    }
}

/// Returns the number of buckets that overlap the range.
fn bucket_count(range: Range, interval: UsageInterval) -> usize {
    let width = interval.width_ms();
    let buckets = (range.end - 1).div_euclid(width) - range.start.div_euclid(width) + 1;
    usize::try_from(buckets).unwrap_or(0)
}

/// Extends the range to the start of its first hour.
fn whole_hours(range: Range) -> Range {
    Range { start: range.start - range.start.rem_euclid(3_600_000), ..range }
}

fn too_many(excess: &str) -> Faults {
    let message = format!("{excess}: ask for longer ones or for a shorter range");
    Faults::one("interval", FaultCode::TooManyBuckets, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partly_covered_buckets_are_counted() {
        let count = |start, end, interval| bucket_count(Range { start, end }, interval);
        assert_eq!(count(0, 3_600_000, UsageInterval::Hour), 1);
        assert_eq!(count(1, 3_600_001, UsageInterval::Hour), 2);
        assert_eq!(count(-1, 1, UsageInterval::Day), 2);
        assert_eq!(count(0, 11_000 * 60_000, UsageInterval::Minute), MAX_BUCKETS);
    }
}
