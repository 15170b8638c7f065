//! Malformed and hostile requests, each with the exact status of its answer, and with its code where the HTTP
//! is valid.
//!
//! A request that can be read in two ways allows request smuggling: a proxy in front of the gateway may read
//! it the other way and take the rest for the next request. The gateway must reject such a request, or read
//! it as the standard says, by its chunks alone.

use crate::support::{Connection, PATH, VALID_BATCH, ask, lock, post, server, server_with};
use gateway::request::body::BodyTimeouts;
use std::time::Duration;

const HOST_AND_KEY: &str = "Host: test\r\nAuthorization: Bearer good\r\n";

/// Sends `request` and returns all answers until the server closes the connection: `200 1` for an answer with
/// a body, `400` for one without.
async fn answers(request: &[u8]) -> Vec<String> {
    let server = server().await;
    let mut connection = Connection::to(&server).await;
    connection.write(request).await;
    connection.try_close_sending_side().await;
    let mut answers = Vec::new();
    while let Some(answer) = connection.try_read(true).await {
        answers.push(if answer.body.is_empty() { answer.status.to_string() } else { answer.summary() });
    }
    // The server keeps serving other clients.
    assert_eq!(ask(&server, post("", VALID_BATCH)).await.summary(), "200 1");
    answers
}

fn head(line: &str, headers: &str) -> String {
    format!("{line}\r\n{HOST_AND_KEY}{headers}\r\n")
}

fn post_head(headers: &str) -> String {
    head(&format!("POST {PATH} HTTP/1.1"), headers)
}

fn chunked(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n0\r\n\r\n", data.len())
}

#[tokio::test]
async fn malformed_request_lines_get_a_bare_400() {
    for line in [
        "GET",
        "GET /",
        "POST  HTTP/1.1",
        "POST /api/webhooks/custom",
        "POST /api/webhooks/custom HTTP",
        "POST /api/webhooks/custom HTTP/1",
        "POST /api/webhooks/custom HTTP/1.2",
        "POST /api/webhooks/custom HTTP/2.0",
        "POST /api/webhooks/custom HTTP/3",
        "POST /api/webhooks/custom HTTP/0.9",
        "POST /api/webhooks/custom http/1.1",
        "POST /api/webhooks/custom FTP/1.1",
        "POST /api/webhooks/custom HTTP/1.1 x",
        "POST /api webhooks/custom HTTP/1.1",
        "POST\t/api/webhooks/custom HTTP/1.1",
        "PO(ST /api/webhooks/custom HTTP/1.1",
        "P\0ST /api/webhooks/custom HTTP/1.1",
        " POST /api/webhooks/custom HTTP/1.1",
        "POST api/webhooks/custom HTTP/1.1",
        "POST http:///api HTTP/1.1",
        "{\"projectId\":\"prj_a\"}",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}",
        "PRI * HTTP/2.0",
    ] {
        assert_eq!(answers(head(line, "").as_bytes()).await, ["400"], "{line:?}");
    }
}

#[tokio::test]
async fn malformed_headers_get_a_bare_400() {
    for header in [
        "X",
        ": x",
        "X y: z",
        "X : y",
        "X\t: y",
        "X\0: y",
        "X: a\0b",
        "X: a\rb",
        "X: a\u{7f}b",
        "X: a\u{1}b",
        "X: a\r\n folded",
        "X: a\r\n\tfolded",
        " X: leading",
        "Sch\u{f6}n: y",
        "{}: y",
        "X@: y",
    ] {
        let request =
            post_head(&format!("{header}\r\nContent-Length: {}\r\n", VALID_BATCH.len())) + VALID_BATCH;
        assert_eq!(answers(request.as_bytes()).await, ["400"], "{header:?}");
    }
}

#[tokio::test]
async fn malformed_content_lengths_get_a_bare_400() {
    for length in [
        "-1",
        "+5",
        "0x5",
        "5a",
        "5.0",
        "1e1",
        "5 5",
        "5,6",
        "5, 5",
        "five",
        "\u{665}",
        "18446744073709551616",
        "99999999999999999999999999",
        "5\r\nContent-Length: 6",
    ] {
        let request = post_head(&format!("Content-Length: {length}\r\n")) + VALID_BATCH;
        assert_eq!(answers(request.as_bytes()).await, ["400"], "{length:?}");
    }
}

