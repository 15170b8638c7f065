//! Limits of concurrent queries, and cancellation of abandoned queries.

use crate::support::{Sample, shared, store_address, until};
use clickhouse::Client;
use reads::Error;
use reads::deletions::View;
use reads::metrics::Metrics;
use reads::scheduler::Limits;
use reads::series::query::Kind;
use reads::source::{Source, Statement};
use reads::store::Store;
use service::clickhouse::Server;
use service::connections::TrustedRoots;
use std::time::Duration;

/// A query that runs until it is cancelled; `marker` identifies it.
fn endless(marker: &str) -> Statement {
    let text = format!(
        "SELECT '{marker}' = '' AS series_index, toInt64(count()) AS bucket, count() AS points, sum(sin(number)) AS total, \
         0. AS min_value, 0. AS max_value FROM numbers(1000000000000)"
    );
    Statement { text, source: Source::Rows }
}

async fn running(clickhouse: &Client, marker: &str) -> u64 {
    // The pattern does not match this query itself.
    let sql = format!(
        "SELECT count() FROM system.processes WHERE query LIKE concat('%SELECT ', '''', '{marker}', '%')"
    );
    clickhouse.query_raw(&sql).fetch_one().await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn query_of_a_disconnected_client_is_cancelled() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    stack.store(&project, &[Sample { metric: "m", time: 1_767_571_200_000, ..Sample::default() }]).await;
    let marker = format!("left{:x}", rand::random::<u64>());
    let server = Server {
        url: store_address("CLICKHOUSE_URL"),
        user: None,
        password: None,
        roots: TrustedRoots::default(),
    };
    let store = Store::new(&server, Duration::from_secs(60), Metrics::default()).expect("an HTTP client");
    let (view, sql) = (View::unmasked(&stack.namespace), endless(&marker));
    let query = tokio::spawn(async move { store.series(&view, ("p", &[]), Kind::Sums, &sql).await });
    until("the query runs", async || running(&stack.clickhouse(), &marker).await == 1).await;
    query.abort();
    until("the query has ended", async || running(&stack.clickhouse(), &marker).await == 0).await;
    assert!(!manager.ok("/api/v1/metrics").await["items"].as_array().expect("items").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_project_delays_only_its_own_queries() {
    let stack = shared();
    let limits =
        Limits { slots: 2, slots_per_project: 1, queue_per_project: 1, max_wait: Duration::from_secs(60) };
    let server = Server {
        url: store_address("CLICKHOUSE_URL"),
        user: None,
        password: None,
        roots: TrustedRoots::default(),
    };
    let store = Store::new(&server, Duration::from_secs(60), Metrics::default())
        .expect("an HTTP client")
        .with_limits(limits);
    let marker = format!("heavy{:x}", rand::random::<u64>());
    let start_query = || {
        let (store, view, sql) = (store.clone(), View::unmasked(&stack.namespace), endless(&marker));
        tokio::spawn(async move { store.series(&view, ("heavy", &[]), Kind::Sums, &sql).await })
    };
    let first = start_query();
    until("the query runs", async || running(&stack.clickhouse(), &marker).await == 1).await;
    let view = View::unmasked(&stack.namespace);
    let mut second = Box::pin(store.metric(&view, "heavy", "m"));
    assert!(futures::poll!(&mut second).is_pending());
    assert_eq!(store.metric(&view, "heavy", "m").await, Err(Error::TooManyQueries));
    // Another project gets its answer meanwhile, and the waiting query gets its answer when the first one has
    // ended.
    assert_eq!(store.metric(&view, "light", "m").await, Err(Error::UnknownMetric));
    assert!(futures::poll!(&mut second).is_pending());
    first.abort();
    assert_eq!(second.await, Err(Error::UnknownMetric));
}
