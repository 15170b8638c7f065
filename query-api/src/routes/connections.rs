//! Connections: what sends metrics, each with a key of its own.

use crate::app::App;
use crate::auth::{Manager, Reader};
use crate::body::{Fields, OptionalFields};
use crate::error::{Error, ErrorBody, Unavailable, unreadable};
use crate::params::{Params, cursor_text};
use crate::routes::Id;
use crate::versions::{IfMatch, Versioned};
use axum::Json;
use axum::extract::State;
use control::commands::Commands;
use control::directory::ConnectionView;
use hyper::StatusCode;
use serde::Serialize;
use service::wire_enum;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// A connection to be made. It describes the body; [`Fields`] reads it, so that all faults are told at once.
#[derive(ToSchema)]
#[allow(dead_code)]
pub struct NewConnection {
    /// 1 to 100 characters, no control characters.
    #[schema(min_length = 1, example = "Cron Job Metrics")]
    name: String,
}

/// A connection that was just made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedConnection {
    /// Its id.
    connection_id: String,
    /// Its name.
    name: String,
    /// Where metrics are sent to.
    webhook_url: String,
    /// The key to send them with. It is shown this once.
    api_key: String,
    /// The project that they belong to.
    project_id: String,
    /// When it was made, Unix milliseconds.
    created_at: i64,
    /// When it was last changed, Unix milliseconds.
    updated_at: i64,
    /// Grows with each change.
    version: u64,
}

wire_enum! {
    /// Whether a connection can be used.
    pub enum ConnectionState {
        /// Its current key is good.
        Active = "active",
        /// Its current key was revoked: rotate gives it a new one.
        Revoked = "revoked",
    }
}

/// A connection.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Its id.
    connection_id: String,
    /// Its name.
    name: String,
    /// Whether it can be used.
    state: ConnectionState,
    /// Where metrics are sent to.
    webhook_url: String,
    /// The last characters of its current key.
    key_hint: String,
    /// When it was made, Unix milliseconds.
    created_at: i64,
    /// When it, or its key, was last changed, Unix milliseconds.
    updated_at: i64,
    /// Grows with each change.
    version: u64,
    /// When metrics were last sent by it, Unix milliseconds; `null` if that is not known.
    #[schema(required)]
    last_used_at: Option<i64>,
}

/// A page of connections, in the order in which they were made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connections {
    /// The connections.
    items: Vec<Connection>,
    /// Goes on where this page ends; `null` on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// How a key is to be replaced. It describes the body; [`Fields`] reads it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code)]
pub struct Rotation {
    /// For how many seconds the replaced key stays good; 0 if left out.
    #[schema(minimum = 0, maximum = 86400, example = 3600)]
    grace_seconds: Option<u32>,
}

/// A key that was just made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotatedKey {
    /// The connection's id.
    connection_id: String,
    /// The new key. It is shown this once.
    api_key: String,
    /// From when on the replaced key is refused, Unix milliseconds.
    previous_key_ends_at: i64,
}

