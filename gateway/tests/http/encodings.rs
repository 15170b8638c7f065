//! Encoded bodies: whole, broken, and far too large once decoded.

use crate::support::{Answer, GOOD, Server, ask, post, server};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use std::io::Write;

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn bare_deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 3).expect("memory takes it")
}

type Encode = fn(&[u8]) -> Vec<u8>;

const ENCODINGS: [(&str, Encode); 5] =
    [("gzip", gzip), ("x-gzip", gzip), ("deflate", zlib), ("deflate", bare_deflate), ("zstd", zstd)];

async fn send(server: &Server, encoding: &str, body: &[u8]) -> Answer {
    ask(server, post(&format!("Content-Encoding: {encoding}\r\n"), body)).await
}

/// A good batch, made `length` bytes long by blanks at its end.
fn padded(length: usize) -> Vec<u8> {
    let mut body = GOOD.as_bytes().to_vec();
    body.resize(length, b' ');
    body
}

#[tokio::test]
async fn each_encoding_is_undone_whatever_the_case_of_its_name() {
    let server = server().await;
    for (name, encode) in ENCODINGS {
        for name in [name.to_owned(), name.to_uppercase()] {
            assert_eq!(send(&server, &name, &encode(GOOD.as_bytes())).await.summary(), "200 1", "{name}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_cut_off_anywhere_does_not_decode() {
    let server = server().await;
    for (name, encode) in ENCODINGS {
        let whole = encode(GOOD.as_bytes());
        for length in 0..whole.len() {
            let answer = send(&server, name, &whole[..length]).await;
            assert_eq!(answer.summary(), "400 invalid_json", "{name}, {length} of {} bytes", whole.len());
        }
    }
}

#[tokio::test]
async fn a_body_with_something_behind_it_does_not_decode() {
    let server = server().await;
    for (name, encode) in ENCODINGS {
        for rest in [&b"x"[..], b"\0", b"rest of something else"] {
            let body = [&encode(GOOD.as_bytes()), rest].concat();
            assert_eq!(send(&server, name, &body).await.summary(), "400 invalid_json", "{name}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_not_what_it_says_does_not_decode() {
    let server = server().await;
    for (name, _) in ENCODINGS {
        assert_eq!(send(&server, name, GOOD.as_bytes()).await.summary(), "400 invalid_json", "{name}");
    }
    for (name, body) in [
        ("gzip", zlib(GOOD.as_bytes())),
        ("gzip", zstd(GOOD.as_bytes())),
        ("zstd", gzip(GOOD.as_bytes())),
        ("deflate", gzip(GOOD.as_bytes())),
        ("identity", gzip(GOOD.as_bytes())),
    ] {
        assert_eq!(send(&server, name, &body).await.summary(), "400 invalid_json", "{name}");
    }
}

#[tokio::test]
async fn a_wrong_checksum_does_not_decode() {
    let server = server().await;
    let mut body = gzip(GOOD.as_bytes());
    let at = body.len() - 6;
    body[at] ^= 1;
    assert_eq!(send(&server, "gzip", &body).await.summary(), "400 invalid_json");
    let mut body = zlib(GOOD.as_bytes());
    let at = body.len() - 1;
    body[at] ^= 1;
    assert_eq!(send(&server, "deflate", &body).await.summary(), "400 invalid_json");
}

#[tokio::test]
async fn several_members_are_one_body() {
    let server = server().await;
    let (first, second) = GOOD.as_bytes().split_at(20);
    for (name, encode) in [("gzip", gzip as Encode), ("zstd", zstd)] {
        let body = [encode(first), encode(second)].concat();
        assert_eq!(send(&server, name, &body).await.summary(), "200 1", "{name}");
    }
}

#[tokio::test]
async fn four_mebibytes_decoded_are_taken_and_one_byte_more_is_not() {
    let server = server().await;
    for (name, encode) in ENCODINGS {
        let largest = send(&server, name, &encode(&padded(4 << 20))).await;
        assert_eq!(largest.summary(), "200 1", "{name}");
        let larger = send(&server, name, &encode(&padded((4 << 20) + 1))).await;
        assert_eq!(larger.summary(), "413 body_too_large", "{name}");
    }
}

#[tokio::test]
async fn a_bomb_is_refused() {
    let server = server().await;
    for (name, encode) in ENCODINGS {
        let bomb = encode(&padded(64 << 20));
        assert!(bomb.len() <= 1 << 20);
        assert_eq!(send(&server, name, &bomb).await.summary(), "413 body_too_large", "{name}");
    }
}

#[tokio::test]
async fn one_mebibyte_on_the_wire_is_taken_and_one_byte_more_is_not() {
    let server = server().await;
    assert_eq!(ask(&server, post("", padded(1 << 20))).await.summary(), "200 1");
    assert_eq!(ask(&server, post("", padded((1 << 20) + 1))).await.summary(), "413 body_too_large");
}

#[tokio::test]
async fn a_zstd_frame_that_asks_for_a_huge_window_does_not_decode() {
    let server = server().await;
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).expect("the level is known");
    encoder.window_log(27).expect("the window is allowed");
    encoder.write_all(GOOD.as_bytes()).expect("memory takes it");
    let body = encoder.finish().expect("memory takes it");
    assert_eq!(send(&server, "zstd", &body).await.summary(), "400 invalid_json");
}

#[tokio::test]
async fn the_hash_is_that_of_the_decoded_bytes() {
    use sha2::{Digest, Sha256};
    let server = server().await;
    for (number, (name, encode)) in ENCODINGS.into_iter().enumerate() {
        let headers = format!("Content-Encoding: {name}\r\nIdempotency-Key: k-{number}\r\n");
        assert_eq!(ask(&server, post(&headers, encode(GOOD.as_bytes()))).await.summary(), "200 1");
    }
    let records = server.kafka.records.lock().expect("no test panics while holding it");
    assert_eq!(records.len(), ENCODINGS.len());
    for (key, batch) in records.iter() {
        assert!(batch.idempotency_key.starts_with("k-"));
        assert_eq!(key.as_deref(), Some(batch.idempotency_key.as_str()));
        assert_eq!(batch.body_hash, Sha256::digest(GOOD.as_bytes()).to_vec());
    }
}
