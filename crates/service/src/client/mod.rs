//! Identification of clients: the address that a request comes from, and its keyed hash.
//!
//! Addresses themselves are never stored. Only the first 64 bits of an HMAC-SHA-256 are, under a key that
//! only the operator has. Equal addresses have equal hashes, and the table alone reveals nothing about them.

mod proxies;

pub use proxies::TrustedProxies;

use crate::faults::Faults;
use hmac::{Hmac, KeyInit, Mac};
use hyper::HeaderMap;
use sha2::Sha256;
use std::net::{IpAddr, Ipv6Addr};

/// Minimum length of the hash key in bytes.
const MIN_KEY_LENGTH: usize = 16;

/// A client that sends requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// The client's address.
    pub address: IpAddr,
    /// Keyed hash of the address; never 0.
    pub hash: u64,
}

/// Identifies the clients of requests.
#[derive(Clone)]
pub struct Clients {
    proxies: TrustedProxies,
    keyed: Hmac<Sha256>,
}

impl Clients {
    /// Identifies clients behind `proxies`, with hashes under `key`. Without a key, the process generates a
    /// random one.
    pub fn new(proxies: TrustedProxies, key: Option<&str>) -> Self {
        let random = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat();
        let key = key.map_or(random.as_slice(), str::as_bytes);
        // An HMAC accepts keys of any length, so the fallback is never used.
        let keyed = Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
        Self { proxies, keyed }
    }

    /// Returns the peer of a connection as a client. Compute it once per connection.
    pub fn peer(&self, address: IpAddr) -> Client {
        let address = address.to_canonical();
        Client { address, hash: self.hash(address) }
    }

    /// Returns the client that sent a request with `headers` over a connection of `peer`.
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

/// Returns the network that one client controls in all likelihood: the IPv4 address, or the /64 prefix of an
/// IPv6 address.
pub fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

impl Faults {
    /// Validates the key for address hashes, if it is set: at least 16 bytes. The message does not repeat the
    /// key.
    pub fn address_hash_key(&mut self, text: Option<&str>) -> Option<String> {
        let key = text.map(str::trim).filter(|key| !key.is_empty())?;
        self.check(key.len() >= MIN_KEY_LENGTH, "--address-hash-key", "must have at least 16 characters");
        Some(key.to_owned())
    }

    /// Parses the networks of trusted proxies.
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
    fn equal_addresses_have_equal_hashes_under_one_key() {
        let clients = |key| Clients::new(TrustedProxies::default(), key);
        let hash = |key, text| clients(key).peer(address(text)).hash;
        let (one, other) = (Some("the key of one installation"), Some("the key of another one"));
        assert_eq!(hash(one, "192.0.2.1"), hash(one, "192.0.2.1"));
        assert_eq!(
            hash(one, "192.0.2.1"),
            hash(one, "::ffff:192.0.2.1"),
            "an IPv4-mapped address is the same client"
        );
        assert_ne!(hash(one, "192.0.2.1"), hash(one, "192.0.2.2"));
        assert_ne!(hash(one, "192.0.2.1"), hash(other, "192.0.2.1"));
        assert_ne!(hash(None, "192.0.2.1"), hash(None, "192.0.2.1"), "each process generates its own key");
    }

    #[test]
    fn hash_is_the_first_64_bits_of_the_hmac() {
        // HMAC-SHA-256 of the four bytes 192, 0, 2, 1, computed by another implementation.
        let clients = Clients::new(TrustedProxies::default(), Some("0123456789abcdef"));
        assert_eq!(clients.peer(address("192.0.2.1")).hash, 0x0400ee4de38e1234);
    }

    #[test]
    fn ipv6_addresses_of_one_64_prefix_are_one_network() {
        assert_eq!(client_network(address("2001:db8::1:2:3:4")), client_network(address("2001:db8::ffff")));
        assert_ne!(client_network(address("2001:db8::1")), client_network(address("2001:db8:0:1::1")));
        assert_ne!(client_network(address("192.0.2.1")), client_network(address("192.0.2.2")));
        assert_eq!(client_network(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }

    #[test]
    fn short_key_is_rejected_and_not_repeated() {
        let mut faults = Faults::default();
        assert_eq!(faults.address_hash_key(Some("")), None);
        assert_eq!(faults.address_hash_key(Some("0123456789abcdef")).as_deref(), Some("0123456789abcdef"));
        faults.address_hash_key(Some("shortsecret"));
        let message = faults.into_result(()).expect_err("it is too short").to_string();
        assert!(message.contains("--address-hash-key") && !message.contains("shortsecret"), "{message}");
    }
}
