//! Alert rules: made, changed, tried out; what they stand at and what became of them.

pub mod actions;
pub mod history;
pub mod preview;
pub mod read;

use crate::app::App;
use crate::auth::{AlertManager, AlertReader};
use crate::body::Fields;
use crate::error::{Error, ErrorBody, unreadable};
use crate::params::{Params, cursor_text};
use crate::routes::Id;
use crate::versions::{IfMatch, Versioned};
use alerting::book::RuleState;
use alerting::records::StateWord;
use alerting::rule::{NoData, Operator, Window};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control::commands::Commands;
use hyper::StatusCode;
use proto::v1;
use reads::series::aggregation::Aggregation;
use serde::Serialize;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use utoipa::ToSchema;

/// A rule to be made, or what one is to become. It describes the body; [`Fields`] reads it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code)]
pub struct NewAlert {
    /// 1 to 100 characters, no control characters.
    #[schema(min_length = 1, example = "Too few signups")]
    name: String,
    /// The metric; it need not exist yet.
    #[schema(example = "daily_signups")]
    metric_id: String,
    /// How the points of the range become one number; `avg` if left out. The count of no points is 0.
    aggregation: Option<Aggregation>,
    /// How it is compared.
    operator: Operator,
    /// With what.
    threshold: f64,
    /// How far back the rule looks from the moment of its evaluation.
    range: Window,
    /// Ids of channels that are told, up to 20; none if left out.
    channels: Option<Vec<String>>,
    /// Whether it is evaluated; it is if left out.
    enabled: Option<bool>,
    /// What a range without points means; `ignore` if left out: the rule stays in its state.
    no_data: Option<NoData>,
}

/// A rule.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Its id.
    alert_id: String,
    /// Its name.
    name: String,
    /// The metric that it is over.
    metric_id: String,
    /// How the points of the range become one number.
    #[schema(value_type = Aggregation)]
    aggregation: String,
    /// How it is compared.
    #[schema(value_type = Operator)]
    operator: String,
    /// With what.
    threshold: f64,
    /// How far back it looks.
    #[schema(value_type = Window)]
    range: String,
    /// Ids of the channels that are told.
    channels: Vec<String>,
    /// Whether it is evaluated.
    enabled: bool,
    /// What a range without points means.
    #[schema(value_type = NoData)]
    no_data: String,
    /// What it stands at.
    state: StateWord,
    /// Whether a person has acknowledged that.
    acknowledged: bool,
    /// When it was made, Unix milliseconds.
    created_at: i64,
    /// When it was last changed by a person, Unix milliseconds.
    updated_at: i64,
    /// Grows with each change by a person.
    version: u64,
}

/// A page of rules, in the order in which they were made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alerts {
    /// The rules.
    items: Vec<Alert>,
    /// Goes on where this page ends; `null` on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl Alert {
    fn new(alert: v1::Alert, state: &RuleState) -> Self {
        Self {
            alert_id: alert.alert_id,
            name: alert.name,
            metric_id: alert.metric_id,
            aggregation: alert.aggregation,
            operator: alert.operator,
            threshold: alert.threshold,
            range: alert.range,
            channels: alert.channels,
            enabled: alert.enabled,
            no_data: alert.no_data,
            state: state.standing.state.into(),
            acknowledged: state.acknowledged.is_some(),
            created_at: alert.created_at_ms,
            updated_at: alert.updated_at_ms,
            version: alert.version,
        }
    }
}

fn versioned(app: &App, alert: v1::Alert) -> Versioned<Alert> {
    let state = app.alerts.look(|book| book.rule(&alert.alert_id));
    Versioned { version: alert.version, entity: Alert::new(alert, &state) }
}

/// The project's rule, without channels that were removed.
async fn find(app: &App, project_id: &str, id: &str) -> Result<v1::Alert, Error> {
    let found = app.directory.owned(project_id, id).await.map_err(unreadable)?.ok_or(Error::NoAlert)?;
    let mut alerts = [found];
    leave_removed_out(app, project_id, &mut alerts).await?;
    let [alert] = alerts;
    Ok(alert)
}

/// A removed channel stays in what is kept of the rules that name it: nothing of a rule changes but by its own version.
async fn leave_removed_out(app: &App, project_id: &str, alerts: &mut [v1::Alert]) -> Result<(), Error> {
    let named: BTreeSet<String> = alerts.iter().flat_map(|alert| alert.channels.iter().cloned()).collect();
    if named.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = named.iter().map(String::as_str).collect();
    let found = app.directory.owned_of::<v1::Channel>(project_id, &ids).await.map_err(unreadable)?;
    let there: HashSet<&str> =
        ids.into_iter().zip(found).filter_map(|(id, channel)| channel.map(|_| id)).collect();
    for alert in alerts {
        alert.channels.retain(|id| there.contains(id.as_str()));
    }
    Ok(())
}

