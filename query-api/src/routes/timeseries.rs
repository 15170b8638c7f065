//! Time series: the points of a metric in buckets.

use crate::answer;
use crate::app::App;
use crate::auth::Reader;
use crate::error::{Error, ErrorBody};
use crate::params::Params;
use crate::routes::{MetricId, csv};
use axum::extract::State;
use axum::response::Response;
use hyper::HeaderMap;
use reads::series::aggregation::Aggregation;
use reads::series::fill::Fill;
use reads::series::question::WantedInterval;
use reads::series::read::{TimeSeries, series};
use std::sync::Arc;

/// A metric's points in buckets.
#[utoipa::path(
    get,
    path = "/metrics/{metricId}/timeseries",
    tag = "metrics",
    operation_id = "getTimeSeries",
    params(
        ("metricId" = String, Path, description = "The metric's id"),
        ("startDate" = Option<String>, Query, description = "The range's first moment, Unix milliseconds or ISO 8601; 24 hours before its end if left out"),
        ("endDate" = Option<String>, Query, description = "The first moment after the range, Unix milliseconds or ISO 8601; now if left out"),
        ("interval" = Option<WantedInterval>, Query, description = "How long buckets are; `auto` if left out"),
        ("aggregation" = Option<Aggregation>, Query, description = "How the points of a bucket become one number; `avg` if left out"),
        ("timezone" = Option<String>, Query, description = "The IANA zone by whose clock buckets begin; UTC if left out"),
        ("fill" = Option<Fill>, Query, description = "What stands in buckets without points; `none` if left out"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The time series", content((TimeSeries = "application/json"), (String = "text/csv"))),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn get(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    MetricId(id): MetricId,
    mut params: Params,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let question = params.question(service::clock::now_ms())?;
    let answer = series(&app.reads, &key.project_id, &[(id, question)]).await?.pop();
    let series = answer.unwrap_or(Err(reads::Error::UnknownMetric))?;
    if csv::wanted(&headers) {
        let cells = series
            .points
            .iter()
            .map(|point| [point.timestamp.to_string(), csv::number(point.value), point.count.to_string()]);
        return Ok(csv::answer(["timestamp", "value", "count"], cells, None));
    }
    Ok(answer::of_points(&series, series.points.len()))
}
