//! Projects: the operator makes them, sets their plans and removes them; whoever manages one may name it.

use crate::app::App;
use crate::auth::{ManagerOrOperator, Operator, ReaderOrOperator};
use crate::body::Fields;
use crate::commands::UNKNOWN_PLAN;
use crate::error::{Error, ErrorBody, Needs, Unavailable, unreadable};
use crate::fault::Code;
use crate::params::{Params, cursor_text};
use crate::routes::Id;
use crate::versions::{IfMatch, Versioned};
use axum::Json;
use axum::extract::State;
use control::commands::{Commands, ProjectChange};
use control::directory::{Page, ProjectView};
use futures::future::try_join_all;
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
    /// When it was made, Unix milliseconds.
    created_at: i64,
    /// When it was last changed, Unix milliseconds.
    updated_at: i64,
    /// Grows with each change.
    version: u64,
}

/// A change of a project; what is not given stays. It describes the body; [`Fields`] reads it.
#[derive(ToSchema)]
#[allow(dead_code)]
pub struct ChangedProject {
    /// 1 to 100 characters, no control characters.
    #[schema(min_length = 1, example = "Shop")]
    name: Option<String>,
    /// The name of a plan; the operator's to set. It acts within a second.
    #[schema(example = "scale")]
    plan: Option<String>,
}

/// A project.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    /// Its id.
    project_id: String,
    /// Its name.
    name: String,
    /// Its plan.
    plan: String,
    /// What it has used of the running hour.
    quota: Quota,
    /// When it was made, Unix milliseconds.
    created_at: i64,
    /// When it was last changed, Unix milliseconds.
    updated_at: i64,
    /// Grows with each change.
    version: u64,
}

/// A clock hour's requests.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Requests per clock hour; `null`: no limit, and nothing is counted.
    #[schema(required)]
    limit: Option<u64>,
    /// Requests that are counted in this hour.
    used: u64,
    /// When the next hour begins, Unix milliseconds.
    reset_at: u64,
}

