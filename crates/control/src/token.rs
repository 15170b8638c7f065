//! Format of tokens and ids, and hashing of secrets.
//!
//! A token is `tm_<public id>_<secret>`. The public id identifies the key. The secret has 256 random bits, so its
//! plain SHA-256 is stored: a slow hash only protects secrets that can be guessed.

use rand::RngExt;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^16 ≈ 2^95: collisions are negligible.
const ID_LENGTH: usize = 16;
/// 62^43 > 2^256.
const SECRET_LENGTH: usize = 43;

/// A new token: shown once, never stored, never logged.
pub struct Token {
    key_id: String,
    secret: String,
}

impl Token {
    /// Generates a random token.
    pub fn generate() -> Self {
        Self { key_id: random(ID_LENGTH), secret: random(SECRET_LENGTH) }
    }

    /// Returns the public id.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Returns the SHA-256 of the secret, which is stored.
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.secret)
    }

    /// Returns the last four characters, by which users tell keys apart.
    pub fn hint(&self) -> String {
        format!("…{}", &self.secret[SECRET_LENGTH - 4..])
    }

    /// Returns the whole token, for the one response that shows it.
    pub fn reveal(&self) -> String {
        format!("tm_{}_{}", self.key_id, self.secret)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, secret hidden)", self.key_id)
    }
}

/// Splits a token into public id and secret. None if the format is wrong.
pub fn parse(token: &str) -> Option<(&str, &str)> {
    let (key_id, secret) = token.strip_prefix("tm_")?.split_once('_')?;
    let well_formed =
        |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_alphanumeric());
    (well_formed(key_id, ID_LENGTH) && well_formed(secret, SECRET_LENGTH)).then_some((key_id, secret))
}

/// Returns the SHA-256 of a secret.
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Returns whether `stored` is the hash of `secret`. Compares in constant time.
pub fn matches(secret: &str, stored: &[u8]) -> bool {
    hash(secret).as_slice().ct_eq(stored).into()
}

/// Generates an id such as `prj_4fQ…`.
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
    fn token_is_parsed_back_and_only_its_secret_matches() {
        let (token, other) = (Token::generate(), Token::generate());
        let text = token.reveal();
        let (key_id, secret) = parse(&text).expect("a well-formed token");
        assert_eq!(key_id, token.key_id());
        assert!(matches(secret, &token.hash()));
        assert!(!matches(secret, &other.hash()));
        assert!(!matches(secret, &[]));
    }

    #[test]
    fn malformed_tokens_are_not_parsed() {
        let text = Token::generate().reveal();
        for wrong in ["", "tm_", "tm__", "tm_a_b", &text[..text.len() - 1], &text[1..], &format!("{text}x")] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn debug_output_does_not_contain_the_secret() {
        let token = Token::generate();
        assert!(!format!("{token:?}").contains(&token.secret));
    }
}
