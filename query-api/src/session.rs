//! Session cookies, which stand for an API key in a browser.
//!
//! A cookie is `<key id>.<end>.<seal>`: the end in Unix milliseconds, the seal an HMAC-SHA-256 over the rest
//! in base64url. A client that presents the key gets the cookie. It is valid while the key is valid and the
//! session was not ended ([`ended`]), for at most a week. The seal's key is derived from the operator's
//! token, so a new token ends all sessions.
//!
//! `SameSite=Strict` keeps browsers from sending the cookie with requests of other sites. In addition, a
//! change whose `Sec-Fetch-Site` header names another site is handled as if it had no cookie.

pub mod ended;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::header::COOKIE;
use hyper::{HeaderMap, Method};
use service::settings::Secret;
use sha2::Sha256;
use std::time::Duration;

/// Name of the cookie.
pub const NAME: &str = "tidemark_session";
/// Maximum age of a session.
pub const AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Separates the seal's key from other keys that may be derived from the token.
const LABEL: &[u8] = b"tidemark session cookie v1";

/// Seals and opens cookies.
#[derive(Clone)]
pub struct Sessions(Hmac<Sha256>);

impl Sessions {
    /// Derives the seal's key from the operator's token.
    pub fn new(operator_token: &Secret) -> Self {
        let derived = mac(operator_token.reveal().as_bytes()).chain_update(LABEL).finalize().into_bytes();
        Self(mac(&derived))
    }

    /// Returns the cookie's value for the key `key_id` until `end_ms`, Unix milliseconds.
    pub fn seal(&self, key_id: &str, end_ms: i64) -> String {
        let text = format!("{key_id}.{end_ms}");
        let seal = self.0.clone().chain_update(&text).finalize().into_bytes();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(seal))
    }

    /// Returns the id of the key that `value` stands for, if the seal is valid and the session has not expired.
    pub fn open<'a>(&self, value: &'a str, now_ms: i64) -> Option<&'a str> {
        let (text, seal) = value.rsplit_once('.')?;
        let seal = URL_SAFE_NO_PAD.decode(seal).ok()?;
        self.0.clone().chain_update(text).verify_slice(&seal).ok()?;
        let (key_id, end) = text.split_once('.')?;
        (now_ms < end.parse::<i64>().ok()?).then_some(key_id)
    }
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    match Hmac::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC accepts keys of any length"),
    }
}

/// Returns the value of the session cookie among the cookies of a request.
pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies =
        lines.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find(|(name, _)| *name == NAME).map(|(_, value)| value)
}

/// Returns whether a browser marks the request as a change that another site initiated.
pub fn is_foreign_change(method: &Method, headers: &HeaderMap) -> bool {
    let from = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    !method.is_safe() && matches!(from, Some(b"cross-site" | b"same-site"))
}

/// Returns the `Set-Cookie` header that begins a session with `value`, or removes the cookie if `value` is
/// empty.
pub fn set_cookie(value: &str, headers: &HeaderMap) -> String {
    let age = if value.is_empty() { 0 } else { AGE.as_secs() };
    let https = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme.as_bytes() == b"https");
    let secure = if https { "; Secure" } else { "" };
    format!("{NAME}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={age}{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    fn sessions(token: &str) -> Sessions {
        Sessions::new(&Secret::new(token))
    }

    #[test]
    fn cookie_opens_until_its_end_with_the_same_token() {
        let sessions = sessions("0123456789abcdef");
        let value = sessions.seal("abc", 1000);
        assert_eq!(sessions.open(&value, 999), Some("abc"));
        assert_eq!(sessions.open(&value, 1000), None);
        assert_eq!(super::tests::sessions("0123456789abcdeF").open(&value, 0), None);
    }

    proptest! {
        #[test]
        fn tampered_cookie_does_not_open(index in any::<proptest::sample::Index>(), with in "[0-9a-zA-Z._-]") {
            let sessions = sessions("0123456789abcdef");
            let value = sessions.seal("abc", 1000);
            let at = index.index(value.len());
            let other = format!("{}{with}{}", &value[..at], &value[at + 1..]);
            // The unused bits of the last base64 character must be zero, so no other character decodes to the
            // same seal.
            let expected = (other == value).then_some("abc");
            prop_assert_eq!(sessions.open(&other, 0), expected);
        }

        #[test]
        fn arbitrary_text_does_not_open(value in ".*") {
            prop_assert_eq!(sessions("0123456789abcdef").open(&value, 0), None);
        }
    }

    #[test]
    fn session_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        assert_eq!(cookie(&headers), None);
        headers.append(COOKIE, HeaderValue::from_static("a=b; tidemark_session2=x"));
        assert_eq!(cookie(&headers), None);
        headers.append(COOKIE, HeaderValue::from_static("c=d;tidemark_session=a.1.b; e=f"));
        assert_eq!(cookie(&headers), Some("a.1.b"));
    }

    #[test]
    fn only_changes_from_other_sites_are_foreign() {
        let from = |site: &'static str| {
            HeaderMap::from_iter([(
                hyper::header::HeaderName::from_static("sec-fetch-site"),
                HeaderValue::from_static(site),
            )])
        };
        for site in ["cross-site", "same-site"] {
            assert!(is_foreign_change(&Method::POST, &from(site)));
            assert!(!is_foreign_change(&Method::GET, &from(site)));
        }
        for site in ["same-origin", "none"] {
            assert!(!is_foreign_change(&Method::DELETE, &from(site)));
        }
        assert!(!is_foreign_change(&Method::POST, &HeaderMap::new()));
    }

    #[test]
    fn cookie_is_http_only_and_same_site_strict() {
        let mut headers = HeaderMap::new();
        let plain = "tidemark_session=v; HttpOnly; SameSite=Strict; Path=/; Max-Age=604800";
        assert_eq!(set_cookie("v", &headers), plain);
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        assert_eq!(set_cookie("v", &headers), format!("{plain}; Secure"));
        assert!(set_cookie("", &headers).contains("Max-Age=0"));
    }
}
