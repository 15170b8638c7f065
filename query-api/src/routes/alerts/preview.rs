//! What a rule would have done.

use super::{NewAlert, read};
use crate::alerts::preview;
use crate::alerts::records::StateWord;
use crate::alerts::rule::Condition;
use crate::app::App;
use crate::auth::AlertReader;
use crate::body::Fields;
use crate::error::{Error, ErrorBody, Unavailable};
use crate::fault::{Code, Faults};
use crate::series::aggregation::QUANTILES;
use crate::series::query::Kind;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// The most points that a percentile is taken from.
const POINTS: usize = 1_000_000;

/// A change that there would have been.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewedTransition {
    /// When, Unix milliseconds.
    at: i64,
    /// The state before.
    from: StateWord,
    /// The state after.
    to: StateWord,
    /// What was measured; `null` where there were no points.
    #[schema(required)]
    value: Option<f64>,
}

/// What a rule would have done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Preview {
    /// Its changes over the last 30 days, evaluated every five minutes; oldest first.
    transitions: Vec<PreviewedTransition>,
}

/// What a rule would have done over the last 30 days. Nothing is kept and nobody is told.
#[utoipa::path(
    post,
    path = "/alerts/preview",
    tag = "alerts",
    operation_id = "previewAlert",
    request_body = NewAlert,
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The changes", body = Preview),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn post(
    AlertReader(key): AlertReader,
    State(app): State<Arc<App>>,
    fields: Fields,
) -> Result<Json<Preview>, Error> {
    let alert = read::alert(&app, &key.project_id, fields).await?;
    let condition = Condition::of(&alert).ok_or(Error::Unavailable(Unavailable::Command))?;
    let view = app.view(&key.project_id).await?.among([alert.metric_id.as_str()]);
    let now_ms = service::clock::now_ms();
    let (project, metrics) = (key.project_id.as_str(), &[alert.metric_id.as_str()]);
    let range = preview::range(&condition, now_ms);
    let changes = match condition.aggregation.quantile() {
        None => {
            let kind = Kind::of(condition.aggregation);
            let statement = preview::statement(range, kind, &view.hidden.mask());
            let buckets = app.store.series(&view, (project, metrics), kind, &statement).await?;
            preview::of_buckets(&condition, buckets.into_iter().flatten(), now_ms)
        }
        Some(place) => {
            let series = (project, alert.metric_id.as_str());
            let points = app.store.values(&view, series, range, POINTS + 1).await?;
            if points.len() > POINTS {
                let mut faults = Faults::default();
                let message = "cannot be previewed over more than 1000000 points: use avg, min or max";
                faults.add("aggregation", Code::OutOfRange, message);
                faults.check()?;
            }
            preview::of_points(&condition, QUANTILES[place], &points, now_ms)
        }
    };
    let transitions = changes.into_iter().map(|change| PreviewedTransition {
        at: change.at_ms,
        from: change.from.into(),
        to: change.to.into(),
        value: change.value,
    });
    Ok(Json(Preview { transitions: transitions.collect() }))
}
