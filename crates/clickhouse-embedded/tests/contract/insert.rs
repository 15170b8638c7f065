//! Typed and formatted inserts, deduplication, and incomplete inserts.

use crate::support::{Server, await_running, code, send};
use clickhouse::{Client, Compression, Row};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Sample {
    kind: i8,
    time: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    id: Uuid,
    name: String,
    place: u64,
    value: f64,
}

const SAMPLES: &str = "CREATE TABLE samples (
        kind Enum8('sample' = 1, 'marker' = 2),
        time DateTime64(3, 'UTC'),
        id UUID,
        name LowCardinality(String),
        place UInt64,
        value Float64,
        written DateTime DEFAULT now()
    ) ENGINE = MergeTree ORDER BY place SETTINGS non_replicated_deduplication_window = 1000";

fn sample(place: u64) -> Sample {
    Sample {
        kind: if place.is_multiple_of(2) { 1 } else { 2 },
        time: 1_700_000_000_123 + i64::try_from(place).expect("small"),
        id: Uuid::from_u128(u128::from(place) << 64 | 7),
        name: format!("metric '{place}'"),
        place,
        value: 1.0 / (place as f64 + 3.0),
    }
}

async fn clients(server: &Server) -> [Client; 2] {
    let mut clients = [server.database().await, server.database().await];
    for client in &clients {
        client.query(SAMPLES).execute().await.expect("the table is created");
    }
    clients[0] = clients[0].clone().with_compression(Compression::Lz4);
    clients[1] = clients[1].clone().with_compression(Compression::None);
    clients
}

async fn insert(client: &Client, rows: &[Sample], token: &str) -> clickhouse::error::Result<()> {
    let mut insert = client
        .insert::<Sample>("samples")
        .await?
        .with_setting("async_insert", "0")
        .with_setting("insert_deduplication_token", token);
    for row in rows {
        insert.write(row).await?;
    }
    insert.end().await
}

async fn count(client: &Client) -> u64 {
    client.query("SELECT count() FROM samples").fetch_one().await.expect("a count")
}

#[tokio::test]
async fn typed_rows_are_read_back_unchanged() {
    let server = Server::shared();
    for client in clients(&server).await {
        let rows: Vec<Sample> = (0..50_000).map(sample).collect();
        insert(&client, &rows, "a").await.expect("inserted");
        let read: Vec<Sample> =
            client.query("SELECT ?fields FROM samples ORDER BY place").fetch_all().await.expect("rows");
        assert!(read == rows, "rows differ");
    }
}

#[tokio::test]
async fn any_format_can_be_inserted() {
    let server = Server::shared();
    for client in clients(&server).await {
        for (sql, data) in [
            ("INSERT INTO samples (place, name) FORMAT JSONEachRow", "{\"place\": 1, \"name\": \"it's\"}\n"),
            ("INSERT INTO samples (place, name) FORMAT TSV", "2\tb\n3\tc\n"),
            ("INSERT INTO samples (place, name) SETTINGS async_insert = 0 FORMAT CSV", "4,\"d\"\n"),
            ("INSERT INTO samples (place, name) VALUES", "(5, 'e'), (6, 'f')"),
        ] {
            let mut insert = client.insert_formatted_with(sql);
            insert.send(data.into()).await.expect("sent");
            insert.end().await.expect(sql);
        }
        assert_eq!(count(&client).await, 6);
    }
}

#[tokio::test]
async fn insert_with_rows_in_the_statement_needs_no_body() {
    let server = Server::shared();
    for client in clients(&server).await {
        for sql in [
            "INSERT INTO samples (place) VALUES (1), (2)",
            "INSERT INTO samples (place) SELECT number FROM numbers(10)",
            "INSERT INTO samples (place) FORMAT TSV\n3\n4\n",
        ] {
            client.query(sql).execute().await.expect(sql);
        }
        assert_eq!(count(&client).await, 14);
    }
}

#[tokio::test]
async fn equal_token_deduplicates_and_another_token_inserts() {
    let server = Server::shared();
    for client in clients(&server).await {
        let rows: Vec<Sample> = (0..1_000).map(sample).collect();
        for _ in 0..3 {
            insert(&client, &rows, "it's \\ a token").await.expect("answered");
        }
        assert_eq!(count(&client).await, 1_000);
        insert(&client, &rows, "another").await.expect("answered");
        assert_eq!(count(&client).await, 2_000);
    }
}

