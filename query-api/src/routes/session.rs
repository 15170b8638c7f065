//! Sessions: signing in to the web page with a key, and signing out.

use crate::app::App;
use crate::auth::Reader;
use crate::error::{Error, ErrorBody, RequiredScope, directory_unavailable};
use crate::fields::{Fields, FromFields};
use crate::routes::keys::KeyScope;
use crate::session::{self, AGE};
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use control::Scope;
use control::keys::Key;
use hyper::header::SET_COOKIE;
use hyper::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use service::clock::now_ms;
use std::sync::Arc;
use utoipa::ToSchema;

/// A session to begin.
#[derive(ToSchema)]
pub struct NewSession {
    /// A key with the scope `read` or `manage`.
    key: String,
}

impl FromFields for NewSession {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { key: fields.string("key")? })
    }
}

/// The project and scopes of a session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// The project that the key belongs to.
    project_id: String,
    /// The project's name.
    name: String,
    /// The project's plan.
    plan: String,
    /// The scopes of the key.
    scopes: Vec<KeyScope>,
}

/// Signs in. The answer sets a cookie that stands for the key while the key is valid, for at most a week.
#[utoipa::path(
    post,
    path = "/session",
    tag = "session",
    operation_id = "beginSession",
    request_body = NewSession,
    responses(
        (status = 200, description = "The session, with its cookie", body = Session),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn begin(
    State(app): State<Arc<App>>,
    method: Method,
    headers: HeaderMap,
    fields: Fields,
) -> Result<impl IntoResponse, Error> {
    if session::is_foreign_change(&method, &headers) {
        return Err(Error::MissingKey);
    }
    let NewSession { key: token } = fields.validate()?;
    if app.operator.is(&token) {
        return Err(Error::InsufficientScope(RequiredScope::Read));
    }
    let key = app.keys.authenticate(&token).await?;
    if !key.allows(Scope::Read) {
        return Err(Error::InsufficientScope(RequiredScope::Read));
    }
    let session = describe(&app, &key).await?;
    let end_ms = now_ms().saturating_add(i64::try_from(AGE.as_millis()).unwrap_or(i64::MAX));
    let cookie = session::set_cookie(&app.sessions.seal(&key.key_id, end_ms), &headers);
    Ok(([(SET_COOKIE, cookie)], Json(session)))
}

/// Returns the current session.
#[utoipa::path(
    get,
    path = "/session",
    tag = "session",
    operation_id = "getSession",
    security(("session" = []), ("key" = ["read"])),
    responses(
        (status = 200, description = "The session", body = Session),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn get(Reader(key): Reader, State(app): State<Arc<App>>) -> Result<Json<Session>, Error> {
    describe(&app, &key).await.map(Json)
}

/// Signs out. The session ends for every holder of its cookie, and the answer removes the cookie. The call
/// succeeds also without a session.
#[utoipa::path(
    delete,
    path = "/session",
    tag = "session",
    operation_id = "endSession",
    responses(
        (status = 204, description = "Signed out"),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn end(
    State(app): State<Arc<App>>,
    method: Method,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Error> {
    let cookie = session::cookie(&headers).filter(|_| !session::is_foreign_change(&method, &headers));
    if let Some(cookie) = cookie.filter(|cookie| app.sessions.open(cookie, now_ms()).is_some()) {
        app.ended_sessions.end(cookie).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, session::set_cookie("", &headers))]))
}

async fn describe(app: &App, key: &Key) -> Result<Session, Error> {
    let view = app.directory.project(&key.project_id).await.map_err(directory_unavailable)?;
    // A project is missing although its key is valid only while the project is being removed.
    let view = view.ok_or(Error::RevokedKey)?;
    Ok(Session {
        project_id: view.project.project_id,
        name: view.project.name,
        plan: view.plan,
        scopes: key.scopes.all().filter_map(KeyScope::of).collect(),
    })
}
