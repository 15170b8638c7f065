//! Connections: what sends metrics, each with a key of its own.

use crate::app::App;
use crate::auth::Manager;
use crate::body::Fields;
use crate::error::{Error, ErrorBody, Unavailable};
use axum::Json;
use axum::extract::State;
use hyper::StatusCode;
use serde::Serialize;
use std::sync::Arc;
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
        (status = 201, description = "The connection, and its key", body = CreatedConnection),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn create(
    Manager(key): Manager,
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<(StatusCode, Json<CreatedConnection>), Error> {
    let name = fields.name("name");
    fields.faults.check()?;
    let unavailable = Error::Unavailable(Unavailable::Command);
    let Some(name) = name else { return Err(unavailable) };

    let project_id = key.project_id.clone();
    let create = |commands: accounts::commands::Commands| async move {
        commands.create_connection(&project_id, &name).await
    };
    let (connection, token) = app.command(create).await.map_err(|_| unavailable)?;
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
    };
    Ok((StatusCode::CREATED, Json(created)))
}
