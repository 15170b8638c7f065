//! Who is calling: extractors that a handler names to say what it asks of a key.
//!
//! The checks come before anything else of a call: a key that may not make it learns nothing of what it would have said.

use crate::app::App;
use crate::error::{Error, Needs};
use crate::settings::Secret;
use accounts::Scope;
use accounts::keys::Key;
use axum::extract::FromRequestParts;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// A key that may read.
pub struct Reader(pub Arc<Key>);

/// A key that may make changes.
pub struct Manager(pub Arc<Key>);

/// The operator's token was given.
pub struct Operator;

/// Knows the operator's token by its hash.
pub struct OperatorToken([u8; 32]);

impl OperatorToken {
    /// Takes the token's hash.
    pub fn new(token: &Secret) -> Self {
        Self(Sha256::digest(token.reveal().as_bytes()).into())
    }

    /// Whether `token` is the operator's, in a time that tells nothing about it.
    fn is(&self, token: &str) -> bool {
        Sha256::digest(token.as_bytes()).as_slice().ct_eq(&self.0).into()
    }
}

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        project_key(&parts.headers, app, Scope::Read, Needs::Read).await.map(Self)
    }
}

impl FromRequestParts<Arc<App>> for Manager {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        project_key(&parts.headers, app, Scope::Manage, Needs::Manage).await.map(Self)
    }
}

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let token = bearer(&parts.headers)?;
        if app.operator.is(token) {
            return Ok(Self);
        }
        app.keys.authenticate(token).await?;
        Err(Error::InsufficientScope(Needs::Operator))
    }
}

async fn project_key(headers: &HeaderMap, app: &App, scope: Scope, needs: Needs) -> Result<Arc<Key>, Error> {
    let token = bearer(headers)?;
    if app.operator.is(token) {
        // It belongs to no project, so there is nothing that it could read.
        return Err(Error::InsufficientScope(needs));
    }
    let key = app.keys.authenticate(token).await?;
    if key.allows(scope) { Ok(key) } else { Err(Error::InsufficientScope(needs)) }
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
