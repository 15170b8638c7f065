//! Dashboards: what a project looks at.

pub mod widget;

use crate::app::App;
use crate::auth::{Manager, Reader};
use crate::body::Fields;
use crate::error::{Error, ErrorBody, Unavailable, unreadable};
use crate::params::{Params, cursor_text};
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

/// A dashboard to be made, or what one is to become. It describes the body; [`Fields`] reads it.
#[derive(ToSchema)]
#[allow(dead_code)]
pub struct NewDashboard {
    /// 1 to 100 characters, no control characters.
    #[schema(min_length = 1, example = "Shop")]
    name: String,
    /// Up to 100. Of a widget only `type` and `series` are required.
    #[schema(max_items = 100)]
    widgets: Vec<NewWidget>,
}

/// A dashboard.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dashboard {
    /// Its id.
    dashboard_id: String,
    /// Its name.
    name: String,
    /// Its widgets.
    widgets: Vec<Widget>,
    /// When it was made, Unix milliseconds.
    created_at: i64,
    /// When it was last changed, Unix milliseconds.
    updated_at: i64,
    /// Grows with each change.
    version: u64,
}

/// A page of dashboards, in the order in which they were made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dashboards {
    /// The dashboards.
    items: Vec<Dashboard>,
    /// Goes on where this page ends; `null` on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

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

/// The project's dashboard.
async fn find(app: &App, project_id: &str, id: &str) -> Result<v1::Dashboard, Error> {
    app.directory.owned(project_id, id).await.map_err(unreadable)?.ok_or(Error::NoDashboard)
}

fn read(project_id: &str, mut fields: Fields) -> Result<v1::Dashboard, Error> {
    let name = fields.name("name");
    let widgets = fields.take("widgets");
    let widgets = widget::read(widgets, &mut fields.faults);
    fields.faults.check()?;
    let name = name.ok_or(Error::Unavailable(Unavailable::Command))?;
    Ok(v1::Dashboard { project_id: project_id.to_owned(), name, widgets, ..v1::Dashboard::default() })
}

/// Makes a dashboard.
#[utoipa::path(
    post,
    path = "/dashboards",
    tag = "dashboards",
    operation_id = "createDashboard",
    request_body = NewDashboard,
    security(("key" = ["manage"])),
    responses(
        (status = 201, description = "The dashboard; its version is the ETag too", body = Dashboard),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn create(
    Manager(key): Manager,
    State(app): State<Arc<App>>,
    fields: Fields,
) -> Result<Response, Error> {
    let dashboard = read(&key.project_id, fields)?;
    let create = |commands: Commands| async move { commands.create_owned(dashboard).await };
    let made = app.command(create).await.map_err(|failed| failed.or(Error::NoDashboard))?;
    tracing::info!(project = key.project_id, dashboard = made.dashboard_id, "made a dashboard");
    Ok((StatusCode::CREATED, versioned(made)).into_response())
}

/// Lists the project's dashboards.
#[utoipa::path(
    get,
    path = "/dashboards",
    tag = "dashboards",
    operation_id = "listDashboards",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 100 if left out"),
        ("cursor" = Option<String>, Query, description = "An earlier answer's `nextCursor`"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of dashboards", body = Dashboards),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<Dashboards>, Error> {
    let limit = params.limit();
    let after: Option<String> = params.cursor("dashboards");
    params.check()?;
    let page = app.directory.all_owned::<v1::Dashboard>(&key.project_id, after.as_deref(), limit).await;
    let page = page.map_err(unreadable)?;
    let items = page.items.into_iter().map(Dashboard::from).collect();
    Ok(Json(Dashboards {
        items,
        next_cursor: page.next.as_ref().map(|next| cursor_text("dashboards", next)),
    }))
}

/// One dashboard.
#[utoipa::path(
    get,
    path = "/dashboards/{dashboardId}",
    tag = "dashboards",
    operation_id = "getDashboard",
    params(("dashboardId" = String, Path, description = "The dashboard's id")),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The dashboard; its version is the ETag too", body = Dashboard),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
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
        ("If-Match" = String, Header, description = "The ETag of the version that is to be changed"),
    ),
    request_body = NewDashboard,
    security(("key" = ["manage"])),
    responses(
        (status = 200, description = "The dashboard as it is now; its version is the ETag too", body = Dashboard),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
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
    let dashboard = read(&key.project_id, fields)?;
    let replace = |commands: Commands| async move { commands.replace_owned(&id, dashboard, &expected).await };
    app.command(replace).await.map(versioned).map_err(|failed| failed.or(Error::NoDashboard))
}

/// Removes a dashboard.
#[utoipa::path(
    delete,
    path = "/dashboards/{dashboardId}",
    tag = "dashboards",
    operation_id = "removeDashboard",
    params(
        ("dashboardId" = String, Path, description = "The dashboard's id"),
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
    Manager(key): Manager,
    Id(id): Id,
    State(app): State<Arc<App>>,
    if_match: IfMatch,
) -> Result<StatusCode, Error> {
    find(&app, &key.project_id, &id).await?;
    let expected = if_match.required()?;
    tracing::info!(project = key.project_id, dashboard = id, "removing a dashboard");
    let remove = |commands: Commands| async move {
        commands.remove_owned::<v1::Dashboard>(&key.project_id, &id, &expected).await
    };
    app.command(remove).await.map_err(|failed| failed.or(Error::NoDashboard))?;
    Ok(StatusCode::NO_CONTENT)
}
