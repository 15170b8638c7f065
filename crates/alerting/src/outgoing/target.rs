//! Where a request goes: a URL that a client gave, read once.

use std::fmt;
use url::{Host, Url};

/// The longest URL that we take.
pub const LONGEST: usize = 2048;

/// Why a text is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotATarget {
    /// It is not a URL, or not one of HTTP.
    #[error("must be a URL that begins with https:// or http://")]
    NotHttp,
    /// It has a user or a password.
    #[error("must not have a user or a password")]
    Credentials,
    /// It is too long.
    #[error("must be at most 2048 characters")]
    TooLong,
}

/// A URL of HTTP with a host, without user and fragment. A secret: whoever knows it may post.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(Url);

impl Target {
    /// Reads `text`.
    pub fn parse(text: &str) -> Result<Self, NotATarget> {
        if text.len() > LONGEST {
            return Err(NotATarget::TooLong);
        }
        Self::of(Url::parse(text.trim()).map_err(|_| NotATarget::NotHttp)?)
    }

    fn of(mut url: Url) -> Result<Self, NotATarget> {
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(NotATarget::NotHttp);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NotATarget::Credentials);
        }
        url.set_fragment(None);
        Ok(Self(url))
    }

    /// Where a redirect to `location` leads. From TLS it never leads out of TLS.
    pub fn redirected(&self, location: &str) -> Option<Self> {
        let next = Self::of(self.0.join(location).ok()?).ok()?;
        (next.secure() || !self.secure()).then_some(next)
    }

    /// Whether it is reached over TLS.
    pub fn secure(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The host as it is named.
    pub fn host(&self) -> Option<Host<&str>> {
        self.0.host()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(443)
    }

    /// The header `Host`.
    pub fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Path and query.
    pub fn path(&self) -> String {
        let query = self.0.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", self.0.path())
    }

    /// The whole URL, for the one place that keeps it.
    pub fn reveal(&self) -> &str {
        self.0.as_str()
    }

    /// Enough for a person to tell it from others, too little to post with: scheme, host, and up to four last characters.
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
    fn a_target_is_shown_in_part() {
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
    fn what_is_no_url_of_http_is_refused() {
        for text in ["", "example.org", "ftp://example.org", "file:///etc/passwd", "https://", "mailto:a@b"] {
            assert_eq!(Target::parse(text), Err(NotATarget::NotHttp), "{text}");
        }
        assert_eq!(Target::parse("https://a:b@example.org"), Err(NotATarget::Credentials));
        assert_eq!(Target::parse(&format!("https://e.org/{}", "x".repeat(2048))), Err(NotATarget::TooLong));
    }

    #[test]
    fn numbers_that_stand_for_an_address_are_one() {
        for text in ["http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/"] {
            let target = Target::parse(text).expect("a target");
            assert_eq!(target.host(), Some(Host::Ipv4([127, 0, 0, 1].into())), "{text}");
        }
    }

    #[test]
    fn a_redirect_never_leads_out_of_tls() {
        let secure = Target::parse("https://example.org/a").expect("a target");
        assert_eq!(secure.redirected("/b").expect("it may").reveal(), "https://example.org/b");
        assert_eq!(secure.redirected("http://example.org/b"), None);
        assert_eq!(secure.redirected("gopher://example.org/b"), None);
        let plain = Target::parse("http://example.org/a").expect("a target");
        assert!(plain.redirected("https://example.org/b").is_some());
    }
}