/// Makes a rule. Nobody is told before it is evaluated.
#[utoipa::path(
    post,
    path = "/alerts",
    tag = "alerts",
    operation_id = "createAlert",
    request_body = NewAlert,
    security(("key" = ["manage"])),
    responses(
        (status = 201, description = "The rule; its version is the ETag too", body = Alert),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn create(
    AlertManager(key): AlertManager,
    State(app): State<Arc<App>>,
    fields: Fields,
) -> Result<Response, Error> {
    let alert = read::alert(&app, &key.project_id, fields).await?;
    let create = |commands: Commands| async move { commands.create_owned(alert).await };
    let made = app.command(create).await.map_err(|failed| failed.or(Error::NoAlert))?;
    tracing::info!(project = key.project_id, alert = made.alert_id, "made an alert rule");
    Ok((StatusCode::CREATED, versioned(&app, made)).into_response())
}

/// Lists the project's rules.
#[utoipa::path(
    get,
    path = "/alerts",
    tag = "alerts",
    operation_id = "listAlerts",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 100 if left out"),
        ("cursor" = Option<String>, Query, description = "An earlier answer's `nextCursor`"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of rules", body = Alerts),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(
    AlertReader(key): AlertReader,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<Alerts>, Error> {
    let limit = params.limit();
    let after: Option<String> = params.cursor("alerts");
    params.check()?;
    let page = app.directory.all_owned::<v1::Alert>(&key.project_id, after.as_deref(), limit).await;
    let mut page = page.map_err(unreadable)?;
    leave_removed_out(&app, &key.project_id, &mut page.items).await?;
    let items = page.items.into_iter().map(|alert| versioned(&app, alert).entity).collect();
    Ok(Json(Alerts { items, next_cursor: page.next.as_ref().map(|next| cursor_text("alerts", next)) }))
}

/// One rule.
#[utoipa::path(
    get,
    path = "/alerts/{alertId}",
    tag = "alerts",
    operation_id = "getAlert",
    params(("alertId" = String, Path, description = "The rule's id")),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The rule; its version is the ETag too", body = Alert),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn get(
    AlertReader(key): AlertReader,
    Id(id): Id,
    State(app): State<Arc<App>>,
) -> Result<Versioned<Alert>, Error> {
    let alert = find(&app, &key.project_id, &id).await?;
    Ok(versioned(&app, alert))
}

/// Replaces a rule as a whole. It is evaluated at once, and keeps no state that it would not come to; one that is switched
/// off becomes ok.
#[utoipa::path(
    put,
    path = "/alerts/{alertId}",
    tag = "alerts",
    operation_id = "replaceAlert",
    params(
        ("alertId" = String, Path, description = "The rule's id"),
        ("If-Match" = String, Header, description = "The ETag of the version that is to be changed"),
    ),
    request_body = NewAlert,
    security(("key" = ["manage"])),
    responses(
        (status = 200, description = "The rule as it is now; its version is the ETag too", body = Alert),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn replace(
    AlertManager(key): AlertManager,
    Id(id): Id,
    State(app): State<Arc<App>>,
    if_match: IfMatch,
    fields: Fields,
) -> Result<Versioned<Alert>, Error> {
    find(&app, &key.project_id, &id).await?;
    let expected = if_match.required()?;
    let alert = read::alert(&app, &key.project_id, fields).await?;
    let replace = |commands: Commands| async move { commands.replace_owned(&id, alert, &expected).await };
    let made = app.command(replace).await.map_err(|failed| failed.or(Error::NoAlert))?;
    Ok(versioned(&app, made))
}

/// Removes a rule. If it fires, its channels are told that this is over.
#[utoipa::path(
    delete,
    path = "/alerts/{alertId}",
    tag = "alerts",
    operation_id = "removeAlert",
    params(
        ("alertId" = String, Path, description = "The rule's id"),
        ("If-Match" = String, Header, description = "The ETag of the version that is to be removed"),
    ),
    security(("key" = ["manage"])),
    responses(
        (status = 204, description = "It is removed"),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn remove(
    AlertManager(key): AlertManager,
    Id(id): Id,
    State(app): State<Arc<App>>,
    if_match: IfMatch,
) -> Result<StatusCode, Error> {
    find(&app, &key.project_id, &id).await?;
    let expected = if_match.required()?;
    tracing::info!(project = key.project_id, alert = id, "removing an alert rule");
    let remove = |commands: Commands| async move {
        commands.remove_owned::<v1::Alert>(&key.project_id, &id, &expected).await
    };
    app.command(remove).await.map_err(|failed| failed.or(Error::NoAlert))?;
    Ok(StatusCode::NO_CONTENT)
}
