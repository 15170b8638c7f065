//! What became of a rule.

use super::find;
use crate::app::App;
use crate::auth::AlertReader;
use crate::error::{Error, ErrorBody, Unavailable};
use crate::params::{Params, cursor_text};
use crate::routes::Id;
use alerting::history::{ACKNOWLEDGEMENT, DELIVERY, EventRow, TEST};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A try to tell a channel.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertDelivery {
    /// The channel.
    channel_id: String,
    /// When, Unix milliseconds.
    at: i64,
    /// `delivered`, `retrying` (it failed and is tried again) or `failed` (it is not).
    status: String,
    /// 1 for the first.
    attempt: u32,
    /// Why it failed; `null` if it did not.
    #[schema(required)]
    error: Option<String>,
}

/// A change of a rule, or a test of it that somebody asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertTransition {
    /// When, Unix milliseconds.
    at: i64,
    /// The state before. Where it is the one after, it is a test, or the rule changes to and fro no longer.
    from: String,
    /// The state after.
    to: String,
    /// Whether it is a test: the rule stayed in its state, and its channels were told what it measured.
    test: bool,
    /// What was measured; `null` where there were no points, or the rule ended.
    #[schema(required)]
    value: Option<f64>,
    /// What it was compared with.
    threshold: f64,
    /// Every try to tell the channels, in order.
    deliveries: Vec<AlertDelivery>,
    /// Who acknowledged it: the key's name; `null` if nobody did.
    #[schema(required)]
    acknowledged_by: Option<String>,
    /// When it was acknowledged, Unix milliseconds.
    #[schema(required)]
    acknowledged_at: Option<i64>,
    /// What was noted then.
    #[schema(required)]
    note: Option<String>,
}

/// A page of changes and tests, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertHistory {
    /// The changes and tests.
    items: Vec<AlertTransition>,
    /// Goes on where this page ends; `null` on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// The changes of a rule and the tests of it, newest first, with every try to tell its channels and who acknowledged. A
/// test is an item whose `from` and `to` are the state that the rule was in, and whose `test` is true.
#[utoipa::path(
    get,
    path = "/alerts/{alertId}/history",
    tag = "alerts",
    operation_id = "getAlertHistory",
    params(
        ("alertId" = String, Path, description = "The rule's id"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 100 if left out"),
        ("cursor" = Option<String>, Query, description = "An earlier answer's `nextCursor`"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of changes and tests", body = AlertHistory),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn get(
    AlertReader(key): AlertReader,
    Id(id): Id,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<AlertHistory>, Error> {
    let limit = params.limit();
    let list = format!("history of {id}");
    let before: Option<i64> = params.cursor(&list);
    params.check()?;
    find(&app, &key.project_id, &id).await?;
    let page = app.history.page((&key.project_id, &id), before.unwrap_or(i64::MAX), limit + 1).await;
    let mut page = page.map_err(|error| {
        tracing::warn!(%error, "the history of an alert cannot be read");
        Error::Unavailable(Unavailable::Query)
    })?;
    let more = page.len() > limit;
    page.truncate(limit);
    let last = page.last().and_then(|rows| rows.first()).map(|head| head.offset);
    let next_cursor = last.filter(|_| more).map(|last| cursor_text(&list, &last));
    Ok(Json(AlertHistory { items: page.into_iter().filter_map(item).collect(), next_cursor }))
}

/// A change or a test with what belongs to it.
fn item(rows: Vec<EventRow>) -> Option<AlertTransition> {
    let change = rows.iter().find(|row| row.is_head())?.clone();
    // Of several the first counts, as it does for the rule's state.
    let acknowledgement = rows.iter().find(|row| row.kind == ACKNOWLEDGEMENT).cloned();
    let deliveries = rows.into_iter().filter(|row| row.kind == DELIVERY).map(|row| AlertDelivery {
        channel_id: row.channel_id,
        at: row.at_ms,
        status: row.status,
        attempt: row.attempt,
        error: Some(row.error).filter(|error| !error.is_empty()),
    });
    Some(AlertTransition {
        at: change.at_ms,
        from: change.state_from,
        to: change.state_to,
        test: change.kind == TEST,
        value: change.value,
        threshold: change.threshold,
        deliveries: deliveries.collect(),
        acknowledged_by: acknowledgement.as_ref().map(|said| said.person.clone()),
        acknowledged_at: acknowledgement.as_ref().map(|said| said.at_ms),
        note: acknowledgement.map(|said| said.note).filter(|note| !note.is_empty()),
    })
}
