//! What people do with a rule: acknowledge, try its channels.

use super::{Alert, find, versioned};
use crate::app::App;
use crate::auth::AlertManager;
use crate::body::OptionalFields;
use crate::error::{Conflict, Error, ErrorBody, unreadable};
use crate::routes::Id;
use crate::routes::channels::{TestAsked, ask_test};
use crate::versions::Versioned;
use alerting::machine::State as RuleState;
use alerting::present::present;
use alerting::records::state_to;
use axum::Json;
use axum::extract::State;
use hyper::StatusCode;
use proto::v1::{AlertAcknowledgement, AlertTest, alert_record};
use std::sync::Arc;
use utoipa::ToSchema;

/// What is noted with an acknowledgement. It describes the body; [`OptionalFields`] reads it.
#[derive(ToSchema)]
#[allow(dead_code)]
pub struct Acknowledgement {
    /// Up to 1000 characters.
    #[schema(max_length = 1000, example = "Ann looks into it")]
    note: Option<String>,
}

/// Says that a person has seen that the rule fires. It counts until the rule's next change.
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
        (status = "4XX", description = "The request was refused; 409 if the rule is ok", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn acknowledge(
    AlertManager(key): AlertManager,
    Id(id): Id,
    State(app): State<Arc<App>>,
    OptionalFields(mut fields): OptionalFields,
) -> Result<Versioned<Alert>, Error> {
    let note = fields.text("note", 1000);
    fields.faults.check()?;
    let alert = find(&app, &key.project_id, &id).await?;
    let state = app.alerts.look(|book| book.rule(&id));
    if state.standing.state == RuleState::Ok {
        return Err(Error::Conflict(Conflict::NotFiring));
    }
    if state.acknowledged.is_none() {
        // A connection's key cannot do this, so it stands alone and has a name.
        let by = app.directory.key(&key.project_id, &key.key_id).await.map_err(unreadable)?;
        let acknowledgement = AlertAcknowledgement {
            project_id: key.project_id.clone(),
            alert_id: id,
            sequence: state.standing.entered,
            at_ms: service::clock::now_ms(),
            by: by.map_or_else(|| key.key_id.clone(), |key| key.name),
            note: note.unwrap_or_default(),
        };
        app.note(alert_record::Kind::Acknowledgement(acknowledgement)).await?;
    }
    Ok(versioned(&app, alert))
}

/// Tells the rule's channels a test, with what the rule measures at the moment. Each is tried once; the tries are in
/// the rule's history.
#[utoipa::path(
    post,
    path = "/alerts/{alertId}/test",
    tag = "alerts",
    operation_id = "testAlert",
    params(("alertId" = String, Path, description = "The rule's id")),
    security(("key" = ["manage"])),
    responses(
        (status = 202, description = "The test is sent", body = TestAsked),
        (status = "4XX", description = "The request was refused; 409 if the rule has no channels", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn test(
    AlertManager(key): AlertManager,
    Id(id): Id,
    State(app): State<Arc<App>>,
) -> Result<(StatusCode, Json<TestAsked>), Error> {
    let alert = find(&app, &key.project_id, &id).await?;
    if alert.channels.is_empty() {
        return Err(Error::Conflict(Conflict::NoChannels));
    }
    let (view, at_ms) = (app.reads.view(&key.project_id).await?, service::clock::now_ms());
    let (subject, value) = present(&app.reads.store, view, &alert, at_ms).await?;
    let state = state_to(app.alerts.look(|book| book.rule(&id)).standing.state).into();
    ask_test(&app, AlertTest { test_id: String::new(), subject: Some(subject), at_ms, value, state }).await
}