/// A page of projects, in the order in which they were made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Projects {
    /// The projects.
    items: Vec<Project>,
    /// Goes on where this page ends; `null` on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl Quota {
    /// Combines a plan's hourly limit with what of it is used.
    pub fn new(limit: Option<u64>, used: quota::Used) -> Self {
        Self { limit, used: used.requests, reset_at: used.reset * 1000 }
    }
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
        (status = 201, description = "The project, and its first key; its version is the ETag too", body = CreatedProject),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn create(
    _: Operator,
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<(StatusCode, Versioned<CreatedProject>), Error> {
    let name = fields.name("name");
    let plan = fields.string("plan");
    check_plan(&app, &mut fields, plan.as_deref()).await?;
    fields.faults.check()?;
    let (Some(name), Some(plan)) = (name, plan) else { return Err(Error::Unavailable(Unavailable::Command)) };

    let wanted = (name.clone(), plan.clone());
    let create = |commands: Commands| async move { commands.create_project(&wanted.0, &wanted.1).await };
    let (project, token) = app.command(create).await.map_err(|failed| failed.or(Error::NoProject))?;
    tracing::info!(project = project.project_id, "made a project");
    let created = CreatedProject {
        project_id: project.project_id,
        name: project.name,
        plan,
        manage_key: token.reveal(),
        created_at: project.created_at_ms,
        updated_at: project.updated_at_ms,
        version: project.version,
    };
    Ok((StatusCode::CREATED, Versioned { version: project.version, entity: created }))
}

/// Lists projects: the operator's token sees all of them, a key its own.
#[utoipa::path(
    get,
    path = "/projects",
    tag = "projects",
    operation_id = "listProjects",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 100 if left out"),
        ("cursor" = Option<String>, Query, description = "An earlier answer's `nextCursor`"),
    ),
    security(("key" = ["read"]), ("operator" = [])),
    responses(
        (status = 200, description = "A page of projects", body = Projects),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(
    caller: ReaderOrOperator,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<Projects>, Error> {
    let limit = params.limit();
    let after: Option<String> = params.cursor("projects");
    params.check()?;
    let page = match caller {
        ReaderOrOperator::Operator => app.directory.projects(after.as_deref(), limit).await,
        ReaderOrOperator::Reader(key) => {
            let own = app.directory.project(&key.project_id).await;
            own.map(|own| Page { items: own.into_iter().collect(), next: None })
        }
    };
    let page = page.map_err(unreadable)?;
    let items = described(&app, page.items).await?;
    Ok(Json(Projects { items, next_cursor: page.next.as_ref().map(|next| cursor_text("projects", next)) }))
}

/// One project.
#[utoipa::path(
    get,
    path = "/projects/{projectId}",
    tag = "projects",
    operation_id = "getProject",
    params(("projectId" = String, Path, description = "The project's id")),
    security(("key" = ["read"]), ("operator" = [])),
    responses(
        (status = 200, description = "The project; its version is the ETag too", body = Project),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn get(
    caller: ReaderOrOperator,
    Id(id): Id,
    State(app): State<Arc<App>>,
) -> Result<Versioned<Project>, Error> {
    if let ReaderOrOperator::Reader(key) = caller
        && key.project_id != id
    {
        return Err(Error::NoProject);
    }
    let view = app.directory.project(&id).await.map_err(unreadable)?.ok_or(Error::NoProject)?;
    versioned(&app, view).await
}

/// Changes a project.
#[utoipa::path(
    patch,
    path = "/projects/{projectId}",
    tag = "projects",
    operation_id = "changeProject",
    params(
        ("projectId" = String, Path, description = "The project's id"),
        ("If-Match" = Option<String>, Header, nullable = false, description = "The ETag of the version that is to be changed"),
    ),
    request_body = ChangedProject,
    security(("key" = ["manage"]), ("operator" = [])),
    responses(
        (status = 200, description = "The project as it is now; its version is the ETag too", body = Project),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn change(
    caller: ManagerOrOperator,
    Id(id): Id,
    State(app): State<Arc<App>>,
    if_match: IfMatch,
    mut fields: Fields,
) -> Result<Versioned<Project>, Error> {
    if let ManagerOrOperator::Manager(key) = caller {
        if fields.has("plan") {
            return Err(Error::InsufficientScope(Needs::Operator));
        }
        if key.project_id != id {
            return Err(Error::NoProject);
        }
    }
    fields.one_of(&["name", "plan"]);
    let name = if fields.has("name") { fields.name("name") } else { None };
    let plan = if fields.has("plan") { fields.string("plan") } else { None };
    check_plan(&app, &mut fields, plan.as_deref()).await?;
    fields.faults.check()?;

    let expected = if_match.or_any();
    let change = |commands: Commands| async move {
        commands.change_project(&id, ProjectChange { name, plan }, &expected).await
    };
    let view = app.command(change).await.map_err(|failed| failed.or(Error::NoProject))?;
    tracing::info!(project = view.project.project_id, plan = view.plan, "changed a project");
    versioned(&app, view).await
}

/// Removes a project. Every gateway refuses its keys within a second; all that it sent is deleted, and does not come back
/// whatever is rebuilt.
#[utoipa::path(
    delete,
    path = "/projects/{projectId}",
    tag = "projects",
    operation_id = "removeProject",
    params(("projectId" = String, Path, description = "The project's id")),
    security(("operator" = [])),
    responses(
        (status = 204, description = "It is removed"),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn remove(_: Operator, Id(id): Id, State(app): State<Arc<App>>) -> Result<StatusCode, Error> {
    tracing::info!(project = id, "removing a project");
    let remove = |commands: Commands| async move { commands.remove_project(&id).await };
    app.command(remove).await.map_err(|failed| failed.or(Error::NoProject))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Looks whether the plan is one, so that it is told together with all else that is wrong.
async fn check_plan(app: &App, fields: &mut Fields, plan: Option<&str>) -> Result<(), Error> {
    let Some(plan) = plan else { return Ok(()) };
    match app.directory.plan(plan).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => {
            fields.faults.add("plan", Code::UnknownPlan, UNKNOWN_PLAN);
            Ok(())
        }
        // Another fault is told rather than that this one cannot be looked for.
        Err(_) if !fields.faults.is_empty() => Ok(()),
        Err(error) => {
            tracing::warn!(%error, "the plan cannot be looked up");
            Err(Error::Unavailable(Unavailable::Plans))
        }
    }
}

async fn versioned(app: &App, view: ProjectView) -> Result<Versioned<Project>, Error> {
    let version = view.project.version;
    let entity = described(app, vec![view]).await?.pop().ok_or(Error::NoProject)?;
    Ok(Versioned { version, entity })
}

/// The projects as clients see them, with what they have used.
async fn described(app: &App, views: Vec<ProjectView>) -> Result<Vec<Project>, Error> {
    let used = try_join_all(views.iter().map(|view| app.quota_usage.used(&view.project.project_id)));
    let used = used.await.map_err(|error| unreadable(error.into()))?;
    let limits = app.directory.limits(&views).await.map_err(unreadable)?;
    let project = |((view, limit), used): ((ProjectView, Option<u64>), quota::Used)| Project {
        project_id: view.project.project_id,
        name: view.project.name,
        plan: view.plan,
        quota: Quota::new(limit, used),
        created_at: view.project.created_at_ms,
        updated_at: view.project.updated_at_ms,
        version: view.project.version,
    };
    Ok(views.into_iter().zip(limits).zip(used).map(project).collect())
}
