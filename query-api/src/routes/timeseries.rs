//! Time series: the points of a metric in buckets.

use crate::app::App;
use crate::auth::Reader;
use crate::error::{Error, ErrorBody};
use crate::params::{Params, question};
use crate::response::points_json;
use crate::routes::{MetricId, csv};
use axum::extract::State;
use axum::response::Response;
use hyper::HeaderMap;
use reads::series::aggregation::Aggregation;
use reads::series::fill::Fill;
use reads::series::read::{TimeSeries, series};
use reads::series::series_query::WantedInterval;
use std::sync::Arc;

/// Returns the points of a metric in buckets.
#[utoipa::path(
    get,
    path = "/metrics/{metricId}/timeseries",
    tag = "metrics",
    operation_id = "getTimeSeries",
    params(
        ("metricId" = String, Path, description = "The metric's id"),
        ("startDate" = Option<String>, Query, description = "Start of the range (inclusive), Unix milliseconds or ISO 8601; default 24 hours before its end"),
        ("endDate" = Option<String>, Query, description = "End of the range (exclusive), Unix milliseconds or ISO 8601; default now"),
        ("interval" = Option<WantedInterval>, Query, description = "Length of the buckets; default `auto`"),
        ("aggregation" = Option<Aggregation>, Query, description = "Aggregation of the points of a bucket; default `avg`"),
        ("timezone" = Option<String>, Query, description = "The IANA time zone in whose local time buckets begin; default UTC"),
        ("fill" = Option<Fill>, Query, description = "Value of buckets without points; default `none`"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The time series", content((TimeSeries = "application/json"), (String = "text/csv"))),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn get(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    MetricId(id): MetricId,
    mut params: Params,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let now = service::clock::now_ms();
    let question = question(params.time_series(now)?, now)?;
    let answer = series(&app.reads, &key.project_id, &[(id, question)]).await?.pop();
    let series = answer.unwrap_or(Err(reads::Error::UnknownMetric))?;
    if csv::is_preferred(&headers) {
        let cells = series
            .points
            .iter()
            .map(|point| [point.timestamp.to_string(), csv::number(point.value), point.count.to_string()]);
        return Ok(csv::response(["timestamp", "value", "count"], cells, None));
    }
    Ok(points_json(&series, series.points.len()))
}
