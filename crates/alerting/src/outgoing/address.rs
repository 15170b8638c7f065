//! Filter of receiver addresses, against server-side request forgery.
//!
//! Only public addresses are permitted, because a user who configures a receiver must not reach the operator's private
//! networks through this process. An operator can allow further networks. An IPv6 address that embeds an IPv4 address is
//! treated as that IPv4 address.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks that the operator allows in addition to public addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed(Vec<IpNet>);

impl Allowed {
    /// Parses networks separated by commas, such as `127.0.0.0/8,10.1.0.0/16`. The error is the first invalid network.
    pub fn parse(text: &str) -> Result<Self, String> {
        let networks = text.split(',').map(str::trim).filter(|network| !network.is_empty());
        networks
            .map(|network| {
                let single = || network.parse::<IpAddr>().map(IpNet::from);
                network.parse().or_else(|_| single()).map_err(|_| network.to_owned())
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Returns whether requests to `address` are permitted.
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.0.iter().any(|network| network.contains(&address))
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Returns whether the address is public, according to the registry of special-purpose IPv4 addresses (RFC 6890).
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        (0, ..) | (10, ..) | (127, ..) | (169, 254, _) | (192, 168, _) => true,
        (100, 64..=127, _) | (172, 16..=31, _) => true,
        // Protocol assignments, documentation, benchmarks, 6to4 relay.
        (192, 0, 0 | 2) | (198, 51, 100) | (203, 0, 113) | (198, 18..=19, _) | (192, 88, 99) => true,
        // Multicast, reserved, broadcast.
        (224.., ..) => true,
        _ => false,
    };
    !special
}

/// Returns whether the address is global unicast, is not reserved for documentation or protocols, and embeds no private
/// IPv4 address.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // NAT64 and 6to4 addresses lead to the IPv4 address that they embed.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        // Teredo and other protocol assignments, documentation.
        [0x2001, 0..0x200, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..0x1000, ..] => false,
        [0x2000..0x4000, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(allowed: &str, address: &str) -> bool {
        let allowed = Allowed::parse(allowed).expect("networks");
        allowed.permits(address.parse().expect("an address"))
    }

    #[test]
    fn only_public_addresses_are_permitted() {
        for address in ["1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "223.255.255.255"]
        {
            assert!(permitted("", address), "{address}");
        }
        for address in ["2606:4700::1111", "64:ff9b::101:101", "2002:101:101::1", "::ffff:1.1.1.1"] {
            assert!(permitted("", address), "{address}");
        }
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!permitted("", address), "{address}");
        }
        for address in [
            "::",
            "::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "3fff::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "100::1",
        ] {
            assert!(!permitted("", address), "{address}");
        }
    }

    #[test]
    fn operator_can_allow_networks() {
        assert!(permitted("127.0.0.0/8, fd00::/8", "127.0.0.1"));
        assert!(permitted("127.0.0.0/8, fd00::/8", "::ffff:127.0.0.1"));
        assert!(permitted("127.0.0.0/8, fd00::/8", "fd00::1"));
        assert!(permitted("10.0.0.7", "10.0.0.7") && !permitted("10.0.0.7", "10.0.0.8"));
        assert!(!permitted("127.0.0.0/8", "10.0.0.1"));
        assert_eq!(Allowed::parse("127.0.0.0/8,nowhere"), Err("nowhere".to_owned()));
    }
}
