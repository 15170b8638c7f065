//! What the project's keys are used for.

use crate::app::App;
use crate::auth::Reader;
use crate::error::{Error, ErrorBody};
use crate::fault::{Code, Faults};
use crate::params::Params;
use crate::routes::projects::Quota;
use axum::Json;
use axum::extract::State;
use jiff::tz::TimeZone;
use reads::series::buckets::{MOST, Range};
use reads::usage::notices::{self, Notice, Seen, connection_id};
use reads::usage::table::{ConnectionRow, ItemRow};
use serde::Serialize;
use service::wire_enum;
use std::collections::HashMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// An answer has at most so many items.
const MOST_ITEMS: usize = 100_000;

wire_enum! {
    /// How long the buckets shall be, by the clock of UTC.
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

/// Requests of a bucket that ended alike.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The bucket's start, Unix milliseconds.
    timestamp: i64,
    /// The connection whose key was given; `null` for keys that belong to none.
    #[schema(required)]
    connection_id: Option<String>,
    /// `accepted`, `replayed`, or the error's code.
    outcome: String,
    /// How many requests.
    requests: u64,
    /// How many metrics in them were accepted.
    metrics: u64,
}

/// A connection that was used.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsedConnection {
    /// The connection; `null` for keys that belong to none.
    #[schema(required)]
    connection_id: Option<String>,
    /// Its name; `null` if it was deleted.
    #[schema(required)]
    name: Option<String>,
    /// When its key was last used, Unix milliseconds.
    last_used_at: i64,
    /// From how many addresses it was used in the range.
    addresses: u64,
}

/// What the project's keys are used for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageReport {
    /// The running hour.
    quota: Quota,
    /// Requests by time, connection and outcome, ascending.
    items: Vec<Item>,
    /// The connections that were used in the last 90 days.
    connections: Vec<UsedConnection>,
    /// What looks wrong, newest first.
    notices: Vec<Notice>,
}

/// What the project's keys were used for in a range, of which all minutes count that it touches; and what looks wrong.
/// Requests appear within a few seconds and are remembered for 90 days.
#[utoipa::path(
    get,
    path = "/usage",
    tag = "usage",
    operation_id = "getUsage",
    params(
        ("startDate" = Option<String>, Query, description = "The range's first moment, Unix milliseconds or ISO 8601; 24 hours before its end if left out"),
        ("endDate" = Option<String>, Query, description = "The first moment after the range, Unix milliseconds or ISO 8601; now if left out"),
        ("interval" = Option<UsageInterval>, Query, description = "How long buckets are; `hour` if left out"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The usage", body = UsageReport),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn get(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<UsageReport>, Error> {
    let range = params.range(&TimeZone::UTC, service::clock::now_ms());
    let interval = params.word("interval", UsageInterval::Hour);
    params.check()?;
    if buckets(range, interval) > MOST {
        too_many(&mut params, "makes more than 11000 buckets of this range")?;
    }
    let (usage, project) = (&app.usage, key.project_id.as_str());
    let earlier = |by: i64| Range { start: range.start - by, end: range.end };
    let used = async { Ok::<_, reads::Error>(usage.hour(project).await) };
    let (items, connections, refused, addresses, hours, used) = tokio::try_join!(
        usage.table.items(project, range, interval.width_ms(), MOST_ITEMS),
        usage.table.connections(project, range),
        usage.table.refused(project, earlier(notices::REFUSED_BEFORE_MS)),
        usage.table.new_addresses(project, range),
        usage.table.hours(project, whole_hours(earlier(notices::TRAFFIC_BEFORE_MS))),
        used,
    )?;
    let used = used?;
    if items.len() > MOST_ITEMS {
        too_many(&mut params, "makes more than 100000 items of this range")?;
    }
    let seen = Seen { connections: &connections, refused: &refused, addresses: &addresses, hours: &hours };
    let notices = notices::notices(range, seen, &usage.thresholds);
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

/// How many buckets the range touches.
fn buckets(range: Range, interval: UsageInterval) -> usize {
    let width = interval.width_ms();
    let buckets = (range.end - 1).div_euclid(width) - range.start.div_euclid(width) + 1;
    usize::try_from(buckets).unwrap_or(0)
}

/// The same with the whole of its first hour.
fn whole_hours(range: Range) -> Range {
    Range { start: range.start - range.start.rem_euclid(3_600_000), ..range }
}

fn too_many(params: &mut Params, what: &str) -> Result<(), Faults> {
    let message = format!("{what}: ask for longer ones or for a shorter range");
    params.faults.add("interval", Code::TooManyBuckets, message);
    params.check()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_counted_where_the_range_touches_them() {
        let count = |start, end, interval| buckets(Range { start, end }, interval);
        assert_eq!(count(0, 3_600_000, UsageInterval::Hour), 1);
        assert_eq!(count(1, 3_600_001, UsageInterval::Hour), 2);
        assert_eq!(count(-1, 1, UsageInterval::Day), 2);
        assert_eq!(count(0, 11_000 * 60_000, UsageInterval::Minute), MOST);
    }
}
