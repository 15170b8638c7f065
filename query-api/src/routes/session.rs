//! Sessions: how a browser signs in with a key, and out again.

use crate::app::App;
use crate::auth::Reader;
use crate::body::Fields;
use crate::error::{Error, ErrorBody, Needs, unreadable};
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

/// Who signs in. It describes the body; [`Fields`] reads it.
#[derive(ToSchema)]
#[allow(dead_code)]
pub struct NewSession {
    /// A key with the scope `read` or `manage`.
    key: String,
}

/// Who is signed in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// The project that the key belongs to.
    project_id: String,
    /// The project's name.
    name: String,
    /// The project's plan.
    plan: String,
    /// What the key may do.
    scopes: Vec<KeyScope>,
}

/// Signs in: the answer sets a cookie that stands for the key, for as long as the key is good, a week at most.
#[utoipa::path(
    post,
    path = "/session",
    tag = "session",
    operation_id = "beginSession",
    request_body = NewSession,
    responses(
        (status = 200, description = "Who is signed in, with the cookie", body = Session),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn begin(
    State(app): State<Arc<App>>,
    method: Method,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<impl IntoResponse, Error> {
    if session::is_foreign_change(&method, &headers) {
        return Err(Error::MissingKey);
    }
    let token = fields.string("key");
    fields.faults.check()?;
    let token = token.unwrap_or_default();
    if app.operator.is(&token) {
        return Err(Error::InsufficientScope(Needs::Read));
    }
    let key = app.keys.authenticate(&token).await?;
    if !key.allows(Scope::Read) {
        return Err(Error::InsufficientScope(Needs::Read));
    }
    let session = describe(&app, &key).await?;
    let end_ms = now_ms().saturating_add(i64::try_from(AGE.as_millis()).unwrap_or(i64::MAX));
    let cookie = session::set_cookie(&app.sessions.seal(&key.key_id, end_ms), &headers);
    Ok(([(SET_COOKIE, cookie)], Json(session)))
}

/// Who is signed in.
#[utoipa::path(
    get,
    path = "/session",
    tag = "session",
    operation_id = "getSession",
    security(("session" = []), ("key" = ["read"])),
    responses(
        (status = 200, description = "Who is signed in", body = Session),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn get(Reader(key): Reader, State(app): State<Arc<App>>) -> Result<Json<Session>, Error> {
    describe(&app, &key).await.map(Json)
}

/// Signs out: the session ends, whoever has its cookie, and the cookie goes. Nobody has to be signed in for that.
#[utoipa::path(
    delete,
    path = "/session",
    tag = "session",
    operation_id = "endSession",
    responses(
        (status = 204, description = "Nobody is signed in"),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
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
    let view = app.directory.project(&key.project_id).await.map_err(unreadable)?;
    // Only a project that is being removed has good keys and is not there.
    let view = view.ok_or(Error::RevokedKey)?;
    Ok(Session {
        project_id: view.project.project_id,
        name: view.project.name,
        plan: view.plan,
        scopes: key.scopes.all().filter_map(KeyScope::of).collect(),
    })
}
