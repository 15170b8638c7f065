//! Projects: the operator creates and removes them and sets their plans; a key with the scope `manage` may
//! rename its own project.

use crate::app::App;
use crate::auth::{ManagerOrOperator, Operator, ReaderOrOperator};
use crate::commands::UNKNOWN_PLAN;
use crate::error::{Error, ErrorBody, RequiredScope, Unavailable, directory_unavailable};
use crate::faults::FaultCode;
use crate::fields::Fields;
use crate::params::{PageRequest, Params};
use crate::response::{ListItem, ListResponse};
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

/// Name of the list in cursors.
const LIST: &str = "projects";

/// A project to create.
#[derive(ToSchema)]
pub struct NewProject {
    /// 1 to 100 characters, no control characters.
    #[schema(min_length = 1, example = "Shop")]
    name: String,
    /// The name of a plan.
    #[schema(example = "pro")]
    plan: String,
}

impl NewProject {
    /// Reads a project whose plan must exist.
    async fn read(mut fields: Fields, app: &App) -> Result<Self, Error> {
        let name = fields.name("name");
        let plan = fields.string("plan");
        check_plan(app, &mut fields, plan.as_deref()).await?;
        fields.finish(name.zip(plan).map(|(name, plan)| Self { name, plan }))
    }
}

/// A project that was just created.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedProject {
    /// The id.
    project_id: String,
    /// The name.
    name: String,
    /// The name of its plan.
    plan: String,
    /// A key with the scope `manage`. No later answer contains it.
    manage_key: String,
    /// Creation time, Unix milliseconds.
    created_at: i64,
    /// Time of the last change, Unix milliseconds.
    updated_at: i64,
    /// Version, which grows with each change.
    version: u64,
}

/// A change of a project; absent fields stay as they are.
#[derive(ToSchema)]
pub struct ChangedProject {
    /// 1 to 100 characters, no control characters.
    #[schema(min_length = 1, example = "Shop")]
    name: Option<String>,
    /// The name of a plan; requires the operator's token. The plan takes effect within a second.
    #[schema(example = "scale")]
    plan: Option<String>,
}

impl ChangedProject {
    /// Reads a change whose plan must exist.
    async fn read(mut fields: Fields, app: &App) -> Result<Self, Error> {
        fields.require_one_of(&["name", "plan"]);
        let name = if fields.has("name") { fields.name("name") } else { None };
        let plan = if fields.has("plan") { fields.string("plan") } else { None };
        check_plan(app, &mut fields, plan.as_deref()).await?;
        fields.finish(Some(Self { name, plan }))
    }
}

/// A project.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    /// The id.
    project_id: String,
    /// The name.
    name: String,
    /// The name of its plan.
    plan: String,
    /// Quota usage of the current hour.
    quota: Quota,
    /// Creation time, Unix milliseconds.
    created_at: i64,
    /// Time of the last change, Unix milliseconds.
    updated_at: i64,
    /// Version, which grows with each change.
    version: u64,
}

/// Quota usage of a clock hour.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Limit of requests per clock hour; `null` for no limit, in which case requests are not counted.
    #[schema(required)]
    limit: Option<u64>,
    /// Requests counted in this hour.
    used: u64,
    /// Start of the next hour, Unix milliseconds.
    reset_at: u64,
}

impl ListItem for Project {
    const LIST_NAME: &'static str = "Projects";
    const LIST_DESCRIPTION: &'static str = "A page of projects in the order of their creation.";
}

type Projects = ListResponse<Project>;

impl Quota {
    /// Combines a plan's hourly limit with the usage of the current hour.
    pub fn new(limit: Option<u64>, used: quota::Used) -> Self {
        Self { limit, used: used.requests, reset_at: used.reset * 1000 }
    }
}

