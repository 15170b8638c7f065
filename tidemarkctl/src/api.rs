//! Sends calls and reads answers.
//!
//! The token goes into the `Authorization` header and nowhere else; redirects are not followed, so that it reaches no
//! other server than the one that was named.

use crate::calls::{Call, Shape};
use crate::error::Error;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{Request, Response};
use ureq::tls::{RootCerts, TlsConfig};

/// How long a call may take in all.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How many items a page is asked for: the most that the API gives.
const PAGE: &str = "1000";
/// The longest answer that is read.
const LONGEST: u64 = 256 << 20;

/// The API of one installation, as one caller sees it.
pub struct Api<'a> {
    agent: Agent,
    url: &'a str,
    token: &'a str,
}

/// An answer that is no refusal.
pub struct Answer {
    /// As it came; of a list of several pages, one document with all items.
    pub text: String,
    /// The same, read; null where there was no body.
    pub json: Value,
}

impl<'a> Api<'a> {
    /// The API at `url`. Nothing is sent yet.
    pub fn new(url: &'a str, token: &'a str) -> Result<Self, Error> {
        let url = url.trim_end_matches('/');
        let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.contains(['?', '#', '@', ' '])) {
            return Err(Error::BadUrl(url.to_owned()));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Usage("the token holds characters that no token has".to_owned()));
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

    /// Sends a call; a list is read to its end.
    pub fn send(&self, call: &Call) -> Result<Answer, Error> {
        if !matches!(call.shape, Shape::Table(_)) {
            return self.send_once(call, &[]);
        }
        let first = self.send_once(call, &[("limit", PAGE)])?;
        let Some(mut cursor) = cursor(&first.json) else { return Ok(first) };
        let mut items = self.items(first.json)?;
        loop {
            let page = self.send_once(call, &[("limit", PAGE), ("cursor", &cursor)])?;
            let next = self::cursor(&page.json);
            items.extend(self.items(page.json)?);
            match next {
                Some(next) if next == cursor => return Err(self.not_ours(200)),
                Some(next) => cursor = next,
                None => break,
            }
        }
        let json = json!({"items": items, "nextCursor": null});
        Ok(Answer { text: json.to_string(), json })
    }

    fn send_once(&self, call: &Call, more: &[(&str, &str)]) -> Result<Answer, Error> {
        let query: Vec<String> = call
            .query
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .chain(more.iter().copied())
            .map(|(name, value)| format!("{name}={}", escaped(value)))
            .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let uri = format!("{}/api/v1{}{mark}{}", self.url, call.path, query.join("&"));
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

    fn read(&self, mut response: Response<ureq::Body>, call: &Call) -> Result<Answer, Error> {
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(LONGEST).read_to_string();
        let text = body.map_err(|error| self.unreachable(&error))?;
        let json = match text.is_empty() {
            true => Value::Null,
            false => serde_json::from_str(&text).map_err(|_| self.not_ours(status))?,
        };
        let wants_body = !matches!(call.shape, Shape::Done(_));
        match status {
            200..300 if wants_body && !json.is_object() => Err(self.not_ours(status)),
            200..300 => Ok(Answer { text, json }),
            _ => Err(Error::refused(self.url, status, &json, call.needs)),
        }
    }

    fn items(&self, mut page: Value) -> Result<Vec<Value>, Error> {
        match page["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Err(self.not_ours(200)),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> Error {
        Error::Unreachable { url: self.url.to_owned(), cause: error.to_string() }
    }

    fn not_ours(&self, status: u16) -> Error {
        Error::NotOurs { url: self.url.to_owned(), status }
    }
}

fn cursor(page: &Value) -> Option<String> {
    page["nextCursor"].as_str().map(str::to_owned)
}

/// Percent-encoded, but for what never needs it.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_told_before_anything_is_sent() {
        for wrong in ["", "localhost:8090", "ftp://host", "http://", "http://user:secret@host", "http://a b"]
        {
            assert!(matches!(Api::new(wrong, "token"), Err(Error::BadUrl(_))), "{wrong}");
        }
        for good in ["http://127.0.0.1:8090", "http://localhost/", "https://metrics.example.org/tidemark"] {
            assert!(Api::new(good, "token").is_ok(), "{good}");
        }
        assert!(Api::new("http://localhost", "two\nlines").is_err());
    }

    #[test]
    fn a_cursor_is_handed_back_as_it_was() {
        assert_eq!(escaped("a+b/c=&d"), "a%2Bb%2Fc%3D%26d");
    }
}
