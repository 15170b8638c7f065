//! Plans: what projects may do. They are data, which the operator sets.

use crate::app::App;
use crate::auth::{Anyone, Operator};
use crate::body::Fields;
use crate::error::{Error, ErrorBody, Unavailable, unreadable};
use crate::fault::Code;
use crate::params::{Params, cursor_text};
use crate::routes::Id;
use crate::versions::Versioned;
use axum::Json;
use axum::extract::State;
use control::commands::Commands;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// What a plan allows. It describes the body; [`Fields`] reads it, so that all faults are told at once.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
pub struct NewPlan {
    /// Requests per clock hour; `null`: no limit. It must be given.
    #[schema(required, minimum = 1, maximum = 1000000000, example = 1000)]
    requests_per_hour: Option<u64>,
    /// Whether alerts are allowed.
    alerts: bool,
}

/// A plan.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Its name.
    name: String,
    /// Requests per clock hour; `null`: no limit.
    #[schema(required)]
    requests_per_hour: Option<u64>,
    /// Whether alerts are allowed.
    alerts: bool,
    /// When it was made, Unix milliseconds.
    created_at: i64,
    /// When it was last changed, Unix milliseconds.
    updated_at: i64,
    /// Grows with each change.
    version: u64,
}

/// A page of plans, by name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plans {
    /// The plans.
    items: Vec<Plan>,
    /// Goes on where this page ends; `null` on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

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
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 100 if left out"),
        ("cursor" = Option<String>, Query, description = "An earlier answer's `nextCursor`"),
    ),
    security(("key" = []), ("operator" = [])),
    responses(
        (status = 200, description = "A page of plans", body = Plans),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(_: Anyone, State(app): State<Arc<App>>, mut params: Params) -> Result<Json<Plans>, Error> {
    let limit = params.limit();
    let after: String = params.cursor("plans").unwrap_or_default();
    params.check()?;
    let plans = app.directory.plans().await.map_err(unreadable)?;
    let mut items: Vec<Plan> =
        plans.into_iter().filter(|plan| plan.name > after).take(limit + 1).map(Plan::from).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| more).map(|last| cursor_text("plans", &last.name));
    Ok(Json(Plans { items, next_cursor }))
}

/// Makes a plan, or changes one: that acts on all projects that are on it within a second.
#[utoipa::path(
    put,
    path = "/plans/{name}",
    tag = "plans",
    operation_id = "putPlan",
    params(("name" = String, Path, description = "The plan's name: 1 to 32 of `a-z 0-9 _ -`")),
    request_body = NewPlan,
    security(("operator" = [])),
    responses(
        (status = 200, description = "The plan as it is now; its version is the ETag too", body = Plan),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn put(
    _: Operator,
    Id(name): Id,
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<Versioned<Plan>, Error> {
    let letters = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if !(1..=32).contains(&name.len()) || !name.bytes().all(letters) {
        fields.faults.add("name", Code::BadName, "must be 1 to 32 of a-z, 0-9, _ and -");
    }
    let requests_per_hour = fields.integer_or_null("requestsPerHour", 1..=1_000_000_000);
    let alerts = fields.boolean("alerts");
    fields.faults.check()?;
    let (Some(requests_per_hour), Some(alerts)) = (requests_per_hour, alerts) else {
        return Err(Error::Unavailable(Unavailable::Command));
    };
    let plan = proto::v1::Plan { name, requests_per_hour, alerts, ..proto::v1::Plan::default() };
    tracing::info!(plan = plan.name, requests_per_hour, alerts, "setting a plan");
    let put = |commands: Commands| async move { commands.put_plan(plan).await };
    let plan = app.command(put).await.map_err(|failed| failed.or(Error::NoRoute))?;
    Ok(Versioned { version: plan.version, entity: plan.into() })
}
