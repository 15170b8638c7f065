//! The checks of a request's head and their order.

use crate::support::{Connection, PATH, Server, VALID_BATCH, ask, lock, post, server};
use gateway::publish::PublishError;

/// A POST of a valid batch with exactly these headers.
fn with_headers(headers: &[u8]) -> Vec<u8> {
    let start = format!("POST {PATH} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n", VALID_BATCH.len());
    [start.as_bytes(), headers, b"\r\n", VALID_BATCH.as_bytes()].concat()
}

async fn expect(server: &Server, request: &[u8], expected: &str) {
    let answer = ask(server, request).await;
    assert_eq!(answer.summary(), expected, "{}", String::from_utf8_lossy(request));
}

#[tokio::test]
async fn authorization_headers_are_checked() {
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
        (b"Authorization: Bearer VALID_BATCH\r\n", "401 invalid_key"),
        (b"Authorization: Bearer \"good\"\r\n", "401 invalid_key"),
        (b"Authorization: Bearer tm_x_y\r\n", "401 invalid_key"),
        (b"Authorization: Bearer good,\r\n", "401 invalid_key"),
        (b"Authorization: Bearer revoked\r\n", "401 revoked_key"),
        (b"Authorization: Bearer reader\r\n", "403 insufficient_scope"),
        (b"Authorization: Bearer unavailable\r\n", "503 unavailable"),
    ];
    for (headers, expected) in rows {
        expect(&server, &with_headers(headers), expected).await;
    }
}

#[tokio::test]
async fn content_types_other_than_json_are_rejected() {
    let server = server().await;
    for valid in [
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
        expect(&server, &post(&format!("Content-Type: {valid}\r\n"), VALID_BATCH), "200 1").await;
    }
    for invalid in [
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
        let request = post(&format!("Content-Type: {invalid}\r\n"), VALID_BATCH);
        expect(&server, &request, "415 unsupported_media_type").await;
    }
}

#[tokio::test]
async fn unknown_content_encodings_are_rejected() {
    let server = server().await;
    for valid in ["", "identity", "IDENTITY"] {
        expect(&server, &post(&format!("Content-Encoding: {valid}\r\n"), VALID_BATCH), "200 1").await;
    }
    for invalid in [
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
        let request = post(&format!("Content-Encoding: {invalid}\r\n"), VALID_BATCH);
        expect(&server, &request, "415 unsupported_content_encoding").await;
    }
}

#[tokio::test]
async fn idempotency_keys_are_1_to_255_visible_ascii_characters() {
    let server = server().await;
    let longest = "k".repeat(255);
    for valid in ["a", "018f-1:2/3", "!~", "\"quoted\"", &longest] {
        expect(&server, &post(&format!("Idempotency-Key: {valid}\r\n"), VALID_BATCH), "200 1").await;
    }
    let too_long = "k".repeat(256);
    for invalid in ["", "two words", "tab\tbed", "schlüssel", "a\r\nIdempotency-Key: a", &too_long] {
        let request = post(&format!("Idempotency-Key: {invalid}\r\n"), VALID_BATCH);
        expect(&server, &request, "400 invalid_idempotency_key").await;
    }
}

#[tokio::test]
async fn other_paths_are_not_found() {
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
    let asterisk = b"OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n";
    expect(&server, asterisk, "404 not_found").await;
}

#[tokio::test]
async fn query_strings_are_ignored() {
    let server = server().await;
    let request =
        String::from_utf8(post("", VALID_BATCH)).expect("valid UTF-8").replacen("custom ", "custom?a=b ", 1);
    expect(&server, request.as_bytes(), "200 1").await;
    let absolute = request.replacen(" /api", " http://test/api", 1);
    expect(&server, absolute.as_bytes(), "200 1").await;
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let server = server().await;
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "post"] {
        let request = format!("{method} {PATH} HTTP/1.1\r\nHost: test\r\n\r\n");
        expect(&server, request.as_bytes(), "405 method_not_allowed").await;
    }
}

#[tokio::test]
async fn head_requests_are_not_allowed_and_get_no_body() {
    let server = server().await;
    let mut connection = Connection::to(&server).await;
    connection.write(format!("HEAD {PATH} HTTP/1.1\r\nHost: test\r\n\r\n")).await;
    let answer = connection.try_read(false).await.expect("an answer");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert!(answer.header("x-request-id").is_some());
    connection.write(post("", VALID_BATCH)).await;
    assert_eq!(connection.read().await.summary(), "200 1");
}

#[tokio::test]
async fn first_failed_check_decides_the_answer() {
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
    let valid = "Authorization: Bearer good\r\n";
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
        ("POST", PATH, format!("{valid}Content-Encoding: gzip\r\n"), "{", "400 invalid_json"),
        ("POST", PATH, valid.to_owned(), "{", "400 invalid_json"),
        ("POST", PATH, valid.to_owned(), other_project, "400 invalid_batch 0.value:not_a_number"),
        ("POST", PATH, valid.to_owned(), &VALID_BATCH.replace("prj_a", "prj_b"), "403 project_mismatch"),
    ] {
        expect(&server, request(method, path, &headers, body).as_bytes(), expected).await;
    }
    let oversized = |headers: &str| {
        format!("POST {PATH} HTTP/1.1\r\nHost: t\r\n{headers}Content-Length: 1048577\r\n\r\n")
    };
    expect(&server, oversized(unknown).as_bytes(), "401 invalid_key").await;
    expect(&server, oversized(reader).as_bytes(), "403 insufficient_scope").await;
    expect(&server, oversized(valid).as_bytes(), "413 body_too_large").await;
}

#[tokio::test]
async fn unacknowledged_batches_are_answered_with_503() {
    let server = server().await;
    for failure in [
        PublishError::NotConnected,
        PublishError::QueueFull,
        PublishError::Refused,
        PublishError::TimedOut,
        PublishError::Failed,
    ] {
        *lock(&server.kafka.failure) = Some(failure);
        expect(&server, &post("", VALID_BATCH), "503 unavailable").await;
    }
    assert!(lock(&server.kafka.records).is_empty());
}

#[tokio::test]
async fn request_ids_are_unique() {
    let server = server().await;
    let mut connection = Connection::to(&server).await;
    let mut ids = std::collections::HashSet::new();
    for _ in 0..100 {
        connection.write(post("", VALID_BATCH)).await;
        let answer = connection.read().await;
        assert!(ids.insert(answer.header("x-request-id").expect("every answer has a request id").to_owned()));
        assert!(ids.insert(answer.json()["batchId"].as_str().expect("a string").to_owned()));
    }
}
