//! Authentication and authorization: extractors by which a handler states the scope that it requires.
//!
//! A browser's session cookie stands for the key that began the session; the header `Authorization` takes
//! precedence.
//!
//! These extractors come first in every handler, so that a key without the scope learns nothing about the
//! entity.

use crate::app::App;
use crate::error::{Error, RequiredScope, directory_unavailable};
use crate::session;
use axum::extract::FromRequestParts;
use control::Scope;
use control::keys::Key;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;
use service::settings::Secret;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// A key with the scope `read`.
pub struct Reader(pub Arc<Key>);

/// A key with the scope `manage`.
pub struct Manager(pub Arc<Key>);

/// A key with the scope `read`, of a project whose plan includes alerts.
pub struct AlertReader(pub Arc<Key>);

/// A key with the scope `manage`, of a project whose plan includes alerts.
pub struct AlertManager(pub Arc<Key>);

/// The operator's token.
pub struct Operator;

/// The operator's token, or a key with the scope `read`.
pub enum ReaderOrOperator {
    Operator,
    Reader(Arc<Key>),
}

/// The operator's token, or a key with the scope `manage`.
pub enum ManagerOrOperator {
    Operator,
    Manager(Arc<Key>),
}

/// The operator's token, or any valid key.
pub struct Anyone;

/// The authenticated caller of a request.
enum Caller {
    Operator,
    Key(Arc<Key>),
}

/// The SHA-256 hash of the operator's token.
pub struct OperatorToken([u8; 32]);

impl OperatorToken {
    pub fn new(token: &Secret) -> Self {
        Self(Sha256::digest(token.reveal().as_bytes()).into())
    }

    /// Returns whether `token` is the operator's token. Takes constant time.
    pub fn is(&self, token: &str) -> bool {
        Sha256::digest(token.as_bytes()).as_slice().ct_eq(&self.0).into()
    }
}

/// Fails with [`Error::PlanRequired`] unless the project's plan includes alerts.
pub async fn require_alerts(app: &App, project_id: &str) -> Result<(), Error> {
    let project = app
        .directory
        .project(project_id)
        .await
        .map_err(directory_unavailable)?
        .ok_or(Error::ProjectNotFound)?;
    let plan = app.directory.plan(&project.plan).await.map_err(directory_unavailable)?;
    if plan.is_some_and(|plan| plan.alerts) { Ok(()) } else { Err(Error::PlanRequired) }
}

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        caller(parts, app).await?.key(Scope::Read, RequiredScope::Read).map(Self)
    }
}

impl FromRequestParts<Arc<App>> for Manager {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        caller(parts, app).await?.key(Scope::Manage, RequiredScope::Manage).map(Self)
    }
}

impl FromRequestParts<Arc<App>> for AlertReader {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let Reader(key) = Reader::from_request_parts(parts, app).await?;
        require_alerts(app, &key.project_id).await?;
        Ok(Self(key))
    }
}

impl FromRequestParts<Arc<App>> for AlertManager {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let Manager(key) = Manager::from_request_parts(parts, app).await?;
        require_alerts(app, &key.project_id).await?;
        Ok(Self(key))
    }
}

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        match caller(parts, app).await? {
            Caller::Operator => Ok(Self),
            Caller::Key(_) => Err(Error::InsufficientScope(RequiredScope::Operator)),
        }
    }
}

impl FromRequestParts<Arc<App>> for ReaderOrOperator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        match caller(parts, app).await? {
            Caller::Operator => Ok(Self::Operator),
            caller => caller.key(Scope::Read, RequiredScope::Read).map(Self::Reader),
        }
    }
}

impl FromRequestParts<Arc<App>> for ManagerOrOperator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        match caller(parts, app).await? {
            Caller::Operator => Ok(Self::Operator),
            caller => caller.key(Scope::Manage, RequiredScope::Manage).map(Self::Manager),
        }
    }
}

impl FromRequestParts<Arc<App>> for Anyone {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        caller(parts, app).await.map(|_| Self)
    }
}

impl Caller {
    /// Returns the key if it has `scope`. The operator's token belongs to no project, so it is refused.
    fn key(self, scope: Scope, needs: RequiredScope) -> Result<Arc<Key>, Error> {
        match self {
            Self::Key(key) if key.allows(scope) => Ok(key),
            _ => Err(Error::InsufficientScope(needs)),
        }
    }
}

async fn caller(parts: &Parts, app: &App) -> Result<Caller, Error> {
    let headers = &parts.headers;
    if headers.contains_key(AUTHORIZATION) {
        let token = bearer(headers)?;
        if app.operator.is(token) {
            return Ok(Caller::Operator);
        }
        return Ok(Caller::Key(app.keys.authenticate(token).await?));
    }
    let cookie = session::cookie(headers).filter(|_| !session::is_foreign_change(&parts.method, headers));
    let cookie = cookie.ok_or(Error::MissingKey)?;
    let key_id = app.sessions.open(cookie, service::clock::now_ms()).ok_or(Error::InvalidSession)?;
    app.ended_sessions.check(cookie, app.keys.connected()).await?;
    Ok(Caller::Key(app.keys.revalidate(key_id).await?))
}

/// Returns the token of `Authorization: Bearer <token>`.
fn bearer(headers: &HeaderMap) -> Result<&str, Error> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Error::MissingKey)?;
    let text = value.to_str().map_err(|_| Error::MalformedAuthorization)?;
    let (scheme, token) = text.split_once(' ').ok_or(Error::MalformedAuthorization)?;
    let token = token.trim_start_matches(' ');
    let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if values.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") || !visible {
        return Err(Error::MalformedAuthorization);
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn bearer_of(values: &[&'static str]) -> Result<String, Error> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        bearer(&headers).map(str::to_owned)
    }

    #[test]
    fn scheme_is_case_insensitive_and_other_forms_are_malformed() {
        assert_eq!(bearer_of(&["Bearer abc"]), Ok("abc".to_owned()));
        assert_eq!(bearer_of(&["bEARER  abc"]), Ok("abc".to_owned()));
        assert_eq!(bearer_of(&[]), Err(Error::MissingKey));
        for wrong in [
            &["Bearer"][..],
            &["Bearer "],
            &["abc"],
            &["Basic abc"],
            &["Bearer a b"],
            &["Bearer a", "Bearer b"],
        ] {
            assert_eq!(bearer_of(wrong), Err(Error::MalformedAuthorization), "{wrong:?}");
        }
    }

    #[test]
    fn operator_token_must_match_exactly() {
        let operator = OperatorToken::new(&Secret::new("0123456789abcdef"));
        assert!(operator.is("0123456789abcdef"));
        assert!(!operator.is("0123456789abcdeF") && !operator.is(""));
    }
}
