//! History of a rule: transitions, tests, deliveries and acknowledgements.

use super::find;
use crate::app::App;
use crate::auth::AlertReader;
use crate::error::{Error, ErrorBody, Unavailable};
use crate::params::Params;
use crate::response::{ListItem, ListResponse};
use crate::routes::Id;
use alerting::history::{ACKNOWLEDGEMENT, DELIVERY, EventRow, TEST};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A delivery attempt.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertDelivery {
    /// The channel's id.
    channel_id: String,
    /// Time of the attempt, Unix milliseconds.
    at: i64,
    /// `delivered`, `retrying` (the attempt failed and will be repeated) or `failed` (it will not).
    status: String,
    /// Number of the attempt, from 1.
    attempt: u32,
    /// Reason of the failure; `null` if the notification was delivered.
    #[schema(required)]
    error: Option<String>,
}

/// A transition of a rule, or a requested test of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertTransition {
    /// Time of the transition or test, Unix milliseconds.
    at: i64,
    /// The state before. It equals the state after for a test, and when the rule has stopped flapping.
    from: String,
    /// The state after.
    to: String,
    /// True if this is a test: the rule kept its state, and its channels were notified of its current value.
    test: bool,
    /// The aggregated value; `null` if the range had no points, or if the rule was disabled or removed.
    #[schema(required)]
    value: Option<f64>,
    /// The threshold at that time.
    threshold: f64,
    /// All delivery attempts, in order.
    deliveries: Vec<AlertDelivery>,
    /// Name of the key that acknowledged the state; `null` if none did.
    #[schema(required)]
    acknowledged_by: Option<String>,
    /// Time of the acknowledgement, Unix milliseconds.
    #[schema(required)]
    acknowledged_at: Option<i64>,
    /// Note of the acknowledgement.
    #[schema(required)]
    note: Option<String>,
}

impl ListItem for AlertTransition {
    const LIST_NAME: &'static str = "AlertHistory";
    const LIST_DESCRIPTION: &'static str = "A page of transitions and tests, newest first.";
}

type AlertHistory = ListResponse<AlertTransition>;

/// Lists the transitions and tests of a rule, newest first, with their delivery attempts and
/// acknowledgements. A test is an item whose `test` is true; its `from` and `to` are the state of the rule at
/// that time.
#[utoipa::path(
    get,
    path = "/alerts/{alertId}/history",
    tag = "alerts",
    operation_id = "getAlertHistory",
    params(
        ("alertId" = String, Path, description = "The rule's id"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of items in the page; default 100"),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of an earlier answer"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of transitions and tests", body = AlertHistory),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn get(
    AlertReader(key): AlertReader,
    Id(id): Id,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<AlertHistory>, Error> {
    let page = params.page::<i64>(format!("history of {id}"));
    params.check()?;
    find(&app, &key.project_id, &id).await?;
    let before = page.after.unwrap_or(i64::MAX);
    let events = app.history.page((&key.project_id, &id), before, page.limit + 1).await;
    let mut events = events.map_err(|error| {
        tracing::warn!(%error, "alert history read failed");
        Error::Unavailable(Unavailable::Query)
    })?;
    let more = events.len() > page.limit;
    events.truncate(page.limit);
    let last = events.last().and_then(|rows| rows.first()).map(|head| head.offset);
    let next_cursor = last.filter(|_| more).map(|last| page.cursor_at(&last));
    Ok(Json(ListResponse { items: events.into_iter().filter_map(item).collect(), next_cursor }))
}

/// Returns the transition or test that the rows of one event describe; nothing if its first row is missing.
fn item(rows: Vec<EventRow>) -> Option<AlertTransition> {
    let head = rows.iter().find(|row| row.is_head())?.clone();
    // The first of several acknowledgements counts, as it does for the rule's state.
    let acknowledgement = rows.iter().find(|row| row.kind == ACKNOWLEDGEMENT).cloned();
    let deliveries = rows.into_iter().filter(|row| row.kind == DELIVERY).map(|row| AlertDelivery {
        channel_id: row.channel_id,
        at: row.at_ms,
        status: row.status,
        attempt: row.attempt,
        error: Some(row.error).filter(|error| !error.is_empty()),
    });
    Some(AlertTransition {
        at: head.at_ms,
        from: head.state_from,
        to: head.state_to,
        test: head.kind == TEST,
        value: head.value,
        threshold: head.threshold,
        deliveries: deliveries.collect(),
        acknowledged_by: acknowledgement.as_ref().map(|row| row.person.clone()),
        acknowledged_at: acknowledgement.as_ref().map(|row| row.at_ms),
        note: acknowledgement.map(|row| row.note).filter(|note| !note.is_empty()),
    })
}
