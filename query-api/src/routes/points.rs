//! The points of a metric, one by one.

use crate::app::App;
use crate::auth::Reader;
use crate::error::{Error, ErrorBody};
use crate::params::{Params, cursor_text};
use crate::routes::{MetricId, csv};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::HeaderMap;
use reads::series::buckets::Range;
use reads::series::merge::Place;
use reads::store::PointRow;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// One point.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// Event time, Unix milliseconds.
    timestamp: i64,
    /// The value, as it was sent.
    value: f64,
    /// When the gateway had received it, Unix milliseconds.
    received_at: i64,
}

/// A page of points, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Points {
    /// The points.
    items: Vec<Point>,
    /// Goes on where this page ends; `null` on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Where a page ended, and the range that was read: what was left out means the same on every page.
#[derive(Serialize, Deserialize)]
struct Cursor {
    start: i64,
    end: i64,
    place: Place,
}

/// Lists a metric's points, newest first. Points that arrive while one pages neither shift nor repeat others.
#[utoipa::path(
    get,
    path = "/metrics/{metricId}/points",
    tag = "metrics",
    operation_id = "listPoints",
    params(
        ("metricId" = String, Path, description = "The metric's id"),
        ("startDate" = Option<String>, Query, description = "The range's first moment, Unix milliseconds or ISO 8601; 24 hours before its end if left out"),
        ("endDate" = Option<String>, Query, description = "The first moment after the range, Unix milliseconds or ISO 8601; now if left out"),
        ("timezone" = Option<String>, Query, description = "The IANA zone of times without an offset; UTC if left out"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 100 if left out"),
        ("cursor" = Option<String>, Query, description = "An earlier answer's `nextCursor`; in CSV the header `X-Next-Cursor`"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of points", content((Points = "application/json"), (String = "text/csv"))),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
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
    let limit = params.limit();
    let list = format!("points of {id}");
    let cursor: Option<Cursor> = params.cursor(&list);
    let range = match &cursor {
        Some(cursor) => params.range_or(&zone, Range { start: cursor.start, end: cursor.end }),
        None => params.range(&zone, service::clock::now_ms()),
    };
    params.check()?;

    let view = app.reads.view(&key.project_id).await?;
    let series = (key.project_id.as_str(), id.as_str());
    let before = cursor.map(|cursor| cursor.place);
    let (metric, rows) = tokio::join!(
        app.reads.store.metric(&view, series.0, series.1),
        app.reads.store.points(&view, series, range, before, limit + 1),
    );
    metric?;
    let mut rows = rows?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows
        .last()
        .filter(|_| more)
        .map(|last| cursor_text(&list, &Cursor { start: range.start, end: range.end, place: last.place }));
    let items: Vec<Point> = rows.into_iter().map(Point::from).collect();
    if csv::wanted(&headers) {
        let cells = items.iter().map(|point| {
            [point.timestamp.to_string(), csv::number(Some(point.value)), point.received_at.to_string()]
        });
        return Ok(csv::answer(["timestamp", "value", "receivedAt"], cells, next_cursor.as_deref()));
    }
    Ok(Json(Points { items, next_cursor }).into_response())
}

impl From<PointRow> for Point {
    fn from(row: PointRow) -> Self {
        Self { timestamp: row.place.0, value: row.value, received_at: row.place.1 }
    }
}
