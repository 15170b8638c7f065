//! Connections: bodies in pieces, bodies that nobody wants, bodies that stop, and what becomes of the connection.

use crate::support::{Connection, GOOD, PATH, ask, post, server, server_with};
use gateway::request::body::BodyTimes;
use std::time::Duration;

fn head(headers: &str) -> String {
    format!("POST {PATH} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer good\r\n{headers}\r\n")
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

#[tokio::test]
async fn a_body_in_chunks_is_put_together() {
    let server = server().await;
    let (first, rest) = GOOD.split_at(10);
    let (second, third) = rest.split_at(1);
    let mut connection = Connection::to(&server).await;
    connection.write(head("Transfer-Encoding: chunked\r\n")).await;
    for part in [first, second, third] {
        connection.write(chunk(part)).await;
    }
    connection.write("0\r\n\r\n").await;
    assert_eq!(connection.read().await.summary(), "200 1");
    connection.write(post("", GOOD)).await;
    assert_eq!(connection.read().await.summary(), "200 1");
}

#[tokio::test]
async fn trailers_do_not_matter() {
    let server = server().await;
    let request = format!(
        "{}{}0\r\nX-Checksum: 1\r\n\r\n",
        head("Transfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n"),
        chunk(GOOD)
    );
    assert_eq!(ask(&server, request).await.summary(), "200 1");
}

#[tokio::test]
async fn chunks_over_the_limit_are_refused_before_they_end() {
    let server = server().await;
    let mut connection = Connection::to(&server).await;
    connection.write(head("Transfer-Encoding: chunked\r\n")).await;
    let piece = chunk(&" ".repeat(64 << 10));
    for _ in 0..16 {
        connection.write(&piece).await;
    }
    connection.write(chunk(" ")).await;
    // The body goes on; the answer is there.
    let answer = connection.read().await;
    answer.check_shape();
    assert_eq!(answer.summary(), "413 body_too_large");
}

#[tokio::test]
async fn a_client_that_writes_five_mebibytes_before_it_reads_sees_why_it_was_refused() {
    let server = server().await;
    let body = " ".repeat(5 << 20);
    let unwanted = [
        (post("", &body), "413 body_too_large"),
        (post("Content-Type: text/plain\r\n", &body), "415 unsupported_media_type"),
        (
            [head("Transfer-Encoding: chunked\r\n").as_bytes(), chunk(&body).as_bytes(), b"0\r\n\r\n"]
                .concat(),
            "413 body_too_large",
        ),
    ];
    for (request, expected) in unwanted {
        let mut connection = Connection::to(&server).await;
        connection.write(request).await;
        assert_eq!(connection.read().await.summary(), expected);
        connection.write(post("", GOOD)).await;
        assert_eq!(connection.read().await.summary(), "200 1", "the connection goes on after {expected}");
    }
}

#[tokio::test]
async fn a_connection_goes_on_after_each_kind_of_answer() {
    let server = server().await;
    let mut connection = Connection::to(&server).await;
    let unknown = String::from_utf8(post("", GOOD)).expect("it is text").replace("good", "nobody");
    let elsewhere = String::from_utf8(post("", GOOD)).expect("it is text").replace(PATH, "/");
    let put = String::from_utf8(post("", GOOD)).expect("it is text").replace("POST", "PUT");
    for (request, expected) in [
        (unknown.into_bytes(), "401 invalid_key"),
        (elsewhere.into_bytes(), "404 not_found"),
        (put.into_bytes(), "405 method_not_allowed"),
        (post("Content-Encoding: br\r\n", GOOD), "415 unsupported_content_encoding"),
        (post("", "{"), "400 invalid_json"),
        (post("", ""), "400 invalid_json"),
        (post("", "{}"), "400 invalid_batch projectId:required metrics:required"),
        (post("", GOOD), "200 1"),
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
async fn requests_sent_one_after_the_other_without_waiting_are_all_answered() {
    let server = server().await;
    let mut connection = Connection::to(&server).await;
    connection.write([post("", GOOD), post("", "{"), post("", GOOD)].concat()).await;
    for expected in ["200 1", "400 invalid_json", "200 1"] {
        assert_eq!(connection.read().await.summary(), expected);
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_is_told_to_go_on() {
    let server = server().await;
    let mut connection = Connection::to(&server).await;
    let length = format!("Expect: 100-continue\r\nContent-Length: {}\r\n", GOOD.len());
    connection.write(head(&length)).await;
    assert_eq!(connection.read().await.status, 100);
    connection.write(GOOD).await;
    assert_eq!(connection.read().await.summary(), "200 1");
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_is_not_asked_for_what_nobody_wants() {
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
async fn a_body_that_stops_arriving_is_a_timeout_and_ends_the_connection() {
    let short = Duration::from_millis(50);
    let long = Duration::from_secs(60);
    for times in [BodyTimes { idle: short, total: long }, BodyTimes { idle: long, total: short }] {
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
async fn chunks_that_are_none_are_invalid_or_end_the_connection() {
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
    assert!(server.kafka.records.lock().expect("no test panics while holding it").is_empty());
}

#[tokio::test]
async fn a_body_whose_sender_is_gone_stores_nothing() {
    let server = server().await;
    let mut connection = Connection::to(&server).await;
    connection.write(head(&format!("Content-Length: {}\r\n", GOOD.len() + 1))).await;
    connection.write(GOOD).await;
    connection.end_of_input().await;
    if let Some(answer) = connection.try_read(true).await {
        assert_eq!(answer.summary(), "400 invalid_json");
    }
    assert!(connection.is_closed().await);
    assert!(server.kafka.records.lock().expect("no test panics while holding it").is_empty());
}

#[tokio::test]
async fn a_client_may_ask_for_the_connection_to_be_closed() {
    let server = server().await;
    let mut connection = Connection::to(&server).await;
    connection.write(post("Connection: close\r\n", GOOD)).await;
    assert_eq!(connection.read().await.summary(), "200 1");
    assert!(connection.is_closed().await);
}
