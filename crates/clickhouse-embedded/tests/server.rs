//! Behaviour of `clickhouse-embedded` beyond the contract: flags, startup and shutdown.

mod support;

use clickhouse::error::Error;
use std::process::Stdio;
use support::{Server, await_running, code, command, free_port, library, request, send};

#[tokio::test]
async fn query_over_its_deadline_ends_with_code_159() {
    let server = Server::start(&["--query-deadline", "1s"]);
    let query = server
        .client()
        .query("SELECT count() FROM numbers(1000000000000)")
        .with_setting("log_comment", "long");
    assert_eq!(code(query.fetch_one::<u64>().await), 159);
    await_running(&server.client(), "long", 0).await;
}

#[tokio::test]
async fn queries_beyond_the_connection_limit_wait_until_their_deadline() {
    let server = Server::start(&["--connections", "1", "--query-deadline", "2s"]);
    let client = server.client();
    let long = || client.query("SELECT count() FROM numbers(1000000000000)").fetch_one::<u64>();
    // One runs. When it ends at its deadline, one more may just be in time. The others have exceeded theirs.
    let (first, second, third, fourth) = tokio::join!(long(), long(), long(), long());
    let codes = [first, second, third, fourth].map(code);
    assert!(codes.contains(&159) && codes.contains(&202), "{codes:?}");
    assert!(codes.iter().all(|code| [159, 202].contains(code)), "{codes:?}");
}

#[tokio::test]
async fn insert_whose_body_stalls_stores_nothing() {
    let server = Server::start(&["--receive-timeout", "3s"]);
    let client = server.database().await;
    client
        .query("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
        .execute()
        .await
        .expect("the table is created");
    let mut insert =
        client.insert_formatted_with("INSERT INTO t FORMAT TSV").with_setting("log_comment", "silent");
    insert.send("1\n".into()).await.expect("sent");
    await_running(&client, "silent", 1).await;
    await_running(&client, "silent", 0).await;
    assert!(insert.end().await.is_err());
    assert_eq!(client.query("SELECT count() FROM t").fetch_one::<u64>().await.expect("a count"), 0);
}

#[tokio::test]
async fn body_over_the_limit_is_rejected_and_stores_nothing() {
    let server = Server::start(&["--max-body", "1"]);
    let client = server.database().await;
    client
        .query("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a")
        .execute()
        .await
        .expect("the table is created");
    let length = 2 << 20;
    let database: String = client.query("SELECT currentDatabase()").fetch_one().await.expect("a name");
    let head = format!(
        "POST /?database={database}&query=INSERT+INTO+t+FORMAT+TSV HTTP/1.1\r\nHost: x\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    // A thread sends the body, because the server stops reading and sending may block.
    let url = server.url().to_owned();
    let sent = std::thread::spawn(move || send(&url, &(head + &"x".repeat(length))).is_some());
    let _ = sent.join();
    assert_eq!(client.query("SELECT count() FROM t").fetch_one::<u64>().await.expect("a count"), 0);
}

#[tokio::test]
async fn wrong_password_is_code_516_and_right_password_works() {
    let server = Server::start(&["--user", "tidemark", "--password", "secret"]);
    let select = |user: &str, password: &str| {
        let client = server.client().with_user(user).with_password(password);
        async move { client.query("SELECT 1").fetch_one::<u8>().await }
    };
    assert_eq!(select("tidemark", "secret").await.expect("authenticated"), 1);
    assert_eq!(code(select("tidemark", "wrong").await), 516);
    assert_eq!(code(select("someone", "secret").await), 516);
    let answer =
        request(server.url(), "GET /?query=SELECT+1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answer.expect("an answer").starts_with("HTTP/1.1 403"));
}

#[tokio::test]
async fn query_id_of_a_running_query_is_rejected() {
    let server = Server::start(&[]);
    let client = server.database().await;
    client
        .query("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
        .execute()
        .await
        .expect("the table is created");
    let mut insert =
        client.insert_formatted_with("INSERT INTO t FORMAT TSV").with_setting("query_id", "mine");
    insert.send("1\n".into()).await.expect("sent");
    // A query without a comment has its id as its comment.
    await_running(&client, "mine", 1).await;
    let second = client.query("SELECT 1").with_setting("query_id", "mine");
    assert_eq!(code(second.fetch_one::<u8>().await), 216);
    insert.end().await.expect("stored");
    let third = client.query("SELECT 1").with_setting("query_id", "mine");
    assert_eq!(third.fetch_one::<u8>().await.expect("free again"), 1);
}

#[tokio::test]
async fn shutdown_waits_for_running_queries() {
    let mut server = Server::start(&[]);
    let client = server.database().await;
    client
        .query("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
        .execute()
        .await
        .expect("the table is created");
    let mut insert =
        client.insert_formatted_with("INSERT INTO t FORMAT TSV").with_setting("log_comment", "last");
    insert.send("1\n".into()).await.expect("sent");
    await_running(&client, "last", 1).await;
    server.terminate();
    insert.end().await.expect("an insert in progress is completed");
    assert_eq!(server.wait_for_exit(), Some(0));
    let refused = client.query("SELECT 1").fetch_one::<u8>().await;
    assert!(matches!(refused, Err(Error::Network(_))), "{refused:?}");
}

#[test]
fn data_directory_in_use_is_rejected_and_its_owner_continues() {
    let server = Server::start(&[]);
    for _ in 0..2 {
        let second =
            command(&library(), server.data(), free_port()).stderr(Stdio::piped()).output().expect("runs");
        assert_eq!(second.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&second.stderr).contains("is in use by another process"));
    }
    let answer =
        request(server.url(), "GET /?query=SELECT+1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answer.expect("an answer").starts_with("HTTP/1.1 200"));
}

#[test]
fn missing_library_error_names_the_remedy() {
    let data = std::env::temp_dir().join("clickhouse-embedded-never-created");
    let output =
        command("/nosuch/libchdb.so", &data, free_port()).stderr(Stdio::piped()).output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    for part in ["/nosuch/libchdb.so", "deploy/local/up", "--library"] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
    assert!(!data.exists(), "nothing is created before the engine is found");
}

#[tokio::test]
async fn incomplete_large_body_stores_nothing_by_default() {
    let server = Server::start(&[]);
    let client = server.database().await;
    client
        .query("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
        .execute()
        .await
        .expect("the table is created");
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
