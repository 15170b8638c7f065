//! Preview of a rule: the transitions that it would have made in the past.

use super::NewAlert;
use crate::app::App;
use crate::auth::AlertReader;
use crate::error::{Error, ErrorBody};
use crate::faults::{FaultCode, Faults};
use crate::fields::Fields;
use alerting::preview::{MAX_POINTS, PreviewError, preview};
use alerting::records::StateWord;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A transition that the rule would have made.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewedTransition {
    /// Time of the transition, Unix milliseconds.
    at: i64,
    /// The state before.
    from: StateWord,
    /// The state after.
    to: StateWord,
    /// The aggregated value; `null` if the range had no points.
    #[schema(required)]
    value: Option<f64>,
}

/// The transitions that a rule would have made.
#[derive(Debug, Serialize, ToSchema)]
pub struct Preview {
    /// The transitions of the last 30 days, with an evaluation every five minutes; oldest first.
    transitions: Vec<PreviewedTransition>,
}

/// Returns the transitions that a rule would have made in the last 30 days. Nothing is stored and no channel
/// is notified.
#[utoipa::path(
    post,
    path = "/alerts/preview",
    tag = "alerts",
    operation_id = "previewAlert",
    request_body = NewAlert,
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The transitions", body = Preview),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn post(
    AlertReader(key): AlertReader,
    State(app): State<Arc<App>>,
    fields: Fields,
) -> Result<Json<Preview>, Error> {
    let alert = NewAlert::read(fields, &app, &key.project_id).await?;
    let series = (key.project_id.as_str(), alert.metric_id.as_str());
    let transitions = match preview(&app.reads, series, &alert.condition(), service::clock::now_ms()).await {
        Ok(transitions) => transitions,
        Err(PreviewError::Read(error)) => return Err(error.into()),
        Err(PreviewError::TooManyPoints) => {
            let message =
                format!("cannot be previewed over more than {MAX_POINTS} points: use avg, min or max");
            return Err(Faults::one("aggregation", FaultCode::OutOfRange, message).into());
        }
    };
    let transitions = transitions.into_iter().map(|transition| PreviewedTransition {
        at: transition.at_ms,
        from: transition.from.into(),
        to: transition.to.into(),
        value: transition.value,
    });
    Ok(Json(Preview { transitions: transitions.collect() }))
}
