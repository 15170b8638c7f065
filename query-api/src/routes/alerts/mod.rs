//! Alert rules: their definition and current state. The submodules have their history, preview and actions.

pub mod actions;
pub mod history;
pub mod preview;

use crate::app::App;
use crate::auth::{AlertManager, AlertReader};
use crate::error::{Error, ErrorBody, directory_unavailable};
use crate::faults::FaultCode;
use crate::fields::Fields;
use crate::params::{PageRequest, Params};
use crate::response::{ListItem, ListResponse};
use crate::routes::Id;
use crate::versions::{IfMatch, Versioned};
use alerting::alert_state::RuleState;
use alerting::records::StateWord;
use alerting::rule::{Condition, NoData, Operator, Window};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control::commands::Commands;
use hyper::StatusCode;
use proto::v1;
use reads::series::aggregation::Aggregation;
use serde::Serialize;
use serde_json::Value;
use service::wire_enum::WireEnum as _;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use utoipa::ToSchema;

/// Name of the list in cursors.
const LIST: &str = "alerts";
/// Maximum number of channels of a rule.
const MAX_CHANNELS: usize = 20;

/// A rule to create, or the replacement of one.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct NewAlert {
    /// 1 to 100 characters, no control characters.
    #[schema(min_length = 1, example = "Too few signups")]
    name: String,
    /// The metric; it need not exist yet.
    #[schema(example = "daily_signups")]
    metric_id: String,
    /// Aggregation of the points of the range; default `avg`. The count of no points is 0.
    #[schema(value_type = Option<Aggregation>)]
    aggregation: Aggregation,
    /// Comparison of the aggregated value with the threshold.
    operator: Operator,
    /// The threshold.
    threshold: f64,
    /// Length of the range, which ends at the time of the evaluation.
    range: Window,
    /// Ids of the channels to notify, up to 20; default none.
    #[schema(value_type = Option<Vec<String>>)]
    channels: Vec<String>,
    /// True if the rule is evaluated; default true.
    #[schema(value_type = Option<bool>)]
    enabled: bool,
    /// Meaning of a range without points; default `ignore`: the rule keeps its state.
    #[schema(value_type = Option<NoData>)]
    no_data: NoData,
}

impl NewAlert {
    /// Reads a rule whose channels must belong to the project.
    async fn read(mut fields: Fields, app: &App, project_id: &str) -> Result<Self, Error> {
        let name = fields.name("name");
        let metric_id = fields.string("metricId").and_then(|id| fields.check_metric_id("metricId", id));
        let aggregation = fields.choice_or("aggregation", Aggregation::Avg);
        let operator = fields.choice("operator");
        let threshold = fields.number("threshold");
        let range = fields.choice("range");
        let enabled = fields.boolean_or("enabled", true);
        let no_data = fields.choice_or("noData", NoData::Ignore);
        let channels = channel_ids(&mut fields);
        check_channels(app, project_id, &mut fields, channels.as_deref().unwrap_or_default()).await?;
        let complete = || {
            Some(Self {
                name: name?,
                metric_id: metric_id?,
                aggregation: aggregation?,
                operator: operator?,
                threshold: threshold?,
                range: range?,
                channels: channels?,
                enabled: enabled?,
                no_data: no_data?,
            })
        };
        fields.finish(complete())
    }

    /// Returns the condition that decides the state of the rule.
    fn condition(&self) -> Condition {
        Condition {
            aggregation: self.aggregation,
            operator: self.operator,
            threshold: self.threshold,
            window: self.range,
            no_data: self.no_data,
        }
    }

    fn into_record(self, project_id: &str) -> v1::Alert {
        v1::Alert {
            project_id: project_id.to_owned(),
            name: self.name,
            metric_id: self.metric_id,
            aggregation: self.aggregation.as_str().to_owned(),
            operator: self.operator.as_str().to_owned(),
            threshold: self.threshold,
            range: self.range.as_str().to_owned(),
            channels: self.channels,
            enabled: self.enabled,
            no_data: self.no_data.as_str().to_owned(),
            ..v1::Alert::default()
        }
    }
}