/// Creates a project.
#[utoipa::path(
    post,
    path = "/projects",
    tag = "projects",
    operation_id = "createProject",
    request_body = NewProject,
    security(("operator" = [])),
    responses(
        (status = 201, description = "The project and its first key; the ETag is the project's version", body = CreatedProject),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn create(
    _: Operator,
    State(app): State<Arc<App>>,
    fields: Fields,
) -> Result<(StatusCode, Versioned<CreatedProject>), Error> {
    let NewProject { name, plan } = NewProject::read(fields, &app).await?;
    let plan_name = plan.clone();
    let create = |commands: Commands| async move { commands.create_project(&name, &plan_name).await };
    let (project, token) = app.command(create).await.map_err(|failed| failed.or(Error::ProjectNotFound))?;
    tracing::info!(project = project.project_id, "created project");
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

/// Lists projects: all of them for the operator's token, the key's own project for a key.
#[utoipa::path(
    get,
    path = "/projects",
    tag = "projects",
    operation_id = "listProjects",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of items in the page; default 100"),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of an earlier answer"),
    ),
    security(("key" = ["read"]), ("operator" = [])),
    responses(
        (status = 200, description = "A page of projects", body = Projects),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(
    caller: ReaderOrOperator,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<Projects>, Error> {
    let PageRequest { after, limit, .. } = params.page::<String>(LIST);
    params.check()?;
    let page = match caller {
        ReaderOrOperator::Operator => app.directory.projects(after.as_deref(), limit).await,
        ReaderOrOperator::Reader(key) => {
            let own = app.directory.project(&key.project_id).await;
            own.map(|own| Page { items: own.into_iter().collect(), next: None })
        }
    };
    let Page { items, next } = page.map_err(directory_unavailable)?;
    let page = Page { items: describe(&app, items).await?, next };
    Ok(Json(ListResponse::from_page(page, LIST, |project| project)))
}

/// Returns a project.
#[utoipa::path(
    get,
    path = "/projects/{projectId}",
    tag = "projects",
    operation_id = "getProject",
    params(("projectId" = String, Path, description = "The project's id")),
    security(("key" = ["read"]), ("operator" = [])),
    responses(
        (status = 200, description = "The project; the ETag is its version", body = Project),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
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
        return Err(Error::ProjectNotFound);
    }
    let view =
        app.directory.project(&id).await.map_err(directory_unavailable)?.ok_or(Error::ProjectNotFound)?;
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
        ("If-Match" = Option<String>, Header, nullable = false, description = "ETag of the version that the change is based on"),
    ),
    request_body = ChangedProject,
    security(("key" = ["manage"]), ("operator" = [])),
    responses(
        (status = 200, description = "The project after the change; the ETag is its version", body = Project),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn change(
    caller: ManagerOrOperator,
    Id(id): Id,
    State(app): State<Arc<App>>,
    if_match: IfMatch,
    fields: Fields,
) -> Result<Versioned<Project>, Error> {
    if let ManagerOrOperator::Manager(key) = caller {
        if fields.has("plan") {
            return Err(Error::InsufficientScope(RequiredScope::Operator));
        }
        if key.project_id != id {
            return Err(Error::ProjectNotFound);
        }
    }
    let ChangedProject { name, plan } = ChangedProject::read(fields, &app).await?;
    let expected = if_match.or_any();
    let change = |commands: Commands| async move {
        commands.change_project(&id, ProjectChange { name, plan }, &expected).await
    };
    let view = app.command(change).await.map_err(|failed| failed.or(Error::ProjectNotFound))?;
    tracing::info!(project = view.project.project_id, plan = view.plan, "changed project");
    versioned(&app, view).await
}

/// Removes a project. Every gateway refuses its keys within a second. All of its metrics are deleted, and no
/// rebuild brings them back.
#[utoipa::path(
    delete,
    path = "/projects/{projectId}",
    tag = "projects",
    operation_id = "removeProject",
    params(("projectId" = String, Path, description = "The project's id")),
    security(("operator" = [])),
    responses(
        (status = 204, description = "Removed"),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn remove(_: Operator, Id(id): Id, State(app): State<Arc<App>>) -> Result<StatusCode, Error> {
    tracing::info!(project = id, "removing project");
    let remove = |commands: Commands| async move { commands.remove_project(&id).await };
    app.command(remove).await.map_err(|failed| failed.or(Error::ProjectNotFound))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Checks that the plan exists, so that an unknown plan is reported together with the other faults.
async fn check_plan(app: &App, fields: &mut Fields, plan: Option<&str>) -> Result<(), Error> {
    let Some(plan) = plan else { return Ok(()) };
    match app.directory.plan(plan).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => {
            fields.fault("plan", FaultCode::UnknownPlan, UNKNOWN_PLAN);
            Ok(())
        }
        // Faults that are already known are more useful to the client than a failed lookup.
        Err(_) if fields.is_faulty() => Ok(()),
        Err(error) => {
            tracing::warn!(%error, "plan lookup failed: Redis unavailable");
            Err(Error::Unavailable(Unavailable::Plans))
        }
    }
}

async fn versioned(app: &App, view: ProjectView) -> Result<Versioned<Project>, Error> {
    let version = view.project.version;
    let entity = describe(app, vec![view]).await?.pop().ok_or(Error::ProjectNotFound)?;
    Ok(Versioned { version, entity })
}

/// Returns the projects as clients see them, with their quota usage.
async fn describe(app: &App, views: Vec<ProjectView>) -> Result<Vec<Project>, Error> {
    let used = try_join_all(views.iter().map(|view| app.quota_usage.used(&view.project.project_id)));
    let used = used.await.map_err(|error| directory_unavailable(error.into()))?;
    let limits = app.directory.limits(&views).await.map_err(directory_unavailable)?;
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
