//! HTTP client of the API.
//!
//! The token is sent only in the `Authorization` header. Redirects are not followed, so that no other server
//! receives the token.

use crate::calls::{Call, View};
use crate::error::Error;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{Request, Response};
use ureq::tls::{RootCerts, TlsConfig};

/// Timeout of one request.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Number of items per page; the maximum of the API.
const PAGE_SIZE: &str = "1000";
/// Maximum length of a response in bytes.
const MAX_RESPONSE: u64 = 256 << 20;

/// The API of one installation, called with one token.
pub struct Api<'a> {
    agent: Agent,
    url: &'a str,
    token: &'a str,
}

/// A successful response.
pub struct ApiResponse {
    /// The body unchanged; for a list of several pages, one document with all items.
    pub text: String,
    /// The parsed body; null if there is none.
    pub json: Value,
}

impl<'a> Api<'a> {
    /// Creates a client for the API at `url`, without sending anything.
    pub fn new(url: &'a str, token: &'a str) -> Result<Self, Error> {
        let url = url.trim_end_matches('/');
        let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.contains(['?', '#', '@', ' '])) {
            return Err(Error::BadUrl(url.to_owned()));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Usage(
                "the token contains characters that are not allowed in a token".to_owned(),
            ));
        }
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(TIMEOUT))
            .user_agent(concat!("tidemarkctl/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        Ok(Self { agent: config.new_agent(), url, token })
    }

    /// Sends a call. For a list, requests all pages.
    pub fn send(&self, call: &Call) -> Result<ApiResponse, Error> {
        if !matches!(call.view, View::Table(_)) {
            return self.send_once(call, &[]);
        }
        let first = self.send_once(call, &[("limit", PAGE_SIZE)])?;
        let Some(mut cursor) = cursor(&first.json) else { return Ok(first) };
        let mut items = self.items(first.json)?;
        loop {
            let page = self.send_once(call, &[("limit", PAGE_SIZE), ("cursor", &cursor)])?;
            let next = self::cursor(&page.json);
            items.extend(self.items(page.json)?);
            match next {
                // The same cursor again would be an endless loop.
                Some(next) if next == cursor => return Err(self.not_tidemark(200)),
                Some(next) => cursor = next,
                None => break,
            }
        }
        let json = json!({"items": items, "nextCursor": null});
        Ok(ApiResponse { text: json.to_string(), json })
    }

    fn send_once(&self, call: &Call, more: &[(&str, &str)]) -> Result<ApiResponse, Error> {
        let query: Vec<String> = call
            .query
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .chain(more.iter().copied())
            .map(|(name, value)| format!("{name}={}", percent_encode(value)))
            .collect();
        let separator = if query.is_empty() { "" } else { "?" };
        let uri = format!("{}/api/v1{}{separator}{}", self.url, call.path, query.join("&"));
        let request = Request::builder()
            .method(call.method)
            .uri(uri)
            .header("authorization", format!("Bearer {}", self.token))
            .header("accept", "application/json");
        let sent = match &call.body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(body.to_string())
                .map_err(ureq::Error::from)
                .and_then(|request| self.agent.run(request)),
            None => request.body(()).map_err(ureq::Error::from).and_then(|request| self.agent.run(request)),
        };
        self.read(sent.map_err(|error| self.unreachable(&error))?, call)
    }

    fn read(&self, mut response: Response<ureq::Body>, call: &Call) -> Result<ApiResponse, Error> {
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(MAX_RESPONSE).read_to_string();
        let text = body.map_err(|error| self.unreachable(&error))?;
        let json = match text.is_empty() {
            true => Value::Null,
            false => serde_json::from_str(&text).map_err(|_| self.not_tidemark(status))?,
        };
        let expects_body = !matches!(call.view, View::Message(_));
        match status {
            200..300 if expects_body && !json.is_object() => Err(self.not_tidemark(status)),
            200..300 => Ok(ApiResponse { text, json }),
            _ => Err(Error::rejected(self.url, status, &json, call.token)),
        }
    }

    fn items(&self, mut page: Value) -> Result<Vec<Value>, Error> {
        match page["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Err(self.not_tidemark(200)),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> Error {
        Error::Unreachable { url: self.url.to_owned(), cause: error.to_string() }
    }

    fn not_tidemark(&self, status: u16) -> Error {
        Error::NotTidemark { url: self.url.to_owned(), status }
    }
}

fn cursor(page: &Value) -> Option<String> {
    page["nextCursor"].as_str().map(str::to_owned)
}

/// Percent-encodes all bytes except the unreserved characters of RFC 3986.
fn percent_encode(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|b| if unreserved(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_addresses_and_tokens_are_rejected() {
        for invalid in
            ["", "localhost:8090", "ftp://host", "http://", "http://user:secret@host", "http://a b"]
        {
            assert!(matches!(Api::new(invalid, "token"), Err(Error::BadUrl(_))), "{invalid}");
        }
        for valid in ["http://127.0.0.1:8090", "http://localhost/", "https://metrics.example.org/tidemark"] {
            assert!(Api::new(valid, "token").is_ok(), "{valid}");
        }
        assert!(Api::new("http://localhost", "two\nlines").is_err());
    }

    #[test]
    fn cursor_is_percent_encoded() {
        assert_eq!(percent_encode("a+b/c=&d"), "a%2Bb%2Fc%3D%26d");
    }
}
