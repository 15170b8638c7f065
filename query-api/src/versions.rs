//! Versions of entities: `ETag` in answers, `If-Match` in changes.

use crate::error::Error;
use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use control::commands::ExpectedVersion;
use hyper::header::{ETAG, HeaderValue, IF_MATCH};
use hyper::http::request::Parts;
use serde::Serialize;
use std::convert::Infallible;

/// An entity whose answer has its version as `ETag`.
#[derive(Debug)]
pub struct Versioned<T> {
    pub version: u64,
    /// The entity as clients see it.
    pub entity: T,
}

impl<T: Serialize> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.entity).into_response();
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", self.version)) {
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }
}

/// The versions that the client expects, from the header `If-Match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfMatch(Option<ExpectedVersion>);

impl IfMatch {
    /// Returns the expected versions, or any version if the header is absent.
    pub fn or_any(self) -> ExpectedVersion {
        self.0.unwrap_or(ExpectedVersion::Any)
    }

    /// Returns the expected versions; fails if the header is absent.
    pub fn required(self) -> Result<ExpectedVersion, Error> {
        self.0.ok_or(Error::VersionRequired)
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let lines: Vec<&str> =
            parts.headers.get_all(IF_MATCH).iter().map(|line| line.to_str().unwrap_or_default()).collect();
        Ok(Self((!lines.is_empty()).then(|| expected(&lines.join(",")))))
    }
}

/// Parses `*` or a list of tags. Unknown tags match nothing. Weak tags are accepted because compressing
/// proxies weaken them, and so is the bare number, which is the field `version` of entities.
fn expected(text: &str) -> ExpectedVersion {
    let tags = || text.split(',').map(str::trim);
    if tags().any(|tag| tag == "*") {
        return ExpectedVersion::Any;
    }
    let version = |tag: &str| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        let quoted = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        quoted.unwrap_or(tag).parse().ok()
    };
    ExpectedVersion::OneOf(tags().filter_map(version).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_is_a_star_or_a_list_of_versions() {
        assert_eq!(expected("*"), ExpectedVersion::Any);
        assert_eq!(expected("\"3\""), ExpectedVersion::OneOf(vec![3]));
        assert_eq!(expected("\"3\", W/\"4\",\"x\""), ExpectedVersion::OneOf(vec![3, 4]));
        assert_eq!(expected("3"), ExpectedVersion::OneOf(vec![3]));
        for nothing in ["", "x", "\"-1\"", "\"3"] {
            assert_eq!(expected(nothing), ExpectedVersion::OneOf(Vec::new()), "{nothing}");
        }
    }

    #[test]
    fn missing_if_match_is_any_version_or_an_error() {
        assert_eq!(IfMatch(None).or_any(), ExpectedVersion::Any);
        assert_eq!(IfMatch(None).required(), Err(Error::VersionRequired));
        let expected = ExpectedVersion::OneOf(vec![1]);
        assert_eq!(IfMatch(Some(expected.clone())).required(), Ok(expected));
    }
}
