//! Keys that stand alone: for people and programs that read or manage. A connection's key is the connection's.

use crate::app::App;
use crate::auth::Manager;
use crate::body::Fields;
use crate::error::{Error, ErrorBody, Unavailable, unreadable};
use crate::params::{Params, cursor_text};
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

/// Of every key, for none changes.
const VERSION: u64 = 1;

wire_enum! {
    /// What a key may do.
    pub enum KeyScope {
        /// Send metrics.
        Ingest = "ingest",
        /// Read.
        Read = "read",
        /// Make changes, and read.
        Manage = "manage",
    }
}

/// A key to be made. It describes the body; [`Fields`] reads it, so that all faults are told at once.
#[derive(ToSchema)]
#[allow(dead_code)]
pub struct NewKey {
    /// 1 to 100 characters, no control characters.
    #[schema(min_length = 1, example = "Reports")]
    name: String,
    /// What it may do.
    #[schema(min_items = 1)]
    scopes: Vec<KeyScope>,
}

/// A key that was just made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedKey {
    /// Its id.
    key_id: String,
    /// Its name.
    name: String,
    /// What it may do.
    scopes: Vec<KeyScope>,
    /// The key. It is shown this once.
    key: String,
    /// When it was made, Unix milliseconds.
    created_at: i64,
    /// The same: a key does not change.
    updated_at: i64,
    /// 1: a key does not change.
    version: u64,
}

/// A key, without what it opens.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// Its id.
    key_id: String,
    /// Its name.
    name: String,
    /// What it may do.
    scopes: Vec<KeyScope>,
    /// Its last characters.
    key_hint: String,
    /// When it was made, Unix milliseconds.
    created_at: i64,
    /// The same: a key does not change.
    updated_at: i64,
    /// 1: a key does not change.
    version: u64,
}

/// A page of keys, in the order in which they were made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Keys {
    /// The keys.
    items: Vec<Key>,
    /// Goes on where this page ends; `null` on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl KeyScope {
    /// The word for `scope`; none for what means nothing.
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

/// Makes a key.
#[utoipa::path(
    post,
    path = "/keys",
    tag = "keys",
    operation_id = "createKey",
    request_body = NewKey,
    security(("key" = ["manage"])),
    responses(
        (status = 201, description = "The key", body = CreatedKey),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn create(
    Manager(key): Manager,
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<(StatusCode, Json<CreatedKey>), Error> {
    let name = fields.name("name");
    let scopes = fields.words::<KeyScope>("scopes");
    fields.faults.check()?;
    let (Some(name), Some(scopes)) = (name, scopes) else {
        return Err(Error::Unavailable(Unavailable::Command));
    };
    let wanted: Vec<Scope> = scopes.iter().map(|scope| scope.scope()).collect();
    let create =
        |commands: Commands| async move { commands.create_key(&key.project_id, &name, wanted).await };
    let (made, token) = app.command(create).await.map_err(|failed| failed.or(Error::NoKey))?;
    tracing::info!(project = made.project_id, key = made.key_id, "made a key");
    let created = CreatedKey {
        key_id: made.key_id,
        name: made.name,
        scopes,
        key: token.reveal(),
        created_at: made.created_at_ms,
        updated_at: made.created_at_ms,
        version: VERSION,
    };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Lists the project's keys that are good and stand alone.
#[utoipa::path(
    get,
    path = "/keys",
    tag = "keys",
    operation_id = "listKeys",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 100 if left out"),
        ("cursor" = Option<String>, Query, description = "An earlier answer's `nextCursor`"),
    ),
    security(("key" = ["manage"])),
    responses(
        (status = 200, description = "A page of keys", body = Keys),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(
    Manager(key): Manager,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<Keys>, Error> {
    let limit = params.limit();
    let after: Option<String> = params.cursor("keys");
    params.check()?;
    let page = app.directory.keys(&key.project_id, after.as_deref(), limit).await.map_err(unreadable)?;
    let items = page.items.into_iter().map(Key::from).collect();
    Ok(Json(Keys { items, next_cursor: page.next.as_ref().map(|next| cursor_text("keys", next)) }))
}

/// Revokes a key; it may be the one that asks for it.
#[utoipa::path(
    delete,
    path = "/keys/{keyId}",
    tag = "keys",
    operation_id = "removeKey",
    params(("keyId" = String, Path, description = "The key's id")),
    security(("key" = ["manage"])),
    responses(
        (status = 204, description = "It is refused from now on"),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn remove(
    Manager(key): Manager,
    Id(id): Id,
    State(app): State<Arc<App>>,
) -> Result<StatusCode, Error> {
    tracing::info!(project = key.project_id, key = id, "revoking a key");
    let remove = |commands: Commands| async move { commands.remove_key(&key.project_id, &id).await };
    app.command(remove).await.map_err(|failed| failed.or(Error::NoKey))?;
    Ok(StatusCode::NO_CONTENT)
}
