//! Encoded bodies: complete, damaged, and too large after decoding.

use crate::support::{Answer, Server, VALID_BATCH, ask, lock, post, server};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use std::io::Write;

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

fn raw_deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 3).expect("writing to memory")
}

type Encode = fn(&[u8]) -> Vec<u8>;

const ENCODINGS: [(&str, Encode); 5] =
    [("gzip", gzip), ("x-gzip", gzip), ("deflate", zlib), ("deflate", raw_deflate), ("zstd", zstd)];

async fn send(server: &Server, encoding: &str, body: &[u8]) -> Answer {
    ask(server, post(&format!("Content-Encoding: {encoding}\r\n"), body)).await
}

/// A valid batch, padded with spaces to `length` bytes.
fn padded(length: usize) -> Vec<u8> {
    let mut body = VALID_BATCH.as_bytes().to_vec();
    body.resize(length, b' ');
    body
}

#[tokio::test]
async fn encodings_are_decoded_case_insensitively() {
    let server = server().await;
    for (name, encode) in ENCODINGS {
        for name in [name.to_owned(), name.to_uppercase()] {
            assert_eq!(
                send(&server, &name, &encode(VALID_BATCH.as_bytes())).await.summary(),
                "200 1",
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn truncated_bodies_do_not_decode() {
    let server = server().await;
    for (name, encode) in ENCODINGS {
        let whole = encode(VALID_BATCH.as_bytes());
        for length in 0..whole.len() {
            let answer = send(&server, name, &whole[..length]).await;
            assert_eq!(answer.summary(), "400 invalid_json", "{name}, {length} of {} bytes", whole.len());
        }
    }
}

#[tokio::test]
async fn trailing_bytes_do_not_decode() {
    let server = server().await;
    for (name, encode) in ENCODINGS {
        for rest in [&b"x"[..], b"\0", b"rest of something else"] {
            let body = [&encode(VALID_BATCH.as_bytes()), rest].concat();
            assert_eq!(send(&server, name, &body).await.summary(), "400 invalid_json", "{name}");
        }
    }
}

#[tokio::test]
async fn bodies_with_the_wrong_encoding_do_not_decode() {
    let server = server().await;
    for (name, _) in ENCODINGS {
        assert_eq!(send(&server, name, VALID_BATCH.as_bytes()).await.summary(), "400 invalid_json", "{name}");
    }
    for (name, body) in [
        ("gzip", zlib(VALID_BATCH.as_bytes())),
        ("gzip", zstd(VALID_BATCH.as_bytes())),
        ("zstd", gzip(VALID_BATCH.as_bytes())),
        ("deflate", gzip(VALID_BATCH.as_bytes())),
        ("identity", gzip(VALID_BATCH.as_bytes())),
    ] {
        assert_eq!(send(&server, name, &body).await.summary(), "400 invalid_json", "{name}");
    }
}

#[tokio::test]
async fn wrong_checksums_do_not_decode() {
    let server = server().await;
    let mut body = gzip(VALID_BATCH.as_bytes());
    let at = body.len() - 6;
    body[at] ^= 1;
    assert_eq!(send(&server, "gzip", &body).await.summary(), "400 invalid_json");
    let mut body = zlib(VALID_BATCH.as_bytes());
    let at = body.len() - 1;
    body[at] ^= 1;
    assert_eq!(send(&server, "deflate", &body).await.summary(), "400 invalid_json");
}

#[tokio::test]
async fn multiple_members_form_one_body() {
    let server = server().await;
    let (first, second) = VALID_BATCH.as_bytes().split_at(20);
    for (name, encode) in [("gzip", gzip as Encode), ("zstd", zstd)] {
        let body = [encode(first), encode(second)].concat();
        assert_eq!(send(&server, name, &body).await.summary(), "200 1", "{name}");
    }
}

#[tokio::test]
async fn decoded_bodies_are_limited_to_4_mib() {
    let server = server().await;
    for (name, encode) in ENCODINGS {
        let largest = send(&server, name, &encode(&padded(4 << 20))).await;
        assert_eq!(largest.summary(), "200 1", "{name}");
        let larger = send(&server, name, &encode(&padded((4 << 20) + 1))).await;
        assert_eq!(larger.summary(), "413 body_too_large", "{name}");
    }
}

#[tokio::test]
async fn decompression_bombs_are_rejected() {
    let server = server().await;
    for (name, encode) in ENCODINGS {
        let bomb = encode(&padded(64 << 20));
        assert!(bomb.len() <= 1 << 20);
        assert_eq!(send(&server, name, &bomb).await.summary(), "413 body_too_large", "{name}");
    }
}

#[tokio::test]
async fn bodies_are_limited_to_1_mib_on_the_wire() {
    let server = server().await;
    assert_eq!(ask(&server, post("", padded(1 << 20))).await.summary(), "200 1");
    assert_eq!(ask(&server, post("", padded((1 << 20) + 1))).await.summary(), "413 body_too_large");
}

#[tokio::test]
async fn zstd_frames_with_a_huge_window_do_not_decode() {
    let server = server().await;
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).expect("a valid level");
    encoder.window_log(27).expect("a valid window");
    encoder.write_all(VALID_BATCH.as_bytes()).expect("writing to memory");
    let body = encoder.finish().expect("writing to memory");
    assert_eq!(send(&server, "zstd", &body).await.summary(), "400 invalid_json");
}

#[tokio::test]
async fn body_hash_covers_the_decoded_bytes() {
    use sha2::{Digest, Sha256};
    let server = server().await;
    for (number, (name, encode)) in ENCODINGS.into_iter().enumerate() {
        let headers = format!("Content-Encoding: {name}\r\nIdempotency-Key: k-{number}\r\n");
        assert_eq!(ask(&server, post(&headers, encode(VALID_BATCH.as_bytes()))).await.summary(), "200 1");
    }
    let records = lock(&server.kafka.records);
    assert_eq!(records.len(), ENCODINGS.len());
    for (key, batch) in records.iter() {
        assert!(batch.idempotency_key.starts_with("k-"));
        assert_eq!(key.as_deref(), Some(batch.idempotency_key.as_str()));
        assert_eq!(batch.body_hash, Sha256::digest(VALID_BATCH.as_bytes()).to_vec());
    }
}
