//! Dashboards of a project.

pub mod widget;

use crate::app::App;
use crate::auth::{Manager, Reader};
use crate::body::Validated;
use crate::error::{Error, ErrorBody, directory_unavailable};
use crate::fields::{Fields, FromFields};
use crate::params::{PageRequest, Params};
use crate::response::{ListItem, ListResponse};
use crate::routes::Id;
use crate::versions::{IfMatch, Versioned};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control::commands::Commands;
use hyper::StatusCode;
use proto::v1;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use widget::{NewWidget, Widget};

/// Name of the list in cursors.
const LIST: &str = "dashboards";

/// A dashboard to create, or the replacement of one.
#[derive(ToSchema)]
pub struct NewDashboard {
    /// 1 to 100 characters, no control characters.
    #[schema(min_length = 1, example = "Shop")]
    name: String,
    /// Up to 100 widgets. The only required fields of a widget are `type` and `series`.
    #[schema(max_items = 100)]
    widgets: Vec<NewWidget>,
}

impl FromFields for NewDashboard {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.name("name");
        let widgets = NewWidget::read_list(fields, "widgets");
        Some(Self { name: name?, widgets: widgets? })
    }
}

impl NewDashboard {
    fn into_record(self, project_id: &str) -> v1::Dashboard {
        v1::Dashboard {
            project_id: project_id.to_owned(),
            name: self.name,
            widgets: self.widgets.into_iter().map(NewWidget::into_record).collect(),
            ..v1::Dashboard::default()
        }
    }
}

/// A dashboard.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dashboard {
    /// The id.
    dashboard_id: String,
    /// The name.
    name: String,
    /// The widgets.
    widgets: Vec<Widget>,
    /// Creation time, Unix milliseconds.
    created_at: i64,
    /// Time of the last change, Unix milliseconds.
    updated_at: i64,
    /// Version, which grows with each change.
    version: u64,
}

impl ListItem for Dashboard {
    const LIST_NAME: &'static str = "Dashboards";
    const LIST_DESCRIPTION: &'static str = "A page of dashboards in the order of their creation.";
}

type Dashboards = ListResponse<Dashboard>;

impl From<v1::Dashboard> for Dashboard {
    fn from(dashboard: v1::Dashboard) -> Self {
        Self {
            dashboard_id: dashboard.dashboard_id,
            name: dashboard.name,
            widgets: dashboard.widgets.into_iter().map(Widget::from).collect(),
            created_at: dashboard.created_at_ms,
            updated_at: dashboard.updated_at_ms,
            version: dashboard.version,
        }
    }
}

fn versioned(dashboard: v1::Dashboard) -> Versioned<Dashboard> {
    Versioned { version: dashboard.version, entity: dashboard.into() }
}

async fn find(app: &App, project_id: &str, id: &str) -> Result<v1::Dashboard, Error> {
    app.directory.entity(project_id, id).await.map_err(directory_unavailable)?.ok_or(Error::DashboardNotFound)
}

/// Creates a dashboard.
#[utoipa::path(
    post,
    path = "/dashboards",
    tag = "dashboards",
    operation_id = "createDashboard",
    request_body = NewDashboard,
    security(("key" = ["manage"])),
    responses(
        (status = 201, description = "The dashboard; the ETag is its version", body = Dashboard),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn create(
    Manager(key): Manager,
    State(app): State<Arc<App>>,
    Validated(dashboard): Validated<NewDashboard>,
) -> Result<Response, Error> {
    let dashboard = dashboard.into_record(&key.project_id);
    let create = |commands: Commands| async move { commands.create_entity(dashboard).await };
    let created = app.command(create).await.map_err(|failed| failed.or(Error::DashboardNotFound))?;
    tracing::info!(project = key.project_id, dashboard = created.dashboard_id, "created dashboard");
    Ok((StatusCode::CREATED, versioned(created)).into_response())
}

/// Lists the project's dashboards.
#[utoipa::path(
    get,
    path = "/dashboards",
    tag = "dashboards",
    operation_id = "listDashboards",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of items in the page; default 100"),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of an earlier answer"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of dashboards", body = Dashboards),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<Dashboards>, Error> {
    let PageRequest { after, limit, .. } = params.page::<String>(LIST);
    params.check()?;
    let page = app.directory.list_entities::<v1::Dashboard>(&key.project_id, after.as_deref(), limit).await;
    let page = page.map_err(directory_unavailable)?;
    Ok(Json(ListResponse::from_page(page, LIST, Dashboard::from)))
}

/// Returns a dashboard.
#[utoipa::path(
    get,
    path = "/dashboards/{dashboardId}",
    tag = "dashboards",
    operation_id = "getDashboard",
    params(("dashboardId" = String, Path, description = "The dashboard's id")),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The dashboard; the ETag is its version", body = Dashboard),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn get(
    Reader(key): Reader,
    Id(id): Id,
    State(app): State<Arc<App>>,
) -> Result<Versioned<Dashboard>, Error> {
    find(&app, &key.project_id, &id).await.map(versioned)
}

/// Replaces a dashboard as a whole.
#[utoipa::path(
    put,
    path = "/dashboards/{dashboardId}",
    tag = "dashboards",
    operation_id = "replaceDashboard",
    params(
        ("dashboardId" = String, Path, description = "The dashboard's id"),
        ("If-Match" = String, Header, description = "ETag of the version that the change is based on"),
    ),
    request_body = NewDashboard,
    security(("key" = ["manage"])),
    responses(
        (status = 200, description = "The dashboard after the change; the ETag is its version", body = Dashboard),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn replace(
    Manager(key): Manager,
    Id(id): Id,
    State(app): State<Arc<App>>,
    if_match: IfMatch,
    fields: Fields,
) -> Result<Versioned<Dashboard>, Error> {
    find(&app, &key.project_id, &id).await?;
    let expected = if_match.required()?;
    let dashboard = fields.validate::<NewDashboard>()?.into_record(&key.project_id);
    let replace =
        |commands: Commands| async move { commands.replace_entity(&id, dashboard, &expected).await };
    app.command(replace).await.map(versioned).map_err(|failed| failed.or(Error::DashboardNotFound))
}

/// Removes a dashboard.
#[utoipa::path(
    delete,
    path = "/dashboards/{dashboardId}",
    tag = "dashboards",
    operation_id = "removeDashboard",
    params(
        ("dashboardId" = String, Path, description = "The dashboard's id"),
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
    Manager(key): Manager,
    Id(id): Id,
    State(app): State<Arc<App>>,
    if_match: IfMatch,
) -> Result<StatusCode, Error> {
    find(&app, &key.project_id, &id).await?;
    let expected = if_match.required()?;
    tracing::info!(project = key.project_id, dashboard = id, "removing dashboard");
    let remove = |commands: Commands| async move {
        commands.remove_entity::<v1::Dashboard>(&key.project_id, &id, &expected).await
    };
    app.command(remove).await.map_err(|failed| failed.or(Error::DashboardNotFound))?;
    Ok(StatusCode::NO_CONTENT)
}
