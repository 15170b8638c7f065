//! What the head of a request decides, and in which order.

use crate::support::{Connection, GOOD, PATH, Server, ask, post, server};
use gateway::publish::NotPublished;

/// A POST of a good batch with exactly these headers.
fn with(headers: &[u8]) -> Vec<u8> {
    let start = format!("POST {PATH} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n", GOOD.len());
    [start.as_bytes(), headers, b"\r\n", GOOD.as_bytes()].concat()
}

async fn expect(server: &Server, request: &[u8], expected: &str) {
    let answer = ask(server, request).await;
    assert_eq!(answer.summary(), expected, "{}", String::from_utf8_lossy(request));
}

#[tokio::test]
async fn each_authorization_header_has_its_answer() {
    let server = server().await;
    let rows: &[(&[u8], &str)] = &[
        (b"", "401 missing_key"),
        (b"Authorization:\r\n", "401 malformed_authorization"),
        (b"Authorization: \r\n", "401 malformed_authorization"),
        (b"Authorization: Bearer\r\n", "401 malformed_authorization"),
        (b"Authorization: Bearer \r\n", "401 malformed_authorization"),
        (b"Authorization: good\r\n", "401 malformed_authorization"),
        (b"Authorization: Basic Z29vZA==\r\n", "401 malformed_authorization"),
        (b"Authorization: Bearergood\r\n", "401 malformed_authorization"),
        (b"Authorization: Bearer\tgood\r\n", "401 malformed_authorization"),
        (b"Authorization: Bearer: good\r\n", "401 malformed_authorization"),
        (b"Authorization: Bearer good more\r\n", "401 malformed_authorization"),
        (b"Authorization: Bearer g\xc3\xb6\xc3\xb6d\r\n", "401 malformed_authorization"),
        (b"Authorization: Bearer good\r\nAuthorization: Bearer good\r\n", "401 malformed_authorization"),
        (b"Authorization: B\xc3\xa4arer good\r\n", "401 malformed_authorization"),
        (b"Authorization: Bearer good\r\n", "200 1"),
        (b"authorization: bearer good\r\n", "200 1"),
        (b"AUTHORIZATION: BEARER good\r\n", "200 1"),
        (b"Authorization: Bearer    good\r\n", "200 1"),
        (b"Authorization:    Bearer good   \r\n", "200 1"),
        (b"Authorization: Bearer GOOD\r\n", "401 invalid_key"),
        (b"Authorization: Bearer \"good\"\r\n", "401 invalid_key"),
        (b"Authorization: Bearer tm_x_y\r\n", "401 invalid_key"),
        (b"Authorization: Bearer good,\r\n", "401 invalid_key"),
        (b"Authorization: Bearer revoked\r\n", "401 revoked_key"),
        (b"Authorization: Bearer reader\r\n", "403 insufficient_scope"),
        (b"Authorization: Bearer away\r\n", "503 unavailable"),
    ];
    for (headers, expected) in rows {
        expect(&server, &with(headers), expected).await;
    }
}

#[tokio::test]
async fn each_content_type_has_its_answer() {
    let server = server().await;
    for good in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "application/json ; charset=utf-8; x=y",
        "application/json;",
        "application/vnd.api+json",
        "application/ld+json; charset=utf-8",
        "application/CloudEvents+JSON",
        "text/x+json",
    ] {
        expect(&server, &post(&format!("Content-Type: {good}\r\n"), GOOD), "200 1").await;
    }
    for bad in [
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/json-patch",
        "application/+json",
        "json",
        "/json",
        "application/",
        "application json",
        "application/json, application/json",
        "application/json\r\nContent-Type: application/json",
        "text/plain; application/json",
        "*/*",
    ] {
        let request = post(&format!("Content-Type: {bad}\r\n"), GOOD);
        expect(&server, &request, "415 unsupported_media_type").await;
    }
}

#[tokio::test]
async fn each_content_encoding_that_is_unknown_is_refused() {
    let server = server().await;
    for good in ["", "identity", "IDENTITY"] {
        expect(&server, &post(&format!("Content-Encoding: {good}\r\n"), GOOD), "200 1").await;
    }
    for bad in [
        "br",
        "compress",
        "gzip, gzip",
        "gzip, identity",
        "identity, gzip",
        "gzip;q=1",
        "utf-8",
        "gzip\r\nContent-Encoding: gzip",
        "identity\r\nContent-Encoding: identity",
        "*",
    ] {
        let request = post(&format!("Content-Encoding: {bad}\r\n"), GOOD);
        expect(&server, &request, "415 unsupported_content_encoding").await;
    }
}

#[tokio::test]
async fn an_idempotency_key_is_visible_ascii_and_at_most_255_long() {
    let server = server().await;
    let longest = "k".repeat(255);
    for good in ["a", "018f-1:2/3", "!~", "\"quoted\"", &longest] {
        expect(&server, &post(&format!("Idempotency-Key: {good}\r\n"), GOOD), "200 1").await;
    }
    let too_long = "k".repeat(256);
    for bad in ["", "two words", "tab\tbed", "schlüssel", "a\r\nIdempotency-Key: a", &too_long] {
        let request = post(&format!("Idempotency-Key: {bad}\r\n"), GOOD);
        expect(&server, &request, "400 invalid_idempotency_key").await;
    }
}

