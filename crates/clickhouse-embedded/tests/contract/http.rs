//! What people and tools send without the crate.

use crate::support::{Front, request};

fn get(front: &Front, path: &str) -> String {
    request(front.url(), &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
        .expect("an answer")
}

fn post(front: &Front, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    request(front.url(), &(head + body)).expect("an answer")
}

#[test]
fn a_query_in_the_url_is_answered_in_tab_separated_text() {
    let front = Front::shared();
    let answer = get(&front, "/?query=SELECT+1,+'a'&enable_http_compression=0");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("1\ta\n"), "{answer}");
}

#[test]
fn a_statement_names_its_format() {
    let front = Front::shared();
    let answer = post(&front, "/", "", "SELECT 1 AS a FORMAT JSONEachRow");
    assert!(answer.contains("{\"a\":1}\n"), "{answer}");
    let answer = post(&front, "/?default_format=CSV", "", "SELECT 'a'");
    assert!(answer.contains("\"a\"\n"), "{answer}");
}

#[test]
fn a_statement_may_begin_in_the_url_and_end_in_the_body() {
    let front = Front::shared();
    let answer = post(&front, "/?query=SELECT+1+AS+a", "", "FORMAT JSONEachRow");
    assert!(answer.contains("{\"a\":1}\n"), "{answer}");
}

#[test]
fn it_says_that_it_lives() {
    let front = Front::shared();
    for path in ["/", "/ping", "/replicas_status"] {
        let answer = get(&front, path);
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("Ok.\n"), "{path}: {answer}");
    }
}

#[test]
fn get_reads_only() {
    let front = Front::shared();
    let answer = get(&front, "/?query=CREATE+DATABASE+by_a_link").to_ascii_lowercase();
    assert!(answer.contains("x-clickhouse-exception-code: 164"), "{answer}");
}

#[test]
fn an_error_has_a_status_a_code_and_a_text() {
    let front = Front::shared();
    for (sql, status, code) in
        [("SELECT * FROM nosuch", "404 Not Found", 60), ("SELECTT 1", "400 Bad Request", 62)]
    {
        let answer = post(&front, "/", "", sql);
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
fn an_answer_names_its_query_and_counts_what_was_written() {
    let front = Front::shared();
    let id = uuid::Uuid::now_v7();
    let path = format!("/?query_id={id}");
    let answer =
        post(&front, &path, "", "INSERT INTO FUNCTION null('a UInt64') SELECT number FROM numbers(42)");
    let head = answer.to_ascii_lowercase();
    assert!(head.contains(&format!("x-clickhouse-query-id: {id}")), "{answer}");
    assert!(head.contains("\"written_rows\":\"42\""), "{answer}");
}
