//! Standalone keys, for people and programs that read or manage. The keys of connections are managed by
//! [`connections`](super::connections).

use crate::app::App;
use crate::auth::Manager;
use crate::body::Validated;
use crate::error::{Error, ErrorBody, directory_unavailable};
use crate::fields::{Fields, FromFields};
use crate::params::{PageRequest, Params};
use crate::response::{ListItem, ListResponse};
use crate::routes::Id;
use axum::Json;
use axum::extract::State;
use control::Scope;
use control::commands::Commands;
use hyper::StatusCode;
use proto::v1::ApiKey;
use serde::Serialize;
use service::wire_enum;
use std::sync::Arc;
use utoipa::ToSchema;

/// Name of the list in cursors.
const LIST: &str = "keys";
/// Version of every key: keys never change.
const VERSION: u64 = 1;

wire_enum! {
    /// Scope of a key.
    pub enum KeyScope {
        /// Send metrics.
        Ingest = "ingest",
        /// Read metrics and configuration.
        Read = "read",
        /// Change configuration; includes `read`.
        Manage = "manage",
    }
}

/// A key to create.
#[derive(ToSchema)]
pub struct NewKey {
    /// 1 to 100 characters, no control characters.
    #[schema(min_length = 1, example = "Reports")]
    name: String,
    /// The scopes of the key.
    #[schema(min_items = 1)]
    scopes: Vec<KeyScope>,
}

impl FromFields for NewKey {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.name("name");
        let scopes = fields.choices("scopes");
        Some(Self { name: name?, scopes: scopes? })
    }
}

/// A key that was just created.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedKey {
    /// The id.
    key_id: String,
    /// The name.
    name: String,
    /// The scopes of the key.
    scopes: Vec<KeyScope>,
    /// The key. No later answer contains it.
    key: String,
    /// Creation time, Unix milliseconds.
    created_at: i64,
    /// The creation time again: keys never change.
    updated_at: i64,
    /// Always 1: keys never change.
    version: u64,
}

/// A key without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// The id.
    key_id: String,
    /// The name.
    name: String,
    /// The scopes of the key.
    scopes: Vec<KeyScope>,
    /// The last characters of the key.
    key_hint: String,
    /// Creation time, Unix milliseconds.
    created_at: i64,
    /// The creation time again: keys never change.
    updated_at: i64,
    /// Always 1: keys never change.
    version: u64,
}

impl ListItem for Key {
    const LIST_NAME: &'static str = "Keys";
    const LIST_DESCRIPTION: &'static str = "A page of keys in the order of their creation.";
}

type Keys = ListResponse<Key>;

impl KeyScope {
    /// Returns the wire form of `scope`; absent for `Unspecified`.
    pub fn of(scope: Scope) -> Option<Self> {
        match scope {
            Scope::Ingest => Some(Self::Ingest),
            Scope::Read => Some(Self::Read),
            Scope::Manage => Some(Self::Manage),
            Scope::Unspecified => None,
        }
    }

    fn scope(self) -> Scope {
        match self {
            Self::Ingest => Scope::Ingest,
            Self::Read => Scope::Read,
            Self::Manage => Scope::Manage,
        }
    }
}

impl From<ApiKey> for Key {
    fn from(key: ApiKey) -> Self {
        Self {
            scopes: key.scopes().filter_map(KeyScope::of).collect(),
            key_id: key.key_id,
            name: key.name,
            key_hint: key.hint,
            created_at: key.created_at_ms,
            updated_at: key.created_at_ms,
            version: VERSION,
        }
    }
}

/// Creates a key.
#[utoipa::path(
    post,
    path = "/keys",
    tag = "keys",
    operation_id = "createKey",
    request_body = NewKey,
    security(("key" = ["manage"])),
    responses(
        (status = 201, description = "The key", body = CreatedKey),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn create(
    Manager(key): Manager,
    State(app): State<Arc<App>>,
    Validated(NewKey { name, scopes }): Validated<NewKey>,
) -> Result<(StatusCode, Json<CreatedKey>), Error> {
    let granted: Vec<Scope> = scopes.iter().map(|scope| scope.scope()).collect();
    let create =
        |commands: Commands| async move { commands.create_key(&key.project_id, &name, granted).await };
    let (created, token) = app.command(create).await.map_err(|failed| failed.or(Error::KeyNotFound))?;
    tracing::info!(project = created.project_id, key = created.key_id, "created key");
    let body = CreatedKey {
        key_id: created.key_id,
        name: created.name,
        scopes,
        key: token.reveal(),
        created_at: created.created_at_ms,
        updated_at: created.created_at_ms,
        version: VERSION,
    };
    Ok((StatusCode::CREATED, Json(body)))
}

/// Lists the project's valid standalone keys.
#[utoipa::path(
    get,
    path = "/keys",
    tag = "keys",
    operation_id = "listKeys",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of items in the page; default 100"),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of an earlier answer"),
    ),
    security(("key" = ["manage"])),
    responses(
        (status = 200, description = "A page of keys", body = Keys),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(
    Manager(key): Manager,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<Keys>, Error> {
    let PageRequest { after, limit, .. } = params.page::<String>(LIST);
    params.check()?;
    let page = app.directory.keys(&key.project_id, after.as_deref(), limit).await;
    let page = page.map_err(directory_unavailable)?;
    Ok(Json(ListResponse::from_page(page, LIST, Key::from)))
}

/// Revokes a key, which may be the caller's own.
#[utoipa::path(
    delete,
    path = "/keys/{keyId}",
    tag = "keys",
    operation_id = "removeKey",
    params(("keyId" = String, Path, description = "The key's id")),
    security(("key" = ["manage"])),
    responses(
        (status = 204, description = "The key is revoked"),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn remove(
    Manager(key): Manager,
    Id(id): Id,
    State(app): State<Arc<App>>,
) -> Result<StatusCode, Error> {
    tracing::info!(project = key.project_id, key = id, "revoking a key");
    let remove = |commands: Commands| async move { commands.remove_key(&key.project_id, &id).await };
    app.command(remove).await.map_err(|failed| failed.or(Error::KeyNotFound))?;
    Ok(StatusCode::NO_CONTENT)
}