#[tokio::test]
async fn failed_insert_reports_its_error_even_after_much_data() {
    let server = Server::shared();
    for client in clients(&server).await {
        let mut insert = client.insert_formatted_with("INSERT INTO nosuch FORMAT TSV");
        for _ in 0..64 {
            // Sending may fail once the server stops reading. The server must still report the error.
            let _ = insert.send(vec![b'1'; 100_000].into()).await;
        }
        assert_eq!(code(insert.end().await), 60);

        let mut insert = client.insert_formatted_with("INSERT INTO samples (place) FORMAT TSV");
        insert.send("1\nnot a number\n".into()).await.expect("sent");
        assert_eq!(code(insert.end().await), 27);
        assert_eq!(count(&client).await, 0);
    }
}

#[tokio::test]
async fn insert_dropped_by_the_client_stores_nothing() {
    let server = Server::shared();
    for client in clients(&server).await {
        let comment = format!("dropped {}", Uuid::now_v7());
        let mut insert = client
            .insert_formatted_with("INSERT INTO samples (place) FORMAT TSV")
            .with_setting("log_comment", &comment)
            .with_setting("insert_deduplication_token", "a token");
        insert.send("1\n2\n".into()).await.expect("sent");
        await_running(&client, &comment, 1).await;
        let token: String = client
            .query(
                "SELECT Settings['insert_deduplication_token'] FROM system.processes
                 WHERE Settings['log_comment'] = ? AND query LIKE 'INSERT%'",
            )
            .bind(&comment)
            .fetch_one()
            .await
            .expect("the insert is listed");
        assert_eq!(token, "a token");
        drop(insert);
        await_running(&client, &comment, 0).await;
        assert_eq!(count(&client).await, 0);
    }
}

#[tokio::test]
async fn truncated_body_stores_nothing() {
    let server = Server::shared();
    let [client, _] = clients(&server).await;
    let database: String = client.query("SELECT currentDatabase()").fetch_one().await.expect("a name");
    for (name, headers, body) in [
        ("chunks without the last", "Transfer-Encoding: chunked", "4\r\n1\n2\n\r\n"),
        ("within a chunk", "Transfer-Encoding: chunked", "ff\r\n1\n2\n"),
        ("short of its length", "Content-Length: 100", "1\n2\n"),
    ] {
        let comment = format!("cut-off-{}", Uuid::now_v7());
        let request = format!(
            "POST /?database={database}&log_comment={comment}&query=INSERT+INTO+samples(place)+FORMAT+TSV HTTP/1.1\r\n\
             Host: x\r\n{headers}\r\n\r\n{body}"
        );
        let stream = send(server.url(), &request).expect("sent");
        await_running(&client, &comment, 1).await;
        drop(stream);
        await_running(&client, &comment, 0).await;
        assert_eq!(count(&client).await, 0, "{name}");
    }
}

#[tokio::test]
async fn concurrent_inserts_are_listed_and_complete_independently() {
    let server = Server::shared();
    let [client, _] = clients(&server).await;
    let comment = format!("many {}", Uuid::now_v7());
    let mut inserts = Vec::new();
    for place in 0..4 {
        let mut insert = client
            .insert_formatted_with("INSERT INTO samples (place) FORMAT TSV")
            .with_setting("log_comment", &comment);
        insert.send(format!("{place}\n").into()).await.expect("sent");
        inserts.push(insert);
    }
    await_running(&client, &comment, 4).await;
    for (place, insert) in inserts.into_iter().enumerate() {
        insert.end().await.expect("stored");
        assert_eq!(count(&client).await, place as u64 + 1);
    }
}

#[tokio::test]
async fn incomplete_large_body_stores_nothing_with_large_blocks() {
    let server = Server::shared();
    let [client, _] = clients(&server).await;
    let comment = format!("large {}", Uuid::now_v7());
    let mut insert = client
        .insert_formatted_with("INSERT INTO samples (place) FORMAT TSV")
        .with_setting("log_comment", &comment)
        .with_setting("max_insert_block_size", "1000000000000")
        .with_setting("max_insert_block_size_bytes", "0")
        .with_setting("min_insert_block_size_rows", "0")
        .with_setting("min_insert_block_size_bytes", "1000000000000");
    // More rows than a block contains by default.
    for _ in 0..30 {
        insert.send("12345\n".repeat(100_000).into()).await.expect("sent");
    }
    await_running(&client, &comment, 1).await;
    drop(insert);
    await_running(&client, &comment, 0).await;
    assert_eq!(count(&client).await, 0);
}
