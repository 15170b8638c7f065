//! The single points of a metric.

use crate::app::App;
use crate::auth::Reader;
use crate::error::{Error, ErrorBody};
use crate::params::Params;
use crate::response::{ListItem, ListResponse};
use crate::routes::{MetricId, csv};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::HeaderMap;
use reads::series::buckets::Range;
use reads::series::merge::PointPosition;
use reads::store::PointRow;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// A point.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// Event time, Unix milliseconds.
    timestamp: i64,
    /// The value as it was sent.
    value: f64,
    /// Time at which the gateway received the point, Unix milliseconds.
    received_at: i64,
}

impl ListItem for Point {
    const LIST_NAME: &'static str = "Points";
    const LIST_DESCRIPTION: &'static str = "A page of points, newest first.";
}

type Points = ListResponse<Point>;

/// The position at which a page ended, and its range: defaults must not move the range from page to page.
#[derive(Serialize, Deserialize)]
struct Cursor {
    start: i64,
    end: i64,
    place: PointPosition,
}

/// Lists the points of a metric, newest first. Points that arrive between two pages neither shift nor repeat
/// others.
#[utoipa::path(
    get,
    path = "/metrics/{metricId}/points",
    tag = "metrics",
    operation_id = "listPoints",
    params(
        ("metricId" = String, Path, description = "The metric's id"),
        ("startDate" = Option<String>, Query, description = "Start of the range (inclusive), Unix milliseconds or ISO 8601; default 24 hours before its end"),
        ("endDate" = Option<String>, Query, description = "End of the range (exclusive), Unix milliseconds or ISO 8601; default now"),
        ("timezone" = Option<String>, Query, description = "The IANA time zone of times without an offset; default UTC"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of items in the page; default 100"),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of an earlier answer; with CSV, its header `X-Next-Cursor`"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of points", content((Points = "application/json"), (String = "text/csv"))),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    MetricId(id): MetricId,
    mut params: Params,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let (zone, _) = params.zone();
    let page = params.page::<Cursor>(format!("points of {id}"));
    let range = match &page.after {
        Some(cursor) => params.range_or(&zone, Range { start: cursor.start, end: cursor.end }),
        None => params.range(&zone, service::clock::now_ms()),
    };
    params.check()?;

    let view = app.reads.view(&key.project_id).await?;
    let series = (key.project_id.as_str(), id.as_str());
    let before = page.after.as_ref().map(|cursor| cursor.place);
    let (metric, rows) = tokio::join!(
        app.reads.store.metric(&view, series.0, series.1),
        app.reads.store.points(&view, series, range, before, page.limit + 1),
    );
    metric?;
    let cursor = |row: &PointRow| Cursor { start: range.start, end: range.end, place: row.position };
    let points = ListResponse::from_rows(rows?, &page, cursor, Point::from);
    if csv::is_preferred(&headers) {
        let cells = points.items.iter().map(|point| {
            [point.timestamp.to_string(), csv::number(Some(point.value)), point.received_at.to_string()]
        });
        let columns = ["timestamp", "value", "receivedAt"];
        return Ok(csv::response(columns, cells, points.next_cursor.as_deref()));
    }
    Ok(Json(points).into_response())
}

impl From<PointRow> for Point {
    fn from(row: PointRow) -> Self {
        Self { timestamp: row.position.0, value: row.value, received_at: row.position.1 }
    }
}
