//! Connections: the senders of metrics, each with a key of its own.

use crate::app::App;
use crate::auth::{Manager, Reader};
use crate::body::{Validated, ValidatedOrEmpty};
use crate::error::{Error, ErrorBody, directory_unavailable};
use crate::fields::{Fields, FromFields};
use crate::params::{PageRequest, Params};
use crate::response::{ListItem, ListResponse};
use crate::routes::Id;
use crate::versions::{IfMatch, Versioned};
use axum::Json;
use axum::extract::State;
use control::commands::Commands;
use control::directory::ConnectionView;
use hyper::StatusCode;
use serde::Serialize;
use service::wire_enum;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// Name of the list in cursors.
const LIST: &str = "connections";

/// A connection to create, or the new name of one.
#[derive(ToSchema)]
pub struct NewConnection {
    /// 1 to 100 characters, no control characters.
    #[schema(min_length = 1, example = "Cron Job Metrics")]
    name: String,
}

impl FromFields for NewConnection {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { name: fields.name("name")? })
    }
}

/// A connection that was just created.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedConnection {
    /// The id.
    connection_id: String,
    /// The name.
    name: String,
    /// URL to which metrics are sent.
    webhook_url: String,
    /// The key that sends metrics. No later answer contains it.
    api_key: String,
    /// The project that the metrics belong to.
    project_id: String,
    /// Creation time, Unix milliseconds.
    created_at: i64,
    /// Time of the last change, Unix milliseconds.
    updated_at: i64,
    /// Version, which grows with each change.
    version: u64,
}

wire_enum! {
    /// State of a connection.
    pub enum ConnectionState {
        /// The current key is valid.
        Active = "active",
        /// The current key was revoked; rotation creates a new one.
        Revoked = "revoked",
    }
}

/// A connection.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// The id.
    connection_id: String,
    /// The name.
    name: String,
    /// State of the connection.
    state: ConnectionState,
    /// URL to which metrics are sent.
    webhook_url: String,
    /// The last characters of the current key.
    key_hint: String,
    /// Creation time, Unix milliseconds.
    created_at: i64,
    /// Time of the last change of the connection or its key, Unix milliseconds.
    updated_at: i64,
    /// Version, which grows with each change.
    version: u64,
    /// Time of the last request with a key of the connection, Unix milliseconds; `null` if unknown.
    #[schema(required)]
    last_used_at: Option<i64>,
}

impl ListItem for Connection {
    const LIST_NAME: &'static str = "Connections";
    const LIST_DESCRIPTION: &'static str = "A page of connections in the order of their creation.";
}

type Connections = ListResponse<Connection>;

/// The rotation of a connection's key.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Rotation {
    /// Number of seconds for which the replaced key stays valid; default 0.
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 86400, example = 3600)]
    grace_seconds: u64,
}

impl FromFields for Rotation {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { grace_seconds: fields.integer_or("graceSeconds", 0..=86_400, 0)? })
    }
}

/// A key that was just created.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotatedKey {
    /// The connection's id.
    connection_id: String,
    /// The new key. No later answer contains it.
    api_key: String,
    /// Time from which the replaced key is refused, Unix milliseconds.
    previous_key_ends_at: i64,
}

/// Creates a connection with a key of the scope `ingest`.
#[utoipa::path(
    post,
    path = "/connections",
    tag = "connections",
    operation_id = "createConnection",
    request_body = NewConnection,
    security(("key" = ["manage"])),
    responses(
        (status = 201, description = "The connection, and its key; the ETag is its version", body = CreatedConnection),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn create(
    Manager(key): Manager,
    State(app): State<Arc<App>>,
    Validated(NewConnection { name }): Validated<NewConnection>,
) -> Result<(StatusCode, Versioned<CreatedConnection>), Error> {
    let project_id = key.project_id.clone();
    let create = |commands: Commands| async move { commands.create_connection(&project_id, &name).await };
    let (connection, token) =
        app.command(create).await.map_err(|failed| failed.or(Error::ConnectionNotFound))?;
    tracing::info!(
        project = connection.project_id,
        connection = connection.connection_id,
        "created connection"
    );
    let created = CreatedConnection {
        connection_id: connection.connection_id,
        name: connection.name,
        webhook_url: app.webhook_url.clone(),
        api_key: token.reveal(),
        project_id: connection.project_id,
        created_at: connection.created_at_ms,
        updated_at: connection.updated_at_ms,
        version: connection.version,
    };
    Ok((StatusCode::CREATED, Versioned { version: connection.version, entity: created }))
}

/// Lists the project's connections.
#[utoipa::path(
    get,
    path = "/connections",
    tag = "connections",
    operation_id = "listConnections",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of items in the page; default 100"),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of an earlier answer"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of connections", body = Connections),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<Connections>, Error> {
    let PageRequest { after, limit, .. } = params.page::<String>(LIST);
    params.check()?;
    let page = app.directory.connections(&key.project_id, after.as_deref(), limit).await;
    let page = page.map_err(directory_unavailable)?;
    let last_used = last_used(&app, &key.project_id).await;
    Ok(Json(ListResponse::from_page(page, LIST, |view| describe(&app, view, &last_used))))
}

