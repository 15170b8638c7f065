//! Requests of people and tools that do not use the `clickhouse` crate.

use crate::support::{Server, request};

fn get(server: &Server, path: &str) -> String {
    request(server.url(), &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
        .expect("an answer")
}

fn post(server: &Server, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    request(server.url(), &(head + body)).expect("an answer")
}

#[test]
fn query_in_the_url_returns_tab_separated_text() {
    let server = Server::shared();
    let answer = get(&server, "/?query=SELECT+1,+'a'&enable_http_compression=0");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("1\ta\n"), "{answer}");
}

#[test]
fn statement_or_parameter_selects_the_format() {
    let server = Server::shared();
    let answer = post(&server, "/", "", "SELECT 1 AS a FORMAT JSONEachRow");
    assert!(answer.contains("{\"a\":1}\n"), "{answer}");
    let answer = post(&server, "/?default_format=CSV", "", "SELECT 'a'");
    assert!(answer.contains("\"a\"\n"), "{answer}");
}

#[test]
fn statement_may_start_in_the_url_and_end_in_the_body() {
    let server = Server::shared();
    let answer = post(&server, "/?query=SELECT+1+AS+a", "", "FORMAT JSONEachRow");
    assert!(answer.contains("{\"a\":1}\n"), "{answer}");
}

#[test]
fn health_paths_answer_ok() {
    let server = Server::shared();
    for path in ["/", "/ping", "/replicas_status"] {
        let answer = get(&server, path);
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("Ok.\n"), "{path}: {answer}");
    }
}

#[test]
fn get_is_read_only() {
    let server = Server::shared();
    let answer = get(&server, "/?query=CREATE+DATABASE+by_a_link").to_ascii_lowercase();
    assert!(answer.contains("x-clickhouse-exception-code: 164"), "{answer}");
}

#[test]
fn error_has_status_code_and_message() {
    let server = Server::shared();
    for (sql, status, code) in
        [("SELECT * FROM nosuch", "404 Not Found", 60), ("SELECTT 1", "400 Bad Request", 62)]
    {
        let answer = post(&server, "/", "", sql);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(
            answer.contains(&format!("\r\n\r\nCode: {code}. DB::Exception: ")) || answer.contains("chunked"),
            "{answer}"
        );
        assert!(
            answer.to_ascii_lowercase().contains(&format!("x-clickhouse-exception-code: {code}\r\n")),
            "{answer}"
        );
    }
}

#[test]
fn response_contains_query_id_and_written_rows() {
    let server = Server::shared();
    let id = uuid::Uuid::now_v7();
    let path = format!("/?query_id={id}");
    let answer =
        post(&server, &path, "", "INSERT INTO FUNCTION null('a UInt64') SELECT number FROM numbers(42)");
    let head = answer.to_ascii_lowercase();
    assert!(head.contains(&format!("x-clickhouse-query-id: {id}")), "{answer}");
    assert!(head.contains("\"written_rows\":\"42\""), "{answer}");
}