#[tokio::test]
async fn every_other_path_is_not_found() {
    let server = server().await;
    for path in [
        "/",
        "/api",
        "/api/webhooks",
        "/api/webhooks/custom/",
        "/api/webhooks/custom/x",
        "//api/webhooks/custom",
        "/API/webhooks/custom",
        "/api/webhooks/%63ustom",
        "/livez",
        "/metrics",
        "/?/api/webhooks/custom",
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
            expect(&server, request.as_bytes(), "404 not_found").await;
        }
    }
    let starred = b"OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n";
    expect(&server, starred, "404 not_found").await;
}

#[tokio::test]
async fn the_query_string_does_not_matter() {
    let server = server().await;
    let request =
        String::from_utf8(post("", GOOD)).expect("it is text").replacen("custom ", "custom?a=b ", 1);
    expect(&server, request.as_bytes(), "200 1").await;
    let absolute = request.replacen(" /api", " http://test/api", 1);
    expect(&server, absolute.as_bytes(), "200 1").await;
}

#[tokio::test]
async fn every_other_method_is_not_allowed() {
    let server = server().await;
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "post"] {
        let request = format!("{method} {PATH} HTTP/1.1\r\nHost: test\r\n\r\n");
        expect(&server, request.as_bytes(), "405 method_not_allowed").await;
    }
}

#[tokio::test]
async fn head_is_not_allowed_and_has_no_body() {
    let server = server().await;
    let mut connection = Connection::to(&server).await;
    connection.write(format!("HEAD {PATH} HTTP/1.1\r\nHost: test\r\n\r\n")).await;
    let answer = connection.try_read(false).await.expect("there is an answer");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert!(answer.header("x-request-id").is_some());
    connection.write(post("", GOOD)).await;
    assert_eq!(connection.read().await.summary(), "200 1");
}

#[tokio::test]
async fn the_first_check_that_fails_answers() {
    let server = server().await;
    let request = |method: &str, path: &str, headers: &str, body: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: t\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let wrong_type = "Content-Type: text/plain\r\n";
    let wrong_encoding = "Content-Encoding: br\r\n";
    let wrong_key = "Idempotency-Key: a b\r\n";
    let unknown = "Authorization: Bearer nobody\r\n";
    let reader = "Authorization: Bearer reader\r\n";
    let good = "Authorization: Bearer good\r\n";
    let other_project = r#"{"projectId":"prj_b","metrics":[{"metricId":"a","value":"x"}]}"#;
    for (method, path, headers, body, expected) in [
        ("PUT", "/x", format!("{wrong_type}{wrong_key}"), "{", "404 not_found"),
        ("PUT", PATH, format!("{wrong_type}{wrong_key}"), "{", "405 method_not_allowed"),
        ("POST", PATH, format!("{wrong_type}{wrong_encoding}{wrong_key}"), "{", "415 unsupported_media_type"),
        ("POST", PATH, format!("{wrong_encoding}{wrong_key}"), "{", "415 unsupported_content_encoding"),
        ("POST", PATH, format!("{wrong_key}{unknown}"), "{", "400 invalid_idempotency_key"),
        ("POST", PATH, String::new(), "{", "401 missing_key"),
        ("POST", PATH, unknown.to_owned(), "{", "401 invalid_key"),
        ("POST", PATH, reader.to_owned(), "{", "403 insufficient_scope"),
        ("POST", PATH, format!("{good}Content-Encoding: gzip\r\n"), "{", "400 invalid_json"),
        ("POST", PATH, good.to_owned(), "{", "400 invalid_json"),
        ("POST", PATH, good.to_owned(), other_project, "400 invalid_batch 0.value:not_a_number"),
        ("POST", PATH, good.to_owned(), &GOOD.replace("prj_a", "prj_b"), "403 project_mismatch"),
    ] {
        expect(&server, request(method, path, &headers, body).as_bytes(), expected).await;
    }
    let announced = |headers: &str| {
        format!("POST {PATH} HTTP/1.1\r\nHost: t\r\n{headers}Content-Length: 1048577\r\n\r\n")
    };
    expect(&server, announced(unknown).as_bytes(), "401 invalid_key").await;
    expect(&server, announced(reader).as_bytes(), "403 insufficient_scope").await;
    expect(&server, announced(good).as_bytes(), "413 body_too_large").await;
}

#[tokio::test]
async fn what_kafka_does_not_acknowledge_is_unavailable() {
    let server = server().await;
    for failure in [
        NotPublished::NotConnected,
        NotPublished::QueueFull,
        NotPublished::Refused,
        NotPublished::TimedOut,
        NotPublished::Failed,
    ] {
        *server.kafka.failure.lock().expect("no test panics while holding it") = Some(failure);
        expect(&server, &post("", GOOD), "503 unavailable").await;
    }
    assert!(server.kafka.records.lock().expect("no test panics while holding it").is_empty());
}

#[tokio::test]
async fn request_ids_are_unique() {
    let server = server().await;
    let mut connection = Connection::to(&server).await;
    let mut ids = std::collections::HashSet::new();
    for _ in 0..100 {
        connection.write(post("", GOOD)).await;
        let answer = connection.read().await;
        assert!(ids.insert(answer.header("x-request-id").expect("every answer has one").to_owned()));
        assert!(ids.insert(answer.json()["batchId"].as_str().expect("it is a string").to_owned()));
    }
}
