//! Chunked, unread and stalled bodies, and whether the connection stays open afterwards.

use crate::support::{Connection, PATH, VALID_BATCH, ask, lock, post, server, server_with};
use gateway::request::body::BodyTimeouts;
use std::time::Duration;

fn head(headers: &str) -> String {
    format!("POST {PATH} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer good\r\n{headers}\r\n")
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

#[tokio::test]
async fn chunked_bodies_are_reassembled() {
    let server = server().await;
    let (first, rest) = VALID_BATCH.split_at(10);
    let (second, third) = rest.split_at(1);
    let mut connection = Connection::to(&server).await;
    connection.write(head("Transfer-Encoding: chunked\r\n")).await;
    for part in [first, second, third] {
        connection.write(chunk(part)).await;
    }
    connection.write("0\r\n\r\n").await;
    assert_eq!(connection.read().await.summary(), "200 1");
    connection.write(post("", VALID_BATCH)).await;
    assert_eq!(connection.read().await.summary(), "200 1");
}

#[tokio::test]
async fn trailers_are_ignored() {
    let server = server().await;
    let request = format!(
        "{}{}0\r\nX-Checksum: 1\r\n\r\n",
        head("Transfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n"),
        chunk(VALID_BATCH)
    );
    assert_eq!(ask(&server, request).await.summary(), "200 1");
}

#[tokio::test]
async fn oversized_chunked_bodies_are_rejected_before_they_end() {
    let server = server().await;
    let mut connection = Connection::to(&server).await;
    connection.write(head("Transfer-Encoding: chunked\r\n")).await;
    let piece = chunk(&" ".repeat(64 << 10));
    for _ in 0..16 {
        connection.write(&piece).await;
    }
    connection.write(chunk(" ")).await;
    // The answer arrives although the body has not ended.
    let answer = connection.read().await;
    answer.check_shape();
    assert_eq!(answer.summary(), "413 body_too_large");
}

#[tokio::test]
async fn clients_that_write_5_mib_before_reading_get_the_answer() {
    let server = server().await;
    let body = " ".repeat(5 << 20);
    let rejected = [
        (post("", &body), "413 body_too_large"),
        (post("Content-Type: text/plain\r\n", &body), "415 unsupported_media_type"),
        (
            [head("Transfer-Encoding: chunked\r\n").as_bytes(), chunk(&body).as_bytes(), b"0\r\n\r\n"]
                .concat(),
            "413 body_too_large",
        ),
    ];
    for (request, expected) in rejected {
        let mut connection = Connection::to(&server).await;
        connection.write(request).await;
        assert_eq!(connection.read().await.summary(), expected);
        connection.write(post("", VALID_BATCH)).await;
        assert_eq!(connection.read().await.summary(), "200 1", "the connection stays open after {expected}");
    }
}

#[tokio::test]
async fn connections_stay_open_after_each_kind_of_answer() {
    let server = server().await;
    let mut connection = Connection::to(&server).await;
    let unknown = String::from_utf8(post("", VALID_BATCH)).expect("valid UTF-8").replace("good", "nobody");
    let elsewhere = String::from_utf8(post("", VALID_BATCH)).expect("valid UTF-8").replace(PATH, "/");
    let put = String::from_utf8(post("", VALID_BATCH)).expect("valid UTF-8").replace("POST", "PUT");
    for (request, expected) in [
        (unknown.into_bytes(), "401 invalid_key"),
        (elsewhere.into_bytes(), "404 not_found"),
        (put.into_bytes(), "405 method_not_allowed"),
        (post("Content-Encoding: br\r\n", VALID_BATCH), "415 unsupported_content_encoding"),
        (post("", "{"), "400 invalid_json"),
        (post("", ""), "400 invalid_json"),
        (post("", "{}"), "400 invalid_batch projectId:required metrics:required"),
        (post("", VALID_BATCH), "200 1"),
    ] {
        for _ in 0..3 {
            connection.write(&request).await;
            let answer = connection.read().await;
            answer.check_shape();
            assert_eq!(answer.summary(), expected);
            assert_eq!(answer.header("connection"), None);
        }
    }
}

#[tokio::test]
async fn pipelined_requests_are_all_answered() {
    let server = server().await;
    let mut connection = Connection::to(&server).await;
    connection.write([post("", VALID_BATCH), post("", "{"), post("", VALID_BATCH)].concat()).await;
    for expected in ["200 1", "400 invalid_json", "200 1"] {
        assert_eq!(connection.read().await.summary(), expected);
    }
}

#[tokio::test]
async fn clients_that_expect_100_continue_receive_it() {
    let server = server().await;
    let mut connection = Connection::to(&server).await;
    let length = format!("Expect: 100-continue\r\nContent-Length: {}\r\n", VALID_BATCH.len());
    connection.write(head(&length)).await;
    assert_eq!(connection.read().await.status, 100);
    connection.write(VALID_BATCH).await;
    assert_eq!(connection.read().await.summary(), "200 1");
}

#[tokio::test]
async fn rejected_requests_get_no_100_continue() {
    let server = server().await;
    for (headers, expected) in [
        ("Expect: 100-continue\r\nContent-Length: 1048577\r\n", "413 body_too_large"),
        ("Expect: 100-Continue\r\nContent-Length: 10\r\nContent-Type: a/b\r\n", "415 unsupported_media_type"),
    ] {
        let mut connection = Connection::to(&server).await;
        connection.write(head(headers)).await;
        let answer = connection.read().await;
        assert_eq!(answer.summary(), expected);
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(connection.is_closed().await);
    }
}

#[tokio::test]
async fn stalled_bodies_time_out_and_close_the_connection() {
    let short = Duration::from_millis(50);
    let long = Duration::from_secs(60);
    for times in [BodyTimeouts { idle: short, total: long }, BodyTimeouts { idle: long, total: short }] {
        let server = server_with(times).await;
        for (headers, part) in [
            ("Content-Length: 100\r\n", ""),
            ("Content-Length: 100\r\n", "{"),
            ("Transfer-Encoding: chunked\r\n", "1\r\n{\r\n"),
        ] {
            let mut connection = Connection::to(&server).await;
            connection.write(head(headers)).await;
            connection.write(part).await;
            let answer = connection.read().await;
            answer.check_shape();
            assert_eq!(answer.summary(), "408 request_timeout");
            assert_eq!(answer.header("connection"), Some("close"));
            assert!(connection.is_closed().await);
        }
    }
}

#[tokio::test]
async fn malformed_chunks_are_rejected_or_close_the_connection() {
    let server = server().await;
    for body in ["zz\r\n{}\r\n0\r\n\r\n", "5\r\n{}\r\n0\r\n\r\n"] {
        let mut connection = Connection::to(&server).await;
        connection.write(head("Transfer-Encoding: chunked\r\n")).await;
        connection.write(body).await;
        if let Some(answer) = connection.try_read(true).await {
            assert_eq!(answer.status, 400);
        }
        assert!(connection.is_closed().await);
    }
    assert!(lock(&server.kafka.records).is_empty());
}

#[tokio::test]
async fn truncated_bodies_store_nothing() {
    let server = server().await;
    let mut connection = Connection::to(&server).await;
    connection.write(head(&format!("Content-Length: {}\r\n", VALID_BATCH.len() + 1))).await;
    connection.write(VALID_BATCH).await;
    connection.close_sending_side().await;
    if let Some(answer) = connection.try_read(true).await {
        assert_eq!(answer.summary(), "400 invalid_json");
    }
    assert!(connection.is_closed().await);
    assert!(lock(&server.kafka.records).is_empty());
}

#[tokio::test]
async fn connection_close_is_honoured() {
    let server = server().await;
    let mut connection = Connection::to(&server).await;
    connection.write(post("Connection: close\r\n", VALID_BATCH)).await;
    assert_eq!(connection.read().await.summary(), "200 1");
    assert!(connection.is_closed().await);
}
