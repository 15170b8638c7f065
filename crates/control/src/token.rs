//! Tokens and ids: how they look and how a secret is kept.
//!
//! A token is `tm_<public id>_<secret>`. The public id finds the key; the secret is 256 random bits, so a plain SHA-256
//! of it is all that needs to be stored: there is nothing to guess that a slow hash would protect.

use rand::RngExt;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^16 ≈ 2^95: never the same twice.
const ID_LENGTH: usize = 16;
/// 62^43 > 2^256.
const SECRET_LENGTH: usize = 43;

/// A fresh token: shown once, never stored, never printed.
pub struct Token {
    key_id: String,
    secret: String,
}

impl Token {
    /// A token that was never there before.
    pub fn generate() -> Self {
        Self { key_id: random(ID_LENGTH), secret: random(SECRET_LENGTH) }
    }

    /// The public part.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// What is stored of the secret.
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.secret)
    }

    /// The last four characters, by which people tell keys apart.
    pub fn hint(&self) -> String {
        format!("…{}", &self.secret[SECRET_LENGTH - 4..])
    }

    /// The whole token, for the one answer that shows it.
    pub fn reveal(&self) -> String {
        format!("tm_{}_{}", self.key_id, self.secret)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, secret hidden)", self.key_id)
    }
}

/// The public id and the secret of what looks like a token of ours.
pub fn parse(token: &str) -> Option<(&str, &str)> {
    let (key_id, secret) = token.strip_prefix("tm_")?.split_once('_')?;
    let fits = |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_alphanumeric());
    (fits(key_id, ID_LENGTH) && fits(secret, SECRET_LENGTH)).then_some((key_id, secret))
}

/// SHA-256 of a secret.
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Whether `secret` is the one that `stored` is the hash of, in constant time.
pub fn matches(secret: &str, stored: &[u8]) -> bool {
    hash(secret).as_slice().ct_eq(stored).into()
}

/// A fresh id such as `prj_4fQ…`.
pub fn id(prefix: &str) -> String {
    format!("{prefix}_{}", random(ID_LENGTH))
}

fn random(length: usize) -> String {
    let mut rng = rand::rng();
    (0..length).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_only_its_own_secret_matches() {
        let (token, other) = (Token::generate(), Token::generate());
        let text = token.reveal();
        let (key_id, secret) = parse(&text).expect("it is a token");
        assert_eq!(key_id, token.key_id());
        assert!(matches(secret, &token.hash()));
        assert!(!matches(secret, &other.hash()));
        assert!(!matches(secret, &[]));
    }

    #[test]
    fn what_is_no_token_is_not_read_as_one() {
        let text = Token::generate().reveal();
        for wrong in ["", "tm_", "tm__", "tm_a_b", &text[..text.len() - 1], &text[1..], &format!("{text}x")] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_does_not_print_its_secret() {
        let token = Token::generate();
        assert!(!format!("{token:?}").contains(&token.secret));
    }
}
