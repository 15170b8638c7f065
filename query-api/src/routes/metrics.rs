//! The catalogue: which metrics a project has.

use crate::app::App;
use crate::auth::{Manager, Reader};
use crate::error::{Error, ErrorBody};
use crate::params::{Params, cursor_text};
use crate::routes::MetricId;
use axum::Json;
use axum::extract::State;
use control::commands::Commands;
use hyper::StatusCode;
use reads::display_name::{name, unit};
use reads::store::{MetricRow, MetricsPage};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A metric.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    /// Its id, as it was sent.
    metric_id: String,
    /// The newest name that was sent; the id in title case if none was.
    metric_name: String,
    /// The newest unit that was sent; `null` if none was.
    #[schema(required)]
    unit: Option<String>,
    /// When its first point was received, Unix milliseconds.
    first_seen_at: i64,
    /// When its last point was received, Unix milliseconds.
    last_seen_at: i64,
    /// The value of the point with the latest event time.
    last_value: f64,
    /// How many points it has.
    points: u64,
}

/// A page of metrics, by id.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// The metrics.
    items: Vec<Metric>,
    /// Goes on where this page ends; `null` on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl From<MetricRow> for Metric {
    fn from(row: MetricRow) -> Self {
        Self {
            metric_name: name(&row.metric_id, &row.newest_name),
            unit: unit(&row.newest_unit),
            metric_id: row.metric_id,
            first_seen_at: row.first_seen,
            last_seen_at: row.last_seen,
            last_value: row.last_value,
            points: row.points,
        }
    }
}

/// Lists the project's metrics by id.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "metrics",
    operation_id = "listMetrics",
    params(
        ("search" = Option<String>, Query, description = "Only metrics whose id or name contains it, in any case"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 100 if left out"),
        ("cursor" = Option<String>, Query, description = "An earlier answer's `nextCursor`"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of metrics", body = Metrics),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<Metrics>, Error> {
    let limit = params.limit();
    let after: Option<String> = params.cursor("metrics");
    params.check()?;
    let page =
        MetricsPage { id: None, search: params.text("search"), after: after.as_deref(), limit: limit + 1 };
    let view = app.reads.view(&key.project_id).await?;
    let mut rows = app.reads.store.metrics(&view, &key.project_id, page).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).map(|last| cursor_text("metrics", &last.metric_id));
    Ok(Json(Metrics { items: rows.into_iter().map(Metric::from).collect(), next_cursor }))
}

/// One metric.
#[utoipa::path(
    get,
    path = "/metrics/{metricId}",
    tag = "metrics",
    operation_id = "getMetric",
    params(("metricId" = String, Path, description = "The metric's id")),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The metric", body = Metric),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn get(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    MetricId(id): MetricId,
) -> Result<Json<Metric>, Error> {
    let view = app.reads.view(&key.project_id).await?;
    Ok(Json(app.reads.store.metric(&view, &key.project_id, &id).await?.into()))
}

/// Deletes a metric: its points are gone at once, for all readers, and do not come back, whatever is rebuilt. Points that
/// are sent after the answer belong to a new metric of the same name.
#[utoipa::path(
    delete,
    path = "/metrics/{metricId}",
    tag = "metrics",
    operation_id = "deleteMetric",
    params(("metricId" = String, Path, description = "The metric's id")),
    security(("key" = ["manage"])),
    responses(
        (status = 204, description = "It is deleted"),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn remove(
    Manager(key): Manager,
    State(app): State<Arc<App>>,
    MetricId(id): MetricId,
) -> Result<StatusCode, Error> {
    let view = app.reads.view(&key.project_id).await?;
    app.reads.store.metric(&view, &key.project_id, &id).await?;
    let project = key.project_id.clone();
    let delete = |commands: Commands| async move { commands.delete_metric(&project, &id).await };
    app.command(delete).await.map_err(|failed| failed.or(Error::NoMetric))?;
    Ok(StatusCode::NO_CONTENT)
}