/// Makes a connection, with a key that may send metrics.
#[utoipa::path(
    post,
    path = "/connections",
    tag = "connections",
    operation_id = "createConnection",
    request_body = NewConnection,
    security(("key" = ["manage"])),
    responses(
        (status = 201, description = "The connection, and its key; its version is the ETag too", body = CreatedConnection),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn create(
    Manager(key): Manager,
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<(StatusCode, Versioned<CreatedConnection>), Error> {
    let name = fields.name("name");
    fields.faults.check()?;
    let Some(name) = name else { return Err(Error::Unavailable(Unavailable::Command)) };

    let project_id = key.project_id.clone();
    let create = |commands: Commands| async move { commands.create_connection(&project_id, &name).await };
    let (connection, token) = app.command(create).await.map_err(|failed| failed.or(Error::NoConnection))?;
    tracing::info!(
        project = connection.project_id,
        connection = connection.connection_id,
        "made a connection"
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
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 100 if left out"),
        ("cursor" = Option<String>, Query, description = "An earlier answer's `nextCursor`"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of connections", body = Connections),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<Connections>, Error> {
    let limit = params.limit();
    let after: Option<String> = params.cursor("connections");
    params.check()?;
    let page = app.directory.connections(&key.project_id, after.as_deref(), limit).await;
    let page = page.map_err(unreadable)?;
    let items = described(&app, &key.project_id, page.items).await;
    Ok(Json(Connections {
        items,
        next_cursor: page.next.as_ref().map(|next| cursor_text("connections", next)),
    }))
}

/// One connection.
#[utoipa::path(
    get,
    path = "/connections/{connectionId}",
    tag = "connections",
    operation_id = "getConnection",
    params(("connectionId" = String, Path, description = "The connection's id")),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The connection; its version is the ETag too", body = Connection),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn get(
    Reader(key): Reader,
    Id(id): Id,
    State(app): State<Arc<App>>,
) -> Result<Versioned<Connection>, Error> {
    one(&app, &key.project_id, &id).await
}

/// Gives a connection another name.
#[utoipa::path(
    patch,
    path = "/connections/{connectionId}",
    tag = "connections",
    operation_id = "renameConnection",
    params(
        ("connectionId" = String, Path, description = "The connection's id"),
        ("If-Match" = Option<String>, Header, nullable = false, description = "The ETag of the version that is to be changed"),
    ),
    request_body = NewConnection,
    security(("key" = ["manage"])),
    responses(
        (status = 200, description = "The connection as it is now; its version is the ETag too", body = Connection),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn rename(
    Manager(key): Manager,
    Id(id): Id,
    State(app): State<Arc<App>>,
    if_match: IfMatch,
    mut fields: Fields,
) -> Result<Versioned<Connection>, Error> {
    let name = fields.name("name");
    fields.faults.check()?;
    let Some(name) = name else { return Err(Error::Unavailable(Unavailable::Command)) };
    let (project_id, connection_id, expected) = (key.project_id.clone(), id.clone(), if_match.or_any());
    let rename = |commands: Commands| async move {
        commands.rename_connection(&project_id, &connection_id, name, &expected).await
    };
    app.command(rename).await.map_err(|failed| failed.or(Error::NoConnection))?;
    one(&app, &key.project_id, &id).await
}

/// Removes a connection; its keys are refused within a second.
#[utoipa::path(
    delete,
    path = "/connections/{connectionId}",
    tag = "connections",
    operation_id = "removeConnection",
    params(("connectionId" = String, Path, description = "The connection's id")),
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
) -> Result<StatusCode, Error> {
    tracing::info!(project = key.project_id, connection = id, "removing a connection");
    let remove = |commands: Commands| async move { commands.remove_connection(&key.project_id, &id).await };
    app.command(remove).await.map_err(|failed| failed.or(Error::NoConnection))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a connection a new key, also a revoked one. The keys that it had are refused once the grace is over, or earlier
/// where an earlier rotation said so.
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
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn rotate(
    Manager(key): Manager,
    Id(id): Id,
    State(app): State<Arc<App>>,
    OptionalFields(mut fields): OptionalFields,
) -> Result<Json<RotatedKey>, Error> {
    let grace = Duration::from_secs(fields.integer("graceSeconds", 0..=86_400, 0));
    fields.faults.check()?;
    tracing::info!(project = key.project_id, connection = id, ?grace, "rotating a key");
    let connection_id = id.clone();
    let rotate =
        |commands: Commands| async move { commands.rotate(&key.project_id, &connection_id, grace).await };
    let rotated = app.command(rotate).await.map_err(|failed| failed.or(Error::NoConnection))?;
    Ok(Json(RotatedKey {
        connection_id: id,
        api_key: rotated.token.reveal(),
        previous_key_ends_at: rotated.previous_ends_at_ms,
    }))
}

/// Revokes all keys of a connection, those in their grace too.
#[utoipa::path(
    post,
    path = "/connections/{connectionId}/revoke",
    tag = "connections",
    operation_id = "revokeConnection",
    params(("connectionId" = String, Path, description = "The connection's id")),
    security(("key" = ["manage"])),
    responses(
        (status = 204, description = "None of its keys is good"),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn revoke(
    Manager(key): Manager,
    Id(id): Id,
    State(app): State<Arc<App>>,
) -> Result<StatusCode, Error> {
    tracing::info!(project = key.project_id, connection = id, "revoking a connection's keys");
    let revoke = |commands: Commands| async move { commands.revoke_connection(&key.project_id, &id).await };
    app.command(revoke).await.map_err(|failed| failed.or(Error::NoConnection))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn one(app: &App, project_id: &str, id: &str) -> Result<Versioned<Connection>, Error> {
    let view = app.directory.connection(project_id, id).await.map_err(unreadable)?;
    let view = view.ok_or(Error::NoConnection)?;
    let version = view.connection.version;
    let entity = described(app, project_id, vec![view]).await.pop().ok_or(Error::NoConnection)?;
    Ok(Versioned { version, entity })
}

async fn described(app: &App, project_id: &str, views: Vec<ConnectionView>) -> Vec<Connection> {
    // Connections can be managed while ClickHouse is away: then it is not known when they were used.
    let last_used = app.usage.last_used(project_id).await.unwrap_or_default();
    let connection = |view: ConnectionView| Connection {
        last_used_at: last_used.get(&view.connection.connection_id).copied(),
        connection_id: view.connection.connection_id,
        name: view.connection.name,
        state: if view.active { ConnectionState::Active } else { ConnectionState::Revoked },
        webhook_url: app.webhook_url.clone(),
        key_hint: view.key_hint,
        created_at: view.connection.created_at_ms,
        updated_at: view.connection.updated_at_ms,
        version: view.connection.version,
    };
    views.into_iter().map(connection).collect()
}
