//! Versions of entities: `ETag` in answers, `If-Match` in changes.

use crate::error::Error;
use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use control::commands::Expected;
use hyper::header::{ETAG, HeaderValue, IF_MATCH};
use hyper::http::request::Parts;
use serde::Serialize;
use std::convert::Infallible;

/// An entity, whose version is its `ETag` too.
#[derive(Debug)]
pub struct Versioned<T> {
    /// The version.
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

/// The versions that a change was made for, if the client says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfMatch(Option<Expected>);

impl IfMatch {
    /// Any version, where the client does not say.
    pub fn or_any(self) -> Expected {
        self.0.unwrap_or(Expected::Any)
    }

    /// An error where the client does not say.
    pub fn required(self) -> Result<Expected, Error> {
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

/// Reads `*` or a list of tags. What is no tag of ours matches nothing. A proxy that compresses makes our tags weak, so
/// those count too, and so does the bare number that entities show.
fn expected(text: &str) -> Expected {
    let tags = || text.split(',').map(str::trim);
    if tags().any(|tag| tag == "*") {
        return Expected::Any;
    }
    let version = |tag: &str| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        let quoted = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        quoted.unwrap_or(tag).parse().ok()
    };
    Expected::OneOf(tags().filter_map(version).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_is_a_star_or_a_list_of_versions_and_nothing_else_matches() {
        assert_eq!(expected("*"), Expected::Any);
        assert_eq!(expected("\"3\""), Expected::OneOf(vec![3]));
        assert_eq!(expected("\"3\", W/\"4\",\"x\""), Expected::OneOf(vec![3, 4]));
        assert_eq!(expected("3"), Expected::OneOf(vec![3]));
        for nothing in ["", "x", "\"-1\"", "\"3"] {
            assert_eq!(expected(nothing), Expected::OneOf(Vec::new()), "{nothing}");
        }
    }

    #[test]
    fn a_version_is_required_only_where_it_is_asked_for() {
        assert_eq!(IfMatch(None).or_any(), Expected::Any);
        assert_eq!(IfMatch(None).required(), Err(Error::VersionRequired));
        let given = Expected::OneOf(vec![1]);
        assert_eq!(IfMatch(Some(given.clone())).required(), Ok(given));
    }
}
