//! The catalogue: the metrics of a project.

use crate::app::App;
use crate::auth::{Manager, Reader};
use crate::error::{Error, ErrorBody};
use crate::params::Params;
use crate::response::{ListItem, ListResponse};
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
    /// The id as it was sent.
    metric_id: String,
    /// The newest name that was sent; the id in title case if none was.
    metric_name: String,
    /// The newest unit that was sent; `null` if none was.
    #[schema(required)]
    unit: Option<String>,
    /// Time at which the first point was received, Unix milliseconds.
    first_seen_at: i64,
    /// Time at which the last point was received, Unix milliseconds.
    last_seen_at: i64,
    /// The value of the point with the latest event time.
    last_value: f64,
    /// Number of points.
    points: u64,
}

impl ListItem for Metric {
    const LIST_NAME: &'static str = "Metrics";
    const LIST_DESCRIPTION: &'static str = "A page of metrics in the order of their ids.";
}

type Metrics = ListResponse<Metric>;

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
        ("search" = Option<String>, Query, description = "Only metrics whose id or name contains this text, ignoring case"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of items in the page; default 100"),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of an earlier answer"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of metrics", body = Metrics),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<Metrics>, Error> {
    let page = params.page::<String>("metrics");
    params.check()?;
    let filter = MetricsPage {
        id: None,
        search: params.text("search"),
        after: page.after.as_deref(),
        limit: page.limit + 1,
    };
    let view = app.reads.view(&key.project_id).await?;
    let rows = app.reads.store.metrics(&view, &key.project_id, filter).await?;
    Ok(Json(ListResponse::from_rows(rows, &page, |row| row.metric_id.clone(), Metric::from)))
}

/// Returns a metric.
#[utoipa::path(
    get,
    path = "/metrics/{metricId}",
    tag = "metrics",
    operation_id = "getMetric",
    params(("metricId" = String, Path, description = "The metric's id")),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The metric", body = Metric),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
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

/// Deletes a metric. Its points disappear at once for all readers, and no rebuild brings them back. Points
/// that are sent after the answer belong to a new metric of the same name.
#[utoipa::path(
    delete,
    path = "/metrics/{metricId}",
    tag = "metrics",
    operation_id = "deleteMetric",
    params(("metricId" = String, Path, description = "The metric's id")),
    security(("key" = ["manage"])),
    responses(
        (status = 204, description = "Deleted"),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
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
    app.command(delete).await.map_err(|failed| failed.or(Error::MetricNotFound))?;
    Ok(StatusCode::NO_CONTENT)
}