/// Reads the field `channels`, without repeated ids.
fn channel_ids(fields: &mut Fields) -> Option<Vec<String>> {
    let ids = match fields.take("channels") {
        None => return Some(Vec::new()),
        Some(Value::Array(items)) => items
            .into_iter()
            .map(|item| if let Value::String(id) = item { Some(id) } else { None })
            .collect::<Option<Vec<String>>>(),
        Some(_) => None,
    };
    let Some(mut ids) = ids else {
        fields.fault("channels", FaultCode::NotAnArray, "must be a list of channel ids");
        return None;
    };
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    if ids.len() > MAX_CHANNELS {
        let message = format!("must be at most {MAX_CHANNELS} channels");
        fields.fault("channels", FaultCode::BadLength, message);
        return None;
    }
    Some(ids)
}

/// Adds a fault for every channel that the project does not have.
async fn check_channels(
    app: &App,
    project_id: &str,
    fields: &mut Fields,
    ids: &[String],
) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let wanted: Vec<&str> = ids.iter().map(String::as_str).collect();
    let found = app
        .directory
        .entities_by_id::<v1::Channel>(project_id, &wanted)
        .await
        .map_err(directory_unavailable)?;
    for (id, _) in ids.iter().zip(found).filter(|(_, channel)| channel.is_none()) {
        let id: String = id.chars().take(64).collect();
        let message = format!("must be channels of the project; `{id}` is not");
        fields.fault("channels", FaultCode::UnknownChannel, message);
    }
    Ok(())
}

/// A rule.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// The id.
    alert_id: String,
    /// The name.
    name: String,
    /// The metric that the rule evaluates.
    metric_id: String,
    /// Aggregation of the points of the range.
    #[schema(value_type = Aggregation)]
    aggregation: String,
    /// Comparison of the aggregated value with the threshold.
    #[schema(value_type = Operator)]
    operator: String,
    /// The threshold.
    threshold: f64,
    /// Length of the range, which ends at the time of the evaluation.
    #[schema(value_type = Window)]
    range: String,
    /// Ids of the channels to notify.
    channels: Vec<String>,
    /// True if the rule is evaluated.
    enabled: bool,
    /// Meaning of a range without points.
    #[schema(value_type = NoData)]
    no_data: String,
    /// The current state.
    state: StateWord,
    /// True if the current state was acknowledged.
    acknowledged: bool,
    /// Creation time, Unix milliseconds.
    created_at: i64,
    /// Time of the last change of the definition, Unix milliseconds.
    updated_at: i64,
    /// Version of the definition, which grows with each change.
    version: u64,
}

impl ListItem for Alert {
    const LIST_NAME: &'static str = "Alerts";
    const LIST_DESCRIPTION: &'static str = "A page of rules in the order of their creation.";
}

type Alerts = ListResponse<Alert>;

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
            state: state.status.state.into(),
            acknowledged: state.acknowledged.is_some(),
            created_at: alert.created_at_ms,
            updated_at: alert.updated_at_ms,
            version: alert.version,
        }
    }
}

fn versioned(app: &App, alert: v1::Alert) -> Versioned<Alert> {
    let state = app.alerts.read(|states| states.rule(&alert.alert_id));
    Versioned { version: alert.version, entity: Alert::new(alert, &state) }
}

/// Returns the project's rule, without channels that were removed.
async fn find(app: &App, project_id: &str, id: &str) -> Result<v1::Alert, Error> {
    let found = app
        .directory
        .entity(project_id, id)
        .await
        .map_err(directory_unavailable)?
        .ok_or(Error::AlertNotFound)?;
    let mut alerts = [found];
    omit_removed_channels(app, project_id, &mut alerts).await?;
    let [alert] = alerts;
    Ok(alert)
}

/// Omits removed channels from the rules. The stored rules still name them, as a rule changes only together
/// with its version.
async fn omit_removed_channels(app: &App, project_id: &str, alerts: &mut [v1::Alert]) -> Result<(), Error> {
    let named: BTreeSet<String> = alerts.iter().flat_map(|alert| alert.channels.iter().cloned()).collect();
    if named.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = named.iter().map(String::as_str).collect();
    let found =
        app.directory.entities_by_id::<v1::Channel>(project_id, &ids).await.map_err(directory_unavailable)?;
    let existing: HashSet<&str> =
        ids.into_iter().zip(found).filter_map(|(id, channel)| channel.map(|_| id)).collect();
    for alert in alerts {
        alert.channels.retain(|id| existing.contains(id.as_str()));
    }
    Ok(())
}

