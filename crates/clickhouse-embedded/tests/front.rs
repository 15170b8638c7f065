//! What the front adds to the contract: its flags, its start and its end.

mod support;

use clickhouse::error::Error;
use std::process::Stdio;
use support::{Front, await_running, code, command, free_port, library, request, send};

#[tokio::test]
async fn the_deadline_ends_a_query_with_code_159() {
    let front = Front::start(&["--query-deadline", "1s"]);
    let query = front
        .client()
        .query("SELECT count() FROM numbers(1000000000000)")
        .with_setting("log_comment", "long");
    assert_eq!(code(query.fetch_one::<u64>().await), 159);
    await_running(&front.client(), "long", 0).await;
}

#[tokio::test]
async fn more_queries_than_connections_wait_and_are_told_when_it_takes_too_long() {
    let front = Front::start(&["--connections", "1", "--query-deadline", "2s"]);
    let client = front.client();
    let long = || client.query("SELECT count() FROM numbers(1000000000000)").fetch_one::<u64>();
    // One runs; when it ends at its deadline, one more may just be in time; the others have waited too long.
    let (first, second, third, fourth) = tokio::join!(long(), long(), long(), long());
    let codes = [first, second, third, fourth].map(code);
    assert!(codes.contains(&159) && codes.contains(&202), "{codes:?}");
    assert!(codes.iter().all(|code| [159, 202].contains(code)), "{codes:?}");
}

#[tokio::test]
async fn a_client_that_falls_silent_within_its_body_stores_nothing() {
    let front = Front::start(&["--receive-timeout", "3s"]);
    let client = front.database().await;
    client.query("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a").execute().await.expect("made");
    let mut insert =
        client.insert_formatted_with("INSERT INTO t FORMAT TSV").with_setting("log_comment", "silent");
    insert.send("1\n".into()).await.expect("sent");
    await_running(&client, "silent", 1).await;
    await_running(&client, "silent", 0).await;
    assert!(insert.end().await.is_err());
    assert_eq!(client.query("SELECT count() FROM t").fetch_one::<u64>().await.expect("a count"), 0);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_and_stores_nothing() {
    let front = Front::start(&["--max-body", "1"]);
    let client = front.database().await;
    client.query("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a").execute().await.expect("made");
    let length = 2 << 20;
    let database: String = client.query("SELECT currentDatabase()").fetch_one().await.expect("a name");
    let head = format!(
        "POST /?database={database}&query=INSERT+INTO+t+FORMAT+TSV HTTP/1.1\r\nHost: x\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    // The rest is sent by a thread, for the front stops reading.
    let url = front.url().to_owned();
    let sent = std::thread::spawn(move || send(&url, &(head + &"x".repeat(length))).is_some());
    let _ = sent.join();
    assert_eq!(client.query("SELECT count() FROM t").fetch_one::<u64>().await.expect("a count"), 0);
}

#[tokio::test]
async fn a_wrong_password_is_code_516_and_the_right_one_is_let_in() {
    let front = Front::start(&["--user", "tidemark", "--password", "secret"]);
    let ask = |user: &str, password: &str| {
        let client = front.client().with_user(user).with_password(password);
        async move { client.query("SELECT 1").fetch_one::<u8>().await }
    };
    assert_eq!(ask("tidemark", "secret").await.expect("let in"), 1);
    assert_eq!(code(ask("tidemark", "wrong").await), 516);
    assert_eq!(code(ask("someone", "secret").await), 516);
    let answer =
        request(front.url(), "GET /?query=SELECT+1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answer.expect("an answer").starts_with("HTTP/1.1 403"));
}

#[tokio::test]
async fn a_query_id_that_is_running_is_refused() {
    let front = Front::start(&[]);
    let client = front.database().await;
    client.query("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a").execute().await.expect("made");
    let mut insert =
        client.insert_formatted_with("INSERT INTO t FORMAT TSV").with_setting("query_id", "mine");
    insert.send("1\n".into()).await.expect("sent");
    // Without a comment of its own, a query carries its id there.
    await_running(&client, "mine", 1).await;
    let second = client.query("SELECT 1").with_setting("query_id", "mine");
    assert_eq!(code(second.fetch_one::<u8>().await), 216);
    insert.end().await.expect("stored");
    let third = client.query("SELECT 1").with_setting("query_id", "mine");
    assert_eq!(third.fetch_one::<u8>().await.expect("free again"), 1);
}

#[tokio::test]
async fn a_stop_waits_for_what_runs() {
    let mut front = Front::start(&[]);
    let client = front.database().await;
    client.query("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a").execute().await.expect("made");
    let mut insert =
        client.insert_formatted_with("INSERT INTO t FORMAT TSV").with_setting("log_comment", "last");
    insert.send("1\n".into()).await.expect("sent");
    await_running(&client, "last", 1).await;
    front.terminate();
    insert.end().await.expect("an insert under way is let to its end");
    assert_eq!(front.ended(), Some(0));
    let refused = client.query("SELECT 1").fetch_one::<u8>().await;
    assert!(matches!(refused, Err(Error::Network(_))), "{refused:?}");
}

#[test]
fn data_in_use_is_refused_by_name_and_its_owner_goes_on() {
    let front = Front::start(&[]);
    for _ in 0..2 {
        let second =
            command(&library(), front.data(), free_port()).stderr(Stdio::piped()).output().expect("runs");
        assert_eq!(second.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&second.stderr).contains("is in use by another process"));
    }
    let answer =
        request(front.url(), "GET /?query=SELECT+1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answer.expect("an answer").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_missing_library_names_the_way_out() {
    let data = std::env::temp_dir().join("clickhouse-embedded-never-made");
    let output =
        command("/nosuch/libchdb.so", &data, free_port()).stderr(Stdio::piped()).output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    for part in ["/nosuch/libchdb.so", "deploy/local/up", "--library"] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
    assert!(!data.exists(), "nothing is made before the engine is found");
}

#[tokio::test]
async fn a_large_body_that_breaks_off_stores_nothing_by_default() {
    let front = Front::start(&[]);
    let client = front.database().await;
    client.query("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a").execute().await.expect("made");
    let mut insert =
        client.insert_formatted_with("INSERT INTO t FORMAT TSV").with_setting("log_comment", "large");
    for _ in 0..30 {
        insert.send("12345\n".repeat(100_000).into()).await.expect("sent");
    }
    await_running(&client, "large", 1).await;
    drop(insert);
    await_running(&client, "large", 0).await;
    assert_eq!(client.query("SELECT count() FROM t").fetch_one::<u64>().await.expect("a count"), 0);
}
