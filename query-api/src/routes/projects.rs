//! Projects: the operator makes them.

use crate::app::{App, CommandFailed};
use crate::auth::Operator;
use crate::body::Fields;
use crate::error::{Error, ErrorBody, Unavailable};
use crate::fault::{Code, Faults};
use axum::Json;
use axum::extract::State;
use hyper::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A project to be made. It describes the body; [`Fields`] reads it, so that all faults are told at once.
#[derive(ToSchema)]
#[allow(dead_code)]
pub struct NewProject {
    /// 1 to 100 characters, no control characters.
    #[schema(min_length = 1, example = "Shop")]
    name: String,
    /// The name of a plan.
    #[schema(example = "pro")]
    plan: String,
}

/// A project that was just made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedProject {
    /// Its id.
    project_id: String,
    /// Its name.
    name: String,
    /// Its plan.
    plan: String,
    /// A key that may manage it. It is shown this once.
    manage_key: String,
}

/// Makes a project.
#[utoipa::path(
    post,
    path = "/projects",
    tag = "projects",
    operation_id = "createProject",
    request_body = NewProject,
    security(("operator" = [])),
    responses(
        (status = 201, description = "The project, and its first key", body = CreatedProject),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn create(
    _: Operator,
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<(StatusCode, Json<CreatedProject>), Error> {
    let name = fields.name("name");
    let plan = fields.string("plan");
    if let Some(plan) = &plan {
        match app.commands.plan(plan).await {
            Ok(Some(_)) => {}
            Ok(None) => unknown_plan(&mut fields.faults),
            // Another fault is told rather than that this one cannot be looked for.
            Err(_) if !fields.faults.is_empty() => {}
            Err(error) => {
                tracing::warn!(%error, "the plan cannot be looked up");
                return Err(Error::Unavailable(Unavailable::Plans));
            }
        }
    }
    fields.faults.check()?;
    let (Some(name), Some(plan)) = (name, plan) else { return Err(Error::Unavailable(Unavailable::Command)) };

    let wanted = (name.clone(), plan.clone());
    let create = |commands: accounts::commands::Commands| async move {
        commands.create_project(&wanted.0, &wanted.1).await
    };
    let (project, token) = app.command(create).await.map_err(|failed| match failed {
        CommandFailed::Unavailable => Error::Unavailable(Unavailable::Command),
        CommandFailed::UnknownPlan => {
            unknown_plan(&mut fields.faults);
            fields.faults.check().err().unwrap_or(Error::Unavailable(Unavailable::Command))
        }
    })?;
    tracing::info!(project = project.project_id, "made a project");
    let created = CreatedProject {
        project_id: project.project_id,
        name: project.name,
        plan,
        manage_key: token.reveal(),
    };
    Ok((StatusCode::CREATED, Json(created)))
}

fn unknown_plan(faults: &mut Faults) {
    faults.add(
        "plan",
        Code::UnknownPlan,
        "must be the name of a plan, such as free, pro, scale or unlimited",
    );
}
