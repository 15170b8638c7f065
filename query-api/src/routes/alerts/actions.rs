//! Actions on a rule: acknowledge it, test its channels.

use super::{Alert, find, versioned};
use crate::app::App;
use crate::auth::AlertManager;
use crate::body::ValidatedOrEmpty;
use crate::error::{Conflict, Error, ErrorBody, directory_unavailable};
use crate::fields::{Fields, FromFields};
use crate::routes::Id;
use crate::routes::channels::{StartedTest, start_test};
use crate::versions::Versioned;
use alerting::current_value::current_value;
use alerting::records::state_to_proto;
use alerting::state_machine::State as RuleState;
use axum::Json;
use axum::extract::State;
use hyper::StatusCode;
use proto::v1::{AlertAcknowledgement, AlertTest, alert_record};
use std::sync::Arc;
use utoipa::ToSchema;

/// An acknowledgement of a rule's state.
#[derive(ToSchema)]
pub struct Acknowledgement {
    /// A note of up to 1000 characters.
    #[schema(max_length = 1000, example = "Ann looks into it")]
    note: Option<String>,
}

impl FromFields for Acknowledgement {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { note: fields.optional_text("note", 1000)? })
    }
}

/// Acknowledges the current state of a rule. The acknowledgement ends with the rule's next transition.
#[utoipa::path(
    post,
    path = "/alerts/{alertId}/acknowledge",
    tag = "alerts",
    operation_id = "acknowledgeAlert",
    params(("alertId" = String, Path, description = "The rule's id")),
    request_body = Option<Acknowledgement>,
    security(("key" = ["manage"])),
    responses(
        (status = 200, description = "The rule", body = Alert),
        (status = "4XX", description = "The request is invalid or not allowed; 409 if the rule is ok", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn acknowledge(
    AlertManager(key): AlertManager,
    Id(id): Id,
    State(app): State<Arc<App>>,
    ValidatedOrEmpty(Acknowledgement { note }): ValidatedOrEmpty<Acknowledgement>,
) -> Result<Versioned<Alert>, Error> {
    let alert = find(&app, &key.project_id, &id).await?;
    let state = app.alerts.read(|states| states.rule(&id));
    if state.status.state == RuleState::Ok {
        return Err(Error::Conflict(Conflict::NotFiring));
    }
    if state.acknowledged.is_none() {
        // Keys of connections lack the scope, so this is a standalone key, which has a name.
        let by = app.directory.key(&key.project_id, &key.key_id).await.map_err(directory_unavailable)?;
        let acknowledgement = AlertAcknowledgement {
            project_id: key.project_id.clone(),
            alert_id: id,
            sequence: state.status.entered_sequence,
            at_ms: service::clock::now_ms(),
            by: by.map_or_else(|| key.key_id.clone(), |key| key.name),
            note: note.unwrap_or_default(),
        };
        app.append_alert_record(alert_record::Kind::Acknowledgement(acknowledgement)).await?;
    }
    Ok(versioned(&app, alert))
}

/// Sends a test notification with the rule's current value to its channels. Failed deliveries are not
/// retried; the rule's history contains all delivery attempts.
#[utoipa::path(
    post,
    path = "/alerts/{alertId}/test",
    tag = "alerts",
    operation_id = "testAlert",
    params(("alertId" = String, Path, description = "The rule's id")),
    security(("key" = ["manage"])),
    responses(
        (status = 202, description = "The test is being sent", body = StartedTest),
        (status = "4XX", description = "The request is invalid or not allowed; 409 if the rule has no channels", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn test(
    AlertManager(key): AlertManager,
    Id(id): Id,
    State(app): State<Arc<App>>,
) -> Result<(StatusCode, Json<StartedTest>), Error> {
    let alert = find(&app, &key.project_id, &id).await?;
    if alert.channels.is_empty() {
        return Err(Error::Conflict(Conflict::NoChannels));
    }
    let (view, at_ms) = (app.reads.view(&key.project_id).await?, service::clock::now_ms());
    let (subject, value) = current_value(&app.reads.store, view, &alert, at_ms).await?;
    let state = state_to_proto(app.alerts.read(|states| states.rule(&id)).status.state).into();
    start_test(&app, AlertTest { test_id: String::new(), subject: Some(subject), at_ms, value, state }).await
}
