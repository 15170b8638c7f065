//! What a rule would have done.

use super::{NewAlert, read};
use crate::app::App;
use crate::auth::AlertReader;
use crate::body::Fields;
use crate::error::{Error, ErrorBody, Unavailable};
use crate::fault::{Code, Faults};
use alerting::preview::{MAX_POINTS, PreviewError, preview};
use alerting::records::StateWord;
use alerting::rule::Condition;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

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
    let series = (key.project_id.as_str(), alert.metric_id.as_str());
    let changes = match preview(&app.reads, series, &condition, service::clock::now_ms()).await {
        Ok(changes) => changes,
        Err(PreviewError::Read(error)) => return Err(error.into()),
        Err(PreviewError::TooManyPoints) => {
            let mut faults = Faults::default();
            let message =
                format!("cannot be previewed over more than {MAX_POINTS} points: use avg, min or max");
            faults.add("aggregation", Code::OutOfRange, message);
            return Err(faults.into());
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
