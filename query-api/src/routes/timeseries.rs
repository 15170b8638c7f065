//! Time series: the points of a metric in buckets.

use crate::app::App;
use crate::auth::Reader;
use crate::error::{Error, ErrorBody};
use crate::fault::Code;
use crate::params::Params;
use crate::routes::{MetricId, csv, metrics};
use crate::series::aggregation::Aggregation;
use crate::series::buckets::{self, Interval, Range};
use crate::series::fill::{Fill, Point, fill};
use crate::series::merge::{Partial, merge};
use crate::series::query::Plan;
use crate::words::words;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::HeaderMap;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

words! {
    /// How long the buckets shall be.
    pub enum WantedInterval: "interval" {
        /// Minutes.
        Minute = "minute",
        /// Hours.
        Hour = "hour",
        /// Days.
        Day = "day",
        /// Weeks.
        Week = "week",
        /// Months.
        Month = "month",
        /// The shortest that makes at most 400 buckets.
        Auto = "auto",
    }
}

/// The points of a metric in buckets.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimeSeries {
    /// The metric's id.
    metric_id: String,
    /// The newest name that was sent; the id in title case if none was.
    metric_name: String,
    /// The newest unit that was sent; `null` if none was.
    #[schema(required)]
    unit: Option<String>,
    /// How long the buckets are.
    interval: Interval,
    /// How the points of a bucket became one number.
    aggregation: Aggregation,
    /// The zone by whose clock buckets begin.
    timezone: String,
    /// The buckets, ascending.
    points: Vec<Point>,
    /// Every point that was accepted with a `receivedAt` up to this is in the answer; 0 promises nothing.
    watermark: i64,
}

/// What is asked for.
struct Question {
    range: Range,
    starts: Vec<i64>,
    interval: Interval,
    aggregation: Aggregation,
    timezone: String,
    fill: Fill,
}

impl Question {
    /// Reads the parameters. `now` is where a range ends that has no end.
    fn read(params: &mut Params, now: i64) -> Result<Self, Error> {
        let (zone, timezone) = params.zone();
        let range = params.range(&zone, now);
        let wanted = params.word("interval", WantedInterval::Auto);
        let aggregation = params.word("aggregation", Aggregation::Avg);
        let fill = params.word("fill", Fill::None);
        params.check()?;
        let interval = match wanted {
            WantedInterval::Minute => Interval::Minute,
            WantedInterval::Hour => Interval::Hour,
            WantedInterval::Day => Interval::Day,
            WantedInterval::Week => Interval::Week,
            WantedInterval::Month => Interval::Month,
            WantedInterval::Auto => buckets::automatic(range, &zone),
        };
        let starts = buckets::starts(range, interval, &zone, buckets::MOST).unwrap_or_else(|_| {
            let message =
                "makes more than 11000 buckets of this range: ask for longer ones or for a shorter range";
            params.faults.add("interval", Code::TooManyBuckets, message);
            Vec::new()
        });
        params.check()?;
        Ok(Self { range, starts, interval, aggregation, timezone, fill })
    }
}

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
    let question = Question::read(&mut params, accounts::now_ms())?;
    let series = answer(&app, &key.project_id, &id, question).await?;
    if csv::wanted(&headers) {
        let cells = series
            .points
            .iter()
            .map(|point| [point.timestamp.to_string(), csv::number(point.value), point.count.to_string()]);
        return Ok(csv::answer(["timestamp", "value", "count"], cells, None));
    }
    Ok(Json(series).into_response())
}

/// The ends of the log, the heads of the chains, the data: in this order, so that the watermark is true.
async fn answer(app: &App, project: &str, id: &str, question: Question) -> Result<TimeSeries, Error> {
    let database = app.generations.database().await?;
    let heads = async {
        app.watermarks.refresh().await;
        app.store.heads(&database).await
    };
    let (heads, metric) = tokio::join!(heads, app.store.metric(&database, project, id));
    let (metric, watermark) = (metric?, app.watermarks.at(&heads?));
    let parts = read(app, &database, (project, id), &question).await?;
    let points = merge(parts, question.aggregation);
    Ok(TimeSeries {
        metric_name: metrics::name(&metric),
        unit: metrics::unit(&metric),
        metric_id: metric.metric_id,
        interval: question.interval,
        aggregation: question.aggregation,
        timezone: question.timezone,
        points: fill(&question.starts, points, question.fill),
        watermark,
    })
}

async fn read(
    app: &App,
    database: &str,
    series: (&str, &str),
    question: &Question,
) -> Result<Vec<Partial>, Error> {
    let Question { range, starts, interval, aggregation, .. } = question;
    match Plan::new(*range, starts, *interval, *aggregation) {
        Some(plan) => app.store.series(database, series, &plan.sql(starts, *aggregation)).await,
        None => Ok(Vec::new()),
    }
}
