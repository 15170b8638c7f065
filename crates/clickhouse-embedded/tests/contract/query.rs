//! Selects, DDL, parameters, settings and errors.

use crate::support::{Server, await_running, code};
use clickhouse::{Client, Compression};

async fn clients(server: &Server) -> [Client; 2] {
    let client = server.database().await;
    [client.clone().with_compression(Compression::Lz4), client.with_compression(Compression::None)]
}

#[tokio::test]
async fn select_works_with_and_without_compression() {
    let server = Server::shared();
    for client in clients(&server).await {
        let rows: Vec<(u64, String)> = client
            .query("SELECT number, toString(number) FROM numbers(200000)")
            .fetch_all()
            .await
            .expect("rows");
        assert_eq!(rows.len(), 200_000);
        assert_eq!(rows[199_999], (199_999, "199999".to_owned()));
    }
}

#[tokio::test]
async fn select_without_rows_returns_an_empty_result() {
    let server = Server::shared();
    for client in clients(&server).await {
        let rows: Vec<u64> =
            client.query("SELECT number FROM numbers(0)").fetch_all().await.expect("no rows");
        assert!(rows.is_empty());
    }
}

#[tokio::test]
async fn tables_are_created_and_dropped() {
    let server = Server::shared();
    for client in clients(&server).await {
        let create = "CREATE TABLE d (a UInt8) ENGINE = MergeTree ORDER BY a";
        client.query(create).execute().await.expect("created");
        assert_eq!(code(client.query(create).execute().await), 57);
        client.query("CREATE OR REPLACE VIEW v AS SELECT a FROM d").execute().await.expect("a view");
        assert_eq!(client.query("SELECT count() FROM v").fetch_one::<u64>().await.expect("a count"), 0);
        client.query("DROP TABLE d").execute().await.expect("dropped");
    }
}

#[tokio::test]
async fn parameters_are_passed_unchanged() {
    let server = Server::shared();
    let text = "it's a\ttab, a \\ and a\nline";
    for client in clients(&server).await {
        let row: (String, u64) = client
            .query("SELECT {text:String}, {number:UInt64}")
            .param("text", text)
            .param("number", u64::MAX)
            .fetch_one()
            .await
            .expect("a row");
        assert_eq!(row, (text.to_owned(), u64::MAX));
    }
}

#[tokio::test]
async fn setting_affects_only_its_own_query() {
    let server = Server::shared();
    let client = server.client();
    let setting = "SELECT value FROM system.settings WHERE name = 'max_insert_block_size'";
    let before: String = client.query(setting).fetch_one().await.expect("a value");
    let during: String = client
        .query(setting)
        .with_setting("max_insert_block_size", "4242")
        .fetch_one()
        .await
        .expect("a value");
    assert_eq!(during, "4242");
    // More queries than connections, so every connection is checked.
    for _ in 0..20 {
        assert_eq!(client.query(setting).fetch_one::<String>().await.expect("a value"), before);
    }
}

#[tokio::test]
async fn settings_sent_by_the_services_are_accepted() {
    let server = Server::shared();
    let mut query = server.client().query("SELECT 1");
    for (name, value) in [
        ("insert_deduplication_token", "it's a \\ token"),
        ("async_insert", "0"),
        ("max_partitions_per_insert_block", "1"),
        ("max_insert_block_size", "1000000"),
        ("min_insert_block_size_rows", "1000000"),
        ("min_insert_block_size_bytes", "1000000000"),
        ("log_comment", "a comment"),
        ("force_optimize_projection", "0"),
        ("max_execution_time", "10"),
        ("wait_end_of_query", "1"),
        ("query_id", "settings-of-the-pipeline"),
        ("readonly", "2"),
    ] {
        query = query.with_setting(name, value);
    }
    assert_eq!(query.fetch_one::<u8>().await.expect("all settings are accepted"), 1);
}

#[tokio::test]
async fn read_only_queries_cannot_write() {
    let server = Server::shared();
    let client = server.database().await;
    let create = client.query("CREATE TABLE r (a UInt8) ENGINE = Memory").with_setting("readonly", "1");
    assert_eq!(code(create.execute().await), 164);
}

#[tokio::test]
async fn errors_carry_clickhouse_codes() {
    let server = Server::shared();
    for client in clients(&server).await {
        assert_eq!(code(client.query("SELECTT 1").execute().await), 62);
        assert_eq!(code(client.query("SELECT 1 FROM nosuch").fetch_all::<u8>().await), 60);
        assert_eq!(code(client.query("SELECT nosuch").fetch_all::<u8>().await), 47);
        assert_eq!(code(client.query("SELECT 1").with_setting("nosuch", "1").fetch_all::<u8>().await), 115);
        assert_eq!(code(client.query("SELECT 1; SELECT 2").execute().await), 62);
        let lost = client.clone().with_database("nosuch");
        assert_eq!(code(lost.query("SELECT 1").fetch_all::<u8>().await), 81);
    }
}

#[tokio::test]
async fn query_ends_at_its_max_execution_time() {
    let server = Server::shared();
    let query = server.client().query("SELECT count() FROM numbers(1000000000000)");
    assert_eq!(code(query.with_setting("max_execution_time", "1").fetch_one::<u64>().await), 159);
}

#[tokio::test]
async fn queries_run_concurrently() {
    let server = Server::shared();
    let client = server.client();
    let comment = format!("concurrent {}", uuid::Uuid::now_v7());
    let queries: Vec<_> = (0..4)
        .map(|_| {
            let query = client
                .query("SELECT count() FROM numbers(1000000000000)")
                .with_setting("log_comment", &comment);
            tokio::spawn(async move { query.with_setting("max_threads", "1").fetch_one::<u64>().await })
        })
        .collect();
    await_running(&client, &comment, 4).await;
    // The client disconnects, which ends its queries.
    queries.iter().for_each(tokio::task::JoinHandle::abort);
    await_running(&client, &comment, 0).await;
}

#[tokio::test]
async fn killed_query_reports_code_394() {
    let server = Server::shared();
    let client = server.client();
    let comment = format!("killed {}", uuid::Uuid::now_v7());
    let query =
        client.query("SELECT count() FROM numbers(1000000000000)").with_setting("log_comment", &comment);
    let query = tokio::spawn(async move { query.fetch_one::<u64>().await });
    await_running(&client, &comment, 1).await;
    let kill = "KILL QUERY WHERE Settings['log_comment'] = ? AND query NOT LIKE 'KILL%' SYNC";
    client.query(kill).bind(&comment).execute().await.expect("killed");
    assert_eq!(code(query.await.expect("the task ends")), 394);
}
