//! Several time series in one request, as a dashboard needs them.

use crate::app::App;
use crate::auth::Reader;
use crate::body::Validated;
use crate::error::{Error, ErrorBody};
use crate::faults::{FaultCode, Faults};
use crate::fields::{Fields, FromFields};
use crate::params::{Moment, Params, question};
use crate::response::points_json;
use axum::extract::State;
use axum::response::Response;
use jiff::tz::TimeZone;
use reads::series::aggregation::Aggregation;
use reads::series::buckets::Range;
use reads::series::fill::Fill;
use reads::series::read::{TimeSeries, series};
use reads::series::series_query::{Parameters, SeriesQuery, WantedInterval};
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;
use utoipa::ToSchema;

/// Maximum number of time series of a request.
const MAX_QUERIES: usize = 50;
/// The fields of a query apart from its metric.
const PARAMETERS: [&str; 6] = ["startDate", "endDate", "interval", "aggregation", "timezone", "fill"];

/// The requested time series.
#[derive(ToSchema)]
pub struct Queries {
    /// 1 to 50 queries. Each is validated on its own: a fault in one of them does not affect the others.
    #[schema(value_type = Vec<Query>, min_items = 1, max_items = 50)]
    queries: Vec<Value>,
}

impl FromFields for Queries {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { queries: fields.array("queries", 1..=MAX_QUERIES)? })
    }
}

/// One requested time series: the parameters of `GET /metrics/{metricId}/timeseries`.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Query {
    /// The metric's id.
    #[schema(example = "daily_signups")]
    metric_id: String,
    /// Start of the range (inclusive), Unix milliseconds or ISO 8601; default 24 hours before its end.
    #[schema(value_type = Option<Moment>, example = "2026-03-01")]
    start_date: i64,
    /// End of the range (exclusive), Unix milliseconds or ISO 8601; default now.
    #[schema(value_type = Option<Moment>, example = "2026-04-01")]
    end_date: i64,
    /// Length of the buckets; default `auto`.
    #[schema(value_type = Option<WantedInterval>, example = "day")]
    interval: WantedInterval,
    /// Aggregation of the points of a bucket; default `avg`.
    #[schema(value_type = Option<Aggregation>)]
    aggregation: Aggregation,
    /// The IANA time zone in whose local time buckets begin; default UTC.
    #[schema(value_type = Option<String>, example = "Europe/Berlin")]
    timezone: (TimeZone, String),
    /// Value of buckets without points; default `none`.
    #[schema(value_type = Option<Fill>)]
    fill: Fill,
}

impl Query {
    /// Reads a query. `now` is the default end of its range, Unix milliseconds.
    fn read(query: &Value, now: i64) -> Result<Self, Faults> {
        let Value::Object(fields) = query else {
            return Err(Faults::one("queries", FaultCode::NotAnObject, "must hold JSON objects"));
        };
        let mut params = Params::of_fields(fields, &PARAMETERS);
        let metric_id = match fields.get("metricId") {
            Some(Value::String(metric_id)) => metric_id.clone(),
            None | Some(Value::Null) => {
                params.fault("metricId", FaultCode::Required, "is required");
                String::new()
            }
            Some(_) => {
                params.fault("metricId", FaultCode::NotAString, "must be a string");
                String::new()
            }
        };
        let parameters = params.time_series(now)?;
        Ok(Self {
            metric_id,
            start_date: parameters.range.start,
            end_date: parameters.range.end,
            interval: parameters.interval,
            aggregation: parameters.aggregation,
            timezone: (parameters.zone, parameters.timezone),
            fill: parameters.fill,
        })
    }

    /// Returns the metric's id and its query in buckets.
    fn into_question(self, now: i64) -> Result<(String, SeriesQuery), Faults> {
        let (zone, timezone) = self.timezone;
        let parameters = Parameters {
            range: Range { start: self.start_date, end: self.end_date },
            zone,
            timezone,
            interval: self.interval,
            aggregation: self.aggregation,
            fill: self.fill,
        };
        Ok((self.metric_id, question(parameters, now)?))
    }
}

/// The results, in the order of the queries.
#[derive(Debug, Serialize, ToSchema)]
pub struct Results {
    /// One result for each query.
    results: Vec<QueryResult>,
}

/// The result of one query.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum QueryResult {
    /// The time series.
    Series(TimeSeries),
    /// The error of this query.
    Failure(Failure),
}

/// The error of one query; it does not affect the others.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryFailure)]
pub struct Failure {
    /// Machine code of the error, the same as for `GET /metrics/{metricId}/timeseries`.
    error: &'static str,
    /// A sentence for people that says what to do.
    message: Cow<'static, str>,
}

/// Returns up to 50 time series. An error of one query takes the place of its result and does not affect the
/// others.
#[utoipa::path(
    post,
    path = "/query",
    tag = "metrics",
    operation_id = "query",
    request_body = Queries,
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A result for each query", body = Results),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn post(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    Validated(Queries { queries }): Validated<Queries>,
) -> Result<Response, Error> {
    // All queries share one current time, so that ranges that end now are equal and can be read together.
    let now = service::clock::now_ms();
    let questions: Vec<Result<(String, SeriesQuery), Faults>> =
        queries.iter().map(|query| Query::read(query, now)?.into_question(now)).collect();
    let valid: Vec<(String, SeriesQuery)> =
        questions.iter().filter_map(|question| question.as_ref().ok()).cloned().collect();
    let mut answers = series(&app.reads, &key.project_id, &valid).await?.into_iter();
    let mut points = 0;
    let results = questions.into_iter().map(|question| {
        let answer = question
            .map_err(Error::from)
            .and_then(|_| Ok(answers.next().unwrap_or(Err(reads::Error::UnknownMetric))?));
        match answer {
            Ok(series) => {
                points += series.points.len();
                QueryResult::Series(series)
            }
            Err(error) => QueryResult::Failure(Failure { error: error.code(), message: error.message() }),
        }
    });
    let results = Results { results: results.collect() };
    Ok(points_json(&results, points))
}