#[tokio::test]
async fn unsupported_transfer_encodings_get_a_bare_400() {
    for encoding in [
        "gzip",
        "identity",
        "chunked, gzip",
        "chunked, identity",
        "xchunked",
        "chunkedx",
        "chunked;q=1",
        "\"chunked\"",
        "chunked\r\nTransfer-Encoding: identity",
        "\u{b}chunked",
    ] {
        let request = post_head(&format!("Transfer-Encoding: {encoding}\r\n")) + &chunked(VALID_BATCH);
        assert_eq!(answers(request.as_bytes()).await, ["400"], "{encoding:?}");
    }
}

#[tokio::test]
async fn malformed_chunks_store_nothing() {
    for body in [
        "zz\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "+2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        " 2\r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        "1\r\n{}\r\n0\r\n\r\n",
        "3\r\n{}\r\n0\r\n\r\n",
        "2\n{}\r\n0\r\n\r\n",
        "2\r{}\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "10000000000000000\r\n{}\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\r\n",
        "2\r\n{}",
        "2\r\n{",
        "2",
        "",
    ] {
        let request = post_head("Transfer-Encoding: chunked\r\n") + body;
        let got = answers(request.as_bytes()).await;
        assert!(got == ["400 invalid_json"] || got == ["400"] || got.is_empty(), "{body:?}: {got:?}");
    }
}

