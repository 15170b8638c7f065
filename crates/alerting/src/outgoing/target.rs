//! Target of a request: a validated URL that a user configured.

use std::fmt;
use url::{Host, Url};

/// Maximum length of a URL in bytes.
pub const MAX_URL_LENGTH: usize = 2048;

/// Reason why a URL is not accepted as a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// Not a URL, or its scheme is not HTTP or HTTPS.
    #[error("must be a URL that begins with https:// or http://")]
    NotHttp,
    /// The URL has a user name or a password.
    #[error("must not have a user or a password")]
    Credentials,
    /// The URL is longer than [`MAX_URL_LENGTH`].
    #[error("must be at most 2048 characters")]
    TooLong,
}

/// An HTTP or HTTPS URL with a host, without user name, password and fragment. It is a secret, because everybody who knows
/// it can post to the receiver. `Debug` therefore prints only the [`hint`](Self::hint).
#[derive(Clone, PartialEq, Eq)]
pub struct Target(Url);

impl Target {
    /// Parses and validates a URL.
    pub fn parse(text: &str) -> Result<Self, InvalidTarget> {
        if text.len() > MAX_URL_LENGTH {
            return Err(InvalidTarget::TooLong);
        }
        Self::of(Url::parse(text.trim()).map_err(|_| InvalidTarget::NotHttp)?)
    }

    fn of(mut url: Url) -> Result<Self, InvalidTarget> {
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(InvalidTarget::NotHttp);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidTarget::Credentials);
        }
        url.set_fragment(None);
        Ok(Self(url))
    }

    /// Returns the target of a redirect to `location`; none if it is invalid or leads from HTTPS to HTTP.
    pub fn redirected(&self, location: &str) -> Option<Self> {
        let next = Self::of(self.0.join(location).ok()?).ok()?;
        (next.is_https() || !self.is_https()).then_some(next)
    }

    /// Returns whether the scheme is HTTPS.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Returns the host.
    pub fn host(&self) -> Option<Host<&str>> {
        self.0.host()
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(443)
    }

    /// Returns the value of the header `Host`.
    pub fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Returns path and query.
    pub fn path(&self) -> String {
        let query = self.0.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", self.0.path())
    }

    /// Returns the whole URL, which is a secret. Only for storing it.
    pub fn reveal(&self) -> &str {
        self.0.as_str()
    }

    /// Returns scheme, host and at most the last four characters: enough to recognize the URL, too little to post to it.
    pub fn hint(&self) -> String {
        let rest: Vec<char> = self.path().chars().collect();
        let shown = (rest.len() / 4).min(4);
        let end: String = rest[rest.len() - shown..].iter().collect();
        format!("{}://{}/…{end}", self.0.scheme(), self.authority())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_shown_in_part() {
        let target =
            Target::parse("https://hooks.example.org:8443/services/T00/B00/abcdefgh").expect("a target");
        assert_eq!(target.hint(), "https://hooks.example.org:8443/…efgh");
        assert_eq!(format!("{target:?}"), target.hint());
        assert_eq!(
            Target::parse("https://example.org/ab").expect("a target").hint(),
            "https://example.org/…"
        );
        assert_eq!(target.authority(), "hooks.example.org:8443");
    }

    #[test]
    fn url_that_is_not_http_is_rejected() {
        for text in ["", "example.org", "ftp://example.org", "file:///etc/passwd", "https://", "mailto:a@b"] {
            assert_eq!(Target::parse(text), Err(InvalidTarget::NotHttp), "{text}");
        }
        assert_eq!(Target::parse("https://a:b@example.org"), Err(InvalidTarget::Credentials));
        assert_eq!(
            Target::parse(&format!("https://e.org/{}", "x".repeat(2048))),
            Err(InvalidTarget::TooLong)
        );
    }

    #[test]
    fn numeric_host_is_an_address() {
        for text in ["http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/"] {
            let target = Target::parse(text).expect("a target");
            assert_eq!(target.host(), Some(Host::Ipv4([127, 0, 0, 1].into())), "{text}");
        }
    }

    #[test]
    fn redirect_from_https_to_http_is_rejected() {
        let secure = Target::parse("https://example.org/a").expect("a target");
        assert_eq!(secure.redirected("/b").expect("a target").reveal(), "https://example.org/b");
        assert_eq!(secure.redirected("http://example.org/b"), None);
        assert_eq!(secure.redirected("gopher://example.org/b"), None);
        let plain = Target::parse("http://example.org/a").expect("a target");
        assert!(plain.redirected("https://example.org/b").is_some());
    }
}
