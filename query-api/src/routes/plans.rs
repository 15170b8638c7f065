//! Plans: the limits and features of projects. Plans are data that the operator sets.

use crate::app::App;
use crate::auth::{Anyone, Operator};
use crate::error::{Error, ErrorBody, directory_unavailable};
use crate::faults::FaultCode;
use crate::fields::{Fields, FromFields};
use crate::params::Params;
use crate::response::{ListItem, ListResponse};
use crate::routes::Id;
use crate::versions::Versioned;
use axum::Json;
use axum::extract::State;
use control::commands::Commands;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// The limits and features of a plan.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewPlan {
    /// Requests per clock hour; `null` for no limit. The field is required.
    #[schema(required, minimum = 1, maximum = 1000000000, example = 1000)]
    requests_per_hour: Option<u64>,
    /// True if the plan includes alerts.
    alerts: bool,
}

impl FromFields for NewPlan {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let requests_per_hour = fields.integer_or_null("requestsPerHour", 1..=1_000_000_000);
        let alerts = fields.boolean("alerts");
        Some(Self { requests_per_hour: requests_per_hour?, alerts: alerts? })
    }
}

/// A plan.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The name.
    name: String,
    /// Requests per clock hour; `null` for no limit.
    #[schema(required)]
    requests_per_hour: Option<u64>,
    /// True if the plan includes alerts.
    alerts: bool,
    /// Creation time, Unix milliseconds.
    created_at: i64,
    /// Time of the last change, Unix milliseconds.
    updated_at: i64,
    /// Version, which grows with each change.
    version: u64,
}

impl ListItem for Plan {
    const LIST_NAME: &'static str = "Plans";
    const LIST_DESCRIPTION: &'static str = "A page of plans in the order of their names.";
}

type Plans = ListResponse<Plan>;

impl From<proto::v1::Plan> for Plan {
    fn from(plan: proto::v1::Plan) -> Self {
        Self {
            name: plan.name,
            requests_per_hour: plan.requests_per_hour,
            alerts: plan.alerts,
            created_at: plan.created_at_ms,
            updated_at: plan.updated_at_ms,
            version: plan.version,
        }
    }
}

/// Lists the plans by name.
#[utoipa::path(
    get,
    path = "/plans",
    tag = "plans",
    operation_id = "listPlans",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of items in the page; default 100"),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of an earlier answer"),
    ),
    security(("key" = []), ("operator" = [])),
    responses(
        (status = 200, description = "A page of plans", body = Plans),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(_: Anyone, State(app): State<Arc<App>>, mut params: Params) -> Result<Json<Plans>, Error> {
    let page = params.page::<String>("plans");
    params.check()?;
    let plans = app.directory.plans().await.map_err(directory_unavailable)?;
    let after = page.after.as_deref().unwrap_or_default();
    let plans = plans.into_iter().filter(|plan| plan.name.as_str() > after).take(page.limit + 1).collect();
    Ok(Json(ListResponse::from_rows(plans, &page, |plan| plan.name.clone(), Plan::from)))
}

/// Creates a plan or changes one. A change applies to all projects of the plan within a second.
#[utoipa::path(
    put,
    path = "/plans/{name}",
    tag = "plans",
    operation_id = "putPlan",
    params(("name" = String, Path, description = "The plan's name: 1 to 32 of `a-z 0-9 _ -`")),
    request_body = NewPlan,
    security(("operator" = [])),
    responses(
        (status = 200, description = "The plan after the change; the ETag is its version", body = Plan),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn put(
    _: Operator,
    Id(name): Id,
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<Versioned<Plan>, Error> {
    let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if !(1..=32).contains(&name.len()) || !name.bytes().all(allowed) {
        fields.fault("name", FaultCode::BadName, "must be 1 to 32 of a-z, 0-9, _ and -");
    }
    let NewPlan { requests_per_hour, alerts } = fields.validate()?;
    let plan = proto::v1::Plan { name, requests_per_hour, alerts, ..proto::v1::Plan::default() };
    tracing::info!(plan = plan.name, requests_per_hour, alerts, "setting a plan");
    let put = |commands: Commands| async move { commands.put_plan(plan).await };
    let plan = app.command(put).await.map_err(|failed| failed.or(Error::RouteNotFound))?;
    Ok(Versioned { version: plan.version, entity: plan.into() })
}