/// Creates a rule. Its channels are not notified before its first evaluation.
#[utoipa::path(
    post,
    path = "/alerts",
    tag = "alerts",
    operation_id = "createAlert",
    request_body = NewAlert,
    security(("key" = ["manage"])),
    responses(
        (status = 201, description = "The rule; the ETag is its version", body = Alert),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn create(
    AlertManager(key): AlertManager,
    State(app): State<Arc<App>>,
    fields: Fields,
) -> Result<Response, Error> {
    let alert = NewAlert::read(fields, &app, &key.project_id).await?.into_record(&key.project_id);
    let create = |commands: Commands| async move { commands.create_entity(alert).await };
    let created = app.command(create).await.map_err(|failed| failed.or(Error::AlertNotFound))?;
    tracing::info!(project = key.project_id, alert = created.alert_id, "created alert rule");
    Ok((StatusCode::CREATED, versioned(&app, created)).into_response())
}

/// Lists the project's rules.
#[utoipa::path(
    get,
    path = "/alerts",
    tag = "alerts",
    operation_id = "listAlerts",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of items in the page; default 100"),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of an earlier answer"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of rules", body = Alerts),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(
    AlertReader(key): AlertReader,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<Alerts>, Error> {
    let PageRequest { after, limit, .. } = params.page::<String>(LIST);
    params.check()?;
    let page = app.directory.list_entities::<v1::Alert>(&key.project_id, after.as_deref(), limit).await;
    let mut page = page.map_err(directory_unavailable)?;
    omit_removed_channels(&app, &key.project_id, &mut page.items).await?;
    Ok(Json(ListResponse::from_page(page, LIST, |alert| versioned(&app, alert).entity)))
}

/// Returns a rule.
#[utoipa::path(
    get,
    path = "/alerts/{alertId}",
    tag = "alerts",
    operation_id = "getAlert",
    params(("alertId" = String, Path, description = "The rule's id")),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The rule; the ETag is its version", body = Alert),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
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

/// Replaces a rule. It is evaluated at once, and keeps its state only if the new definition leads to that
/// state. A disabled rule becomes ok.
#[utoipa::path(
    put,
    path = "/alerts/{alertId}",
    tag = "alerts",
    operation_id = "replaceAlert",
    params(
        ("alertId" = String, Path, description = "The rule's id"),
        ("If-Match" = String, Header, description = "ETag of the version that the change is based on"),
    ),
    request_body = NewAlert,
    security(("key" = ["manage"])),
    responses(
        (status = 200, description = "The rule after the change; the ETag is its version", body = Alert),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
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
    let alert = NewAlert::read(fields, &app, &key.project_id).await?.into_record(&key.project_id);
    let replace = |commands: Commands| async move { commands.replace_entity(&id, alert, &expected).await };
    let replaced = app.command(replace).await.map_err(|failed| failed.or(Error::AlertNotFound))?;
    Ok(versioned(&app, replaced))
}

/// Removes a rule. If it is firing, its channels are notified that it is resolved.
#[utoipa::path(
    delete,
    path = "/alerts/{alertId}",
    tag = "alerts",
    operation_id = "removeAlert",
    params(
        ("alertId" = String, Path, description = "The rule's id"),
        ("If-Match" = String, Header, description = "ETag of the version to remove"),
    ),
    security(("key" = ["manage"])),
    responses(
        (status = 204, description = "Removed"),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
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
    tracing::info!(project = key.project_id, alert = id, "removing alert rule");
    let remove = |commands: Commands| async move {
        commands.remove_entity::<v1::Alert>(&key.project_id, &id, &expected).await
    };
    app.command(remove).await.map_err(|failed| failed.or(Error::AlertNotFound))?;
    Ok(StatusCode::NO_CONTENT)
}
