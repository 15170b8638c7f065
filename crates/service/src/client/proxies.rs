//! Determines the client's address of a request that proxies forwarded.

use hyper::HeaderMap;
use hyper::header::HeaderName;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Networks of the proxies whose `X-Forwarded-For` header is trusted. None by default, because any other
/// client could put any address into the header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl FromStr for TrustedProxies {
    type Err = ipnet::AddrParseError;

    /// Parses networks or single addresses, separated by commas.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let network = |part: &str| match part.parse::<IpAddr>() {
            Ok(address) => Ok(IpNet::from(address)),
            Err(_) => part.parse(),
        };
        parts.map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl TrustedProxies {
    /// Returns the client of a request from `peer`: `peer` itself or, if that is a trusted proxy, the
    /// right-most address in `X-Forwarded-For` that is not a trusted proxy. Everything to the left of that
    /// address, or of text that is not an address, may be forged and is ignored.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if self.0.is_empty() || !self.trusts(client) {
            return client;
        }
        let values = headers.get_all(FORWARDED_FOR).iter().rev();
        let forwarded = values.flat_map(|value| value.to_str().unwrap_or("?").rsplit(','));
        for text in forwarded {
            let Some(address) = address(text.trim()) else { break };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Parses an address with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let plain = || text.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    plain().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn client(trusted: &str, peer: &str, forwarded: &[&'static str]) -> String {
        let proxies: TrustedProxies = trusted.parse().expect("networks");
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
        }
        proxies.client(peer.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn header_is_ignored_without_a_trusted_proxy() {
        assert_eq!(client("", "192.0.2.9", &["203.0.113.5"]), "192.0.2.9");
        assert_eq!(client("10.0.0.0/8", "192.0.2.9", &["203.0.113.5"]), "192.0.2.9");
    }

    #[test]
    fn rightmost_untrusted_address_is_the_client() {
        let trusted = "10.0.0.0/8, fd00::/8, 192.0.2.9";
        assert_eq!(client(trusted, "10.0.0.1", &["203.0.113.5"]), "203.0.113.5");
        assert_eq!(client(trusted, "10.0.0.1", &["198.51.100.7, 203.0.113.5, 10.1.2.3"]), "203.0.113.5");
        assert_eq!(client(trusted, "10.0.0.1", &["198.51.100.7", "203.0.113.5", "192.0.2.9"]), "203.0.113.5");
        assert_eq!(client(trusted, "fd00::1", &["[2001:db8::5]:443"]), "2001:db8::5");
        assert_eq!(client(trusted, "::ffff:10.0.0.1", &["203.0.113.5:1234"]), "203.0.113.5");
    }

    #[test]
    fn invalid_address_ends_the_search() {
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["203.0.113.5, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &[""]), "10.0.0.1");
    }

    #[test]
    fn invalid_network_is_rejected() {
        for invalid in ["10.0.0.0/33", "proxy.example.org", "10.0.0.0/8,x"] {
            assert!(invalid.parse::<TrustedProxies>().is_err(), "{invalid}");
        }
        assert_eq!(" ".parse(), Ok(TrustedProxies::default()));
    }
}
