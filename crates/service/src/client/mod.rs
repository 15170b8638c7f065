//! Who sends a request: the client's address, and the keyed hash by which it is remembered.
//!
//! Addresses themselves are never stored. What is stored is 64 bits of HMAC-SHA-256 under a key that only the operator
//! has: equal for equal addresses, and telling nothing to one who has the table alone.

mod proxies;

pub use proxies::TrustedProxies;

use crate::settings::Faults;
use hmac::{Hmac, KeyInit, Mac};
use hyper::HeaderMap;
use sha2::Sha256;
use std::net::{IpAddr, Ipv6Addr};

/// The fewest characters of a key for hashes.
const LEAST_KEY: usize = 16;

/// A client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// The keyed hash of its address; never 0.
    pub hash: u64,
}

/// Tells clients apart.
#[derive(Clone)]
pub struct Clients {
    proxies: TrustedProxies,
    keyed: Hmac<Sha256>,
}

impl Clients {
    /// Behind `proxies`, with hashes under `key`; without one under a key of this process's own.
    pub fn new(proxies: TrustedProxies, key: Option<&str>) -> Self {
        let random = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat();
        let key = key.map_or(random.as_slice(), str::as_bytes);
        // A MAC of this kind takes keys of any length.
        let keyed = Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
        Self { proxies, keyed }
    }

    /// The other end of a connection; once for all requests that come over it.
    pub fn peer(&self, address: IpAddr) -> Client {
        let address = address.to_canonical();
        Client { address, hash: self.hash(address) }
    }

    /// The client that sent a request with `headers` over the connection of `peer`.
    pub fn of(&self, peer: Client, headers: &HeaderMap) -> Client {
        let address = self.proxies.client(peer.address, headers);
        if address == peer.address { peer } else { Client { address, hash: self.hash(address) } }
    }

    fn hash(&self, address: IpAddr) -> u64 {
        let mut keyed = self.keyed.clone();
        match address {
            IpAddr::V4(address) => keyed.update(&address.octets()),
            IpAddr::V6(address) => keyed.update(&address.octets()),
        }
        let digest = keyed.finalize().into_bytes();
        digest.iter().take(8).fold(0, |hash, &byte| hash << 8 | u64::from(byte)).max(1)
    }
}

/// What one client holds in all likelihood: an IPv4 address, or the /64 of an IPv6 address.
pub fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

impl Faults {
    /// The key for hashes of addresses, if one is set: at least 16 characters. A wrong one is not repeated.
    pub fn address_hash_key(&mut self, text: Option<&str>) -> Option<String> {
        let key = text.map(str::trim).filter(|key| !key.is_empty())?;
        self.check(key.len() >= LEAST_KEY, "--address-hash-key", "must have at least 16 characters");
        Some(key.to_owned())
    }

    /// Proxies, as networks.
    pub fn trusted_proxies(&mut self, text: &str) -> TrustedProxies {
        let expected = "a list of networks such as 10.0.0.0/8,fd00::/8";
        self.parse("--trusted-proxies", text, expected, TrustedProxies::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn equal_addresses_have_equal_hashes_under_one_key_only() {
        let clients = |key| Clients::new(TrustedProxies::default(), key);
        let hash = |key, text| clients(key).peer(address(text)).hash;
        let (one, other) = (Some("the key of one installation"), Some("the key of another one"));
        assert_eq!(hash(one, "192.0.2.1"), hash(one, "192.0.2.1"));
        assert_eq!(
            hash(one, "192.0.2.1"),
            hash(one, "::ffff:192.0.2.1"),
            "one client, whatever the socket is"
        );
        assert_ne!(hash(one, "192.0.2.1"), hash(one, "192.0.2.2"));
        assert_ne!(hash(one, "192.0.2.1"), hash(other, "192.0.2.1"));
        assert_ne!(hash(None, "192.0.2.1"), hash(None, "192.0.2.1"), "each process has a key of its own");
    }

    #[test]
    fn the_hash_is_the_head_of_the_hmac() {
        // HMAC-SHA-256 of the four bytes 192, 0, 2, 1, as another implementation has it.
        let clients = Clients::new(TrustedProxies::default(), Some("0123456789abcdef"));
        assert_eq!(clients.peer(address("192.0.2.1")).hash, 0x0400ee4de38e1234);
    }

    #[test]
    fn an_ipv6_client_has_its_whole_64() {
        assert_eq!(neighbourhood(address("2001:db8::1:2:3:4")), neighbourhood(address("2001:db8::ffff")));
        assert_ne!(neighbourhood(address("2001:db8::1")), neighbourhood(address("2001:db8:0:1::1")));
        assert_ne!(neighbourhood(address("192.0.2.1")), neighbourhood(address("192.0.2.2")));
        assert_eq!(neighbourhood(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }

    #[test]
    fn a_short_key_is_refused_and_not_repeated() {
        let mut faults = Faults::default();
        assert_eq!(faults.address_hash_key(Some("")), None);
        assert_eq!(faults.address_hash_key(Some("0123456789abcdef")).as_deref(), Some("0123456789abcdef"));
        faults.address_hash_key(Some("shortsecret"));
        let message = faults.into_result(()).expect_err("it is too short").to_string();
        assert!(message.contains("--address-hash-key") && !message.contains("shortsecret"), "{message}");
    }
}