#[tokio::test]
async fn request_smuggling_is_rejected() {
    let hidden = "GET /hidden HTTP/1.1\r\nHost: test\r\n\r\n";
    // Reading by Content-Length would turn the rest of the chunks into another request.
    let both = post_head(&format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", VALID_BATCH.len()));
    let swapped =
        post_head(&format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", VALID_BATCH.len()));
    for request in [both, swapped] {
        let got = answers(format!("{request}{}{hidden}", chunked(VALID_BATCH)).as_bytes()).await;
        assert!(got == ["400"] || got == ["200 1"] || got == ["200 1", "404 not_found"], "{got:?}");
    }
    for (headers, body) in [
        ("Content-Length: 0\r\nContent-Length: 41\r\n", hidden),
        ("Content-Length: 41\r\nContent-Length: 0\r\n", hidden),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        ("X: y\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Content-Length : 41\r\n", hidden),
        ("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ] {
        let request = format!("{}{body}{hidden}", post_head(headers));
        assert_eq!(answers(request.as_bytes()).await, ["400"], "{headers:?}");
    }
}

#[tokio::test]
async fn requests_are_limited_to_100_headers() {
    let headers = |count: usize| (0..count).map(|index| format!("X-{index}: y\r\n")).collect::<String>();
    let request = |count| {
        post_head(&format!("{}Content-Length: {}\r\n", headers(count), VALID_BATCH.len())) + VALID_BATCH
    };
    // Each request has three more headers.
    assert_eq!(answers(request(97).as_bytes()).await, ["200 1"]);
    for count in [98, 1_000] {
        assert_eq!(answers(request(count).as_bytes()).await, ["431"], "{count}");
    }
}

#[tokio::test]
async fn endless_heads_are_rejected() {
    let server = server().await;
    let mut connection = Connection::to(&server).await;
    let line = format!("X: {}\r\n", "y".repeat(1_000));
    connection.write(format!("POST {PATH} HTTP/1.1\r\n{HOST_AND_KEY}")).await;
    let mut sent = 0;
    while sent < 4 << 20 && connection.try_write(&line).await {
        sent += line.len();
    }
    let answer = connection.try_read(true).await;
    assert!(answer.is_none_or(|answer| answer.status == 431));
    assert!(sent < 4 << 20, "the server read 4 MiB of head");
    assert_eq!(ask(&server, post("", VALID_BATCH)).await.summary(), "200 1");
}

#[tokio::test]
async fn half_closed_connections_get_an_answer() {
    for request in [post("", VALID_BATCH), post_head("Transfer-Encoding: chunked\r\n").into_bytes()] {
        let mut request = request;
        if !request.ends_with(VALID_BATCH.as_bytes()) {
            request.extend_from_slice(chunked(VALID_BATCH).as_bytes());
        }
        // `answers` closes its sending side before it reads.
        assert_eq!(answers(&request).await, ["200 1"]);
    }
}

#[tokio::test]
async fn disconnects_at_any_byte_store_nothing() {
    let whole = post("", VALID_BATCH);
    let server = server().await;
    for length in 0..whole.len() {
        let mut connection = Connection::to(&server).await;
        connection.write(&whole[..length]).await;
    }
    assert_eq!(ask(&server, post("", VALID_BATCH)).await.summary(), "200 1");
    let records = lock(&server.kafka.records).len();
    assert_eq!(records, 1, "only the complete request");
}

#[tokio::test]
async fn requests_sent_byte_by_byte_are_accepted() {
    let server =
        server_with(BodyTimeouts { idle: Duration::from_secs(30), total: Duration::from_secs(60) }).await;
    let mut connection = Connection::to(&server).await;
    for byte in post("", VALID_BATCH) {
        connection.write([byte]).await;
    }
    assert_eq!(connection.read().await.summary(), "200 1");
}

#[tokio::test]
async fn invalid_escapes_and_bytes_are_invalid_json() {
    let server = server().await;
    let templates: [&dyn Fn(&str) -> String; 5] = [
        &|text| format!(r#"{{"projectId":"{text}","metricId":"a","value":1}}"#),
        &|text| format!(r#"{{"projectId":"prj_a","metricId":"{text}","value":1}}"#),
        &|text| format!(r#"{{"projectId":"prj_a","metricId":"a","metricName":"{text}","value":1}}"#),
        &|text| format!(r#"{{"projectId":"prj_a","metricId":"a","value":1,"unknown":"{text}"}}"#),
        &|text| format!(r#"{{"projectId":"prj_a","metricId":"a","value":1,"{text}":0}}"#),
    ];
    for template in templates {
        for text in [
            r"\ud800",
            r"\udc00",
            r"\ud800x",
            r"\ud800\ud800",
            r"\udc00\ud800",
            r"\ud800\u0041",
            r"\u12",
            r"\u12g4",
            r"\u",
            r"\x41",
            r"\'",
            r"\",
            r"\0",
        ] {
            let body = template(text);
            assert_eq!(ask(&server, post("", &body)).await.summary(), "400 invalid_json", "{body}");
        }
        for bytes in [
            &b"\xff"[..],
            b"\xc0\x80",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xe2\x82",
            b"\x80",
            b"\0",
            b"\x1f",
        ] {
            let text = template("@");
            let (before, after) = text.split_once('@').expect("a marked position");
            let body = [before.as_bytes(), bytes, after.as_bytes()].concat();
            let answer = ask(&server, post("", &body)).await;
            assert_eq!(answer.summary(), "400 invalid_json", "{bytes:?} in {text}");
        }
    }
}

#[tokio::test]
async fn wrong_types_are_reported_for_each_field() {
    let server = server().await;
    let types = [
        ("string", r#""x""#),
        ("number", "7"),
        ("true", "true"),
        ("list", "[]"),
        ("object", "{}"),
        ("deep", "[[{}]]"),
    ];
    for (field, right, code) in [
        ("metricId", "string", "not_a_string"),
        ("metricName", "string", "not_a_string"),
        ("unit", "string", "not_a_string"),
        ("value", "number", "not_a_number"),
        ("timestamp", "number", "not_an_integer"),
    ] {
        for (_, value) in types.iter().filter(|(name, _)| *name != right) {
            let fields: String = [("metricId", r#""a""#), ("value", "1")]
                .iter()
                .filter(|(name, _)| *name != field)
                .map(|(name, value)| format!(r#","{name}":{value}"#))
                .collect();
            let flat = format!(r#"{{"projectId":"prj_a"{fields},"{field}":{value}}}"#);
            let expected = format!("400 invalid_batch {field}:{code}");
            assert_eq!(ask(&server, post("", &flat)).await.summary(), expected, "{flat}");
            let element = format!(r#"{{"{field}":{value}{fields}}}"#);
            let batch = format!(r#"{{"metrics":[{element}],"projectId":"prj_a"}}"#);
            let expected = format!("400 invalid_batch 0.{field}:{code}");
            assert_eq!(ask(&server, post("", &batch)).await.summary(), expected, "{batch}");
        }
    }
}
