//! Which address a request really comes from, where proxies pass it on.

use hyper::HeaderMap;
use hyper::header::HeaderName;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The networks of proxies whose word about their clients is believed. None by default: whoever is not one of them could
/// name any address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl FromStr for TrustedProxies {
    type Err = ipnet::AddrParseError;

    /// Networks, or single addresses, with commas between them.
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
    /// The client of a request that came from `peer`: `peer` itself, or, if that is a trusted proxy, the right-most
    /// address of `X-Forwarded-For` that is none. What stands left of it, or left of what is no address, is hearsay.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if self.0.is_empty() || !self.trusts(client) {
            return client;
        }
        let values = headers.get_all(FORWARDED_FOR).iter().rev();
        let named = values.flat_map(|value| value.to_str().unwrap_or("?").rsplit(','));
        for text in named {
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

/// An address, with or without a port.
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
    fn without_trusted_proxies_nobody_is_believed() {
        assert_eq!(client("", "192.0.2.9", &["203.0.113.5"]), "192.0.2.9");
        assert_eq!(client("10.0.0.0/8", "192.0.2.9", &["203.0.113.5"]), "192.0.2.9");
    }

    #[test]
    fn behind_trusted_proxies_the_right_most_other_address_counts() {
        let trusted = "10.0.0.0/8, fd00::/8, 192.0.2.9";
        assert_eq!(client(trusted, "10.0.0.1", &["203.0.113.5"]), "203.0.113.5");
        assert_eq!(client(trusted, "10.0.0.1", &["198.51.100.7, 203.0.113.5, 10.1.2.3"]), "203.0.113.5");
        assert_eq!(client(trusted, "10.0.0.1", &["198.51.100.7", "203.0.113.5", "192.0.2.9"]), "203.0.113.5");
        assert_eq!(client(trusted, "fd00::1", &["[2001:db8::5]:443"]), "2001:db8::5");
        assert_eq!(client(trusted, "::ffff:10.0.0.1", &["203.0.113.5:1234"]), "203.0.113.5");
    }

    #[test]
    fn what_is_no_address_ends_the_search() {
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["203.0.113.5, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &[""]), "10.0.0.1");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in ["10.0.0.0/33", "proxy.example.org", "10.0.0.0/8,x"] {
            assert!(wrong.parse::<TrustedProxies>().is_err(), "{wrong}");
        }
        assert_eq!(" ".parse(), Ok(TrustedProxies::default()));
    }
}
