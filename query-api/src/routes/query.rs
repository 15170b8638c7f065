//! Many time series in one round trip: a dashboard.

use crate::answer;
use crate::app::App;
use crate::auth::Reader;
use crate::body::Fields;
use crate::error::{Error, ErrorBody};
use crate::fault::{Code, Faults};
use crate::params::Params;
use axum::extract::State;
use axum::response::Response;
use reads::series::aggregation::Aggregation;
use reads::series::fill::Fill;
use reads::series::question::{Question, WantedInterval};
use reads::series::read::{TimeSeries, series};
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;
use utoipa::ToSchema;

/// How many time series one call may ask for.
const MOST: usize = 50;
/// What a query may say beside its metric.
const PARAMETERS: [&str; 6] = ["startDate", "endDate", "interval", "aggregation", "timezone", "fill"];

/// Time series that are asked for. It describes the body; [`Fields`] reads it.
#[derive(ToSchema)]
#[allow(dead_code)]
pub struct Queries {
    /// 1 to 50 of them.
    #[schema(min_items = 1, max_items = 50)]
    queries: Vec<Query>,
}

/// One time series that is asked for: the parameters of `GET /metrics/{metricId}/timeseries`.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code)]
pub struct Query {
    /// The metric's id.
    #[schema(example = "daily_signups")]
    metric_id: String,
    /// The range's first moment, Unix milliseconds or ISO 8601; 24 hours before its end if left out.
    #[schema(example = "2026-03-01")]
    start_date: Option<Moment>,
    /// The first moment after the range, Unix milliseconds or ISO 8601; now if left out.
    #[schema(example = "2026-04-01")]
    end_date: Option<Moment>,
    /// How long buckets are; `auto` if left out.
    #[schema(example = "day")]
    interval: Option<WantedInterval>,
    /// How the points of a bucket become one number; `avg` if left out.
    aggregation: Option<Aggregation>,
    /// The IANA zone by whose clock buckets begin; UTC if left out.
    #[schema(example = "Europe/Berlin")]
    timezone: Option<String>,
    /// What stands in buckets without points; `none` if left out.
    fill: Option<Fill>,
}

/// A moment in time.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub enum Moment {
    /// Unix milliseconds.
    Milliseconds(i64),
    /// Unix milliseconds or ISO 8601; without an offset it is the zone's clock.
    Text(String),
}

/// An answer for each query, in the same order.
#[derive(Debug, Serialize, ToSchema)]
pub struct Results {
    /// The answers.
    results: Vec<QueryResult>,
}

/// The answer to one query.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum QueryResult {
    /// The time series.
    Series(TimeSeries),
    /// Why there is none.
    Failure(Failure),
}

/// Why one query has no answer; the others have theirs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryFailure)]
pub struct Failure {
    /// The machine code that the call for this one alone would answer.
    error: &'static str,
    /// One sentence that a person can act on.
    message: Cow<'static, str>,
}

/// Up to 50 time series at once. What is wrong with one of them is told in its place and spoils no other.
#[utoipa::path(
    post,
    path = "/query",
    tag = "metrics",
    operation_id = "query",
    request_body = Queries,
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "An answer for each query", body = Results),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn post(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<Response, Error> {
    let queries = fields.array("queries", 1..=MOST);
    fields.faults.check()?;
    // One moment for all: those that end now end together, and are read together.
    let now = service::clock::now_ms();
    let asked: Vec<Result<(String, Question), Error>> =
        queries.unwrap_or_default().iter().map(|query| read(query, now)).collect();
    let valid: Vec<(String, Question)> =
        asked.iter().filter_map(|asked| asked.as_ref().ok()).cloned().collect();
    let mut answers = series(&app.reads, &key.project_id, &valid).await?.into_iter();
    let mut points = 0;
    let results = asked.into_iter().map(|asked| {
        let answer = asked.and_then(|_| Ok(answers.next().unwrap_or(Err(reads::Error::UnknownMetric))?));
        match answer {
            Ok(series) => {
                points += series.points.len();
                QueryResult::Series(series)
            }
            Err(error) => QueryResult::Failure(Failure { error: error.code(), message: error.message() }),
        }
    });
    let results = Results { results: results.collect() };
    Ok(answer::of_points(&results, points))
}

fn read(query: &Value, now: i64) -> Result<(String, Question), Error> {
    let Value::Object(fields) = query else {
        let mut faults = Faults::default();
        faults.add("queries", Code::NotAnObject, "must hold JSON objects");
        faults.check()?;
        return Err(Error::NoMetric);
    };
    let mut params = Params::of_fields(fields, &PARAMETERS);
    let metric = match fields.get("metricId") {
        Some(Value::String(metric)) => metric.clone(),
        None | Some(Value::Null) => {
            params.faults.add("metricId", Code::Required, "is required");
            String::new()
        }
        Some(_) => {
            params.faults.add("metricId", Code::NotAString, "must be a string");
            String::new()
        }
    };
    Ok((metric, params.question(now)?))
}