/// Returns a connection.
#[utoipa::path(
    get,
    path = "/connections/{connectionId}",
    tag = "connections",
    operation_id = "getConnection",
    params(("connectionId" = String, Path, description = "The connection's id")),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The connection; the ETag is its version", body = Connection),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn get(
    Reader(key): Reader,
    Id(id): Id,
    State(app): State<Arc<App>>,
) -> Result<Versioned<Connection>, Error> {
    find(&app, &key.project_id, &id).await
}

/// Renames a connection.
#[utoipa::path(
    patch,
    path = "/connections/{connectionId}",
    tag = "connections",
    operation_id = "renameConnection",
    params(
        ("connectionId" = String, Path, description = "The connection's id"),
        ("If-Match" = Option<String>, Header, nullable = false, description = "ETag of the version that the change is based on"),
    ),
    request_body = NewConnection,
    security(("key" = ["manage"])),
    responses(
        (status = 200, description = "The connection after the change; the ETag is its version", body = Connection),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn rename(
    Manager(key): Manager,
    Id(id): Id,
    State(app): State<Arc<App>>,
    if_match: IfMatch,
    Validated(NewConnection { name }): Validated<NewConnection>,
) -> Result<Versioned<Connection>, Error> {
    let (project_id, connection_id, expected) = (key.project_id.clone(), id.clone(), if_match.or_any());
    let rename = |commands: Commands| async move {
        commands.rename_connection(&project_id, &connection_id, name, &expected).await
    };
    app.command(rename).await.map_err(|failed| failed.or(Error::ConnectionNotFound))?;
    find(&app, &key.project_id, &id).await
}

/// Removes a connection. Its keys are refused within a second.
#[utoipa::path(
    delete,
    path = "/connections/{connectionId}",
    tag = "connections",
    operation_id = "removeConnection",
    params(("connectionId" = String, Path, description = "The connection's id")),
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
) -> Result<StatusCode, Error> {
    tracing::info!(project = key.project_id, connection = id, "removing a connection");
    let remove = |commands: Commands| async move { commands.remove_connection(&key.project_id, &id).await };
    app.command(remove).await.map_err(|failed| failed.or(Error::ConnectionNotFound))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Creates a new key for a connection, also for a revoked one. Older keys are refused when the grace period
/// ends, or earlier if an earlier rotation set an earlier end.
#[utoipa::path(
    post,
    path = "/connections/{connectionId}/rotate",
    tag = "connections",
    operation_id = "rotateKey",
    params(("connectionId" = String, Path, description = "The connection's id")),
    request_body = Option<Rotation>,
    security(("key" = ["manage"])),
    responses(
        (status = 200, description = "The new key", body = RotatedKey),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn rotate(
    Manager(key): Manager,
    Id(id): Id,
    State(app): State<Arc<App>>,
    ValidatedOrEmpty(rotation): ValidatedOrEmpty<Rotation>,
) -> Result<Json<RotatedKey>, Error> {
    let grace = Duration::from_secs(rotation.grace_seconds);
    tracing::info!(project = key.project_id, connection = id, ?grace, "rotating a key");
    let connection_id = id.clone();
    let rotate =
        |commands: Commands| async move { commands.rotate(&key.project_id, &connection_id, grace).await };
    let rotated = app.command(rotate).await.map_err(|failed| failed.or(Error::ConnectionNotFound))?;
    Ok(Json(RotatedKey {
        connection_id: id,
        api_key: rotated.token.reveal(),
        previous_key_ends_at: rotated.previous_expires_at_ms,
    }))
}

/// Revokes all keys of a connection, including replaced keys in their grace period.
#[utoipa::path(
    post,
    path = "/connections/{connectionId}/revoke",
    tag = "connections",
    operation_id = "revokeConnection",
    params(("connectionId" = String, Path, description = "The connection's id")),
    security(("key" = ["manage"])),
    responses(
        (status = 204, description = "All keys are revoked"),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn revoke(
    Manager(key): Manager,
    Id(id): Id,
    State(app): State<Arc<App>>,
) -> Result<StatusCode, Error> {
    tracing::info!(project = key.project_id, connection = id, "revoking a connection's keys");
    let revoke = |commands: Commands| async move { commands.revoke_connection(&key.project_id, &id).await };
    app.command(revoke).await.map_err(|failed| failed.or(Error::ConnectionNotFound))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(app: &App, project_id: &str, id: &str) -> Result<Versioned<Connection>, Error> {
    let view = app.directory.connection(project_id, id).await.map_err(directory_unavailable)?;
    let view = view.ok_or(Error::ConnectionNotFound)?;
    let last_used = last_used(app, project_id).await;
    Ok(Versioned { version: view.connection.version, entity: describe(app, view, &last_used) })
}

/// Returns the time of last use by connection id. Connections can be managed while ClickHouse is unavailable;
/// the times are unknown then.
async fn last_used(app: &App, project_id: &str) -> HashMap<String, i64> {
    app.usage.last_used(project_id).await.unwrap_or_default()
}

fn describe(app: &App, view: ConnectionView, last_used: &HashMap<String, i64>) -> Connection {
    Connection {
        last_used_at: last_used.get(&view.connection.connection_id).copied(),
        connection_id: view.connection.connection_id,
        name: view.connection.name,
        state: if view.active { ConnectionState::Active } else { ConnectionState::Revoked },
        webhook_url: app.webhook_url.clone(),
        key_hint: view.key_hint,
        created_at: view.connection.created_at_ms,
        updated_at: view.connection.updated_at_ms,
        version: view.connection.version,
    }
}
