//! Who is calling: extractors that a handler names to say what it asks of a key.
//!
//! A browser's session cookie stands for the key that it was made with; `Authorization` goes before it.
//!
//! The checks come before anything else of a call: a key that may not make it learns nothing of what it would have said.

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

/// A key that may read.
pub struct Reader(pub Arc<Key>);

/// A key that may make changes.
pub struct Manager(pub Arc<Key>);

/// A key that may read, of a project whose plan has alerts.
pub struct AlertReader(pub Arc<Key>);

/// A key that may make changes, of a project whose plan has alerts.
pub struct AlertManager(pub Arc<Key>);

/// The operator's token was given.
pub struct Operator;

/// The operator, or a key that may read.
pub enum ReaderOrOperator {
    /// The operator's token was given.
    Operator,
    /// A key that may read its project.
    Reader(Arc<Key>),
}

/// The operator, or a key that may make changes.
pub enum ManagerOrOperator {
    /// The operator's token was given.
    Operator,
    /// A key that may change its project.
    Manager(Arc<Key>),
}

/// Any key, or the operator.
pub struct Anyone;

/// Who calls.
enum Caller {
    Operator,
    Key(Arc<Key>),
}

/// Knows the operator's token by its hash.
pub struct OperatorToken([u8; 32]);

impl OperatorToken {
    /// Takes the token's hash.
    pub fn new(token: &Secret) -> Self {
        Self(Sha256::digest(token.reveal().as_bytes()).into())
    }

    /// Whether `token` is the operator's, in a time that tells nothing about it.
    pub fn is(&self, token: &str) -> bool {
        Sha256::digest(token.as_bytes()).as_slice().ct_eq(&self.0).into()
    }
}

/// Fails unless the plan of the project includes alerts.
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
    /// The key, if it is one that `scope` is allowed to. The operator belongs to no project, so there is nothing that he
    /// could read.
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
    Ok(Caller::Key(app.keys.still_good(key_id).await?))
}

/// The token of `Authorization: Bearer <token>`.
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

    fn given(values: &[&'static str]) -> Result<String, Error> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        bearer(&headers).map(str::to_owned)
    }

    #[test]
    fn the_scheme_may_be_written_in_any_case_and_all_else_is_malformed() {
        assert_eq!(given(&["Bearer abc"]), Ok("abc".to_owned()));
        assert_eq!(given(&["bEARER  abc"]), Ok("abc".to_owned()));
        assert_eq!(given(&[]), Err(Error::MissingKey));
        for wrong in [
            &["Bearer"][..],
            &["Bearer "],
            &["abc"],
            &["Basic abc"],
            &["Bearer a b"],
            &["Bearer a", "Bearer b"],
        ] {
            assert_eq!(given(wrong), Err(Error::MalformedAuthorization), "{wrong:?}");
        }
    }

    #[test]
    fn only_the_operators_token_is_the_operators() {
        let operator = OperatorToken::new(&Secret::new("0123456789abcdef"));
        assert!(operator.is("0123456789abcdef"));
        assert!(!operator.is("0123456789abcdeF") && !operator.is(""));
    }
}
