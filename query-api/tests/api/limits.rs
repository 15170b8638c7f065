//! What one project may ask at once, and what becomes of queries that nobody waits for.

use crate::support::{Sample, shared, store_address, until};
use clickhouse::Client;
use reads::Error;
use reads::hidden::View;
use reads::metrics::Metrics;
use reads::scheduler::Limits;
use reads::series::query::Kind;
use reads::source::{Source, Statement};
use reads::store::Store;
use service::clickhouse::Server;
use service::connections::TrustedRoots;
use std::time::Duration;

/// Ends only when it is ended; `marker` tells it from others.
fn endless(marker: &str) -> Statement {
    let text = format!(
        "SELECT '{marker}' = '' AS place, toInt64(count()) AS bucket, count() AS points, sum(sin(number)) AS total, \
         0. AS least, 0. AS greatest FROM numbers(1000000000000)"
    );
    Statement { text, source: Source::Rows }
}

async fn running(clickhouse: &Client, marker: &str) -> u64 {
    // The pattern does not match this question itself.
    let sql = format!(
        "SELECT count() FROM system.processes WHERE query LIKE concat('%SELECT ', '''', '{marker}', '%')"
    );
    clickhouse.query_raw(&sql).fetch_one().await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_client_left_ends_in_the_store() {
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
    let store = Store::new(&server, Duration::from_secs(60), Metrics::default()).expect("it speaks HTTP");
    let (view, sql) = (View::of(&stack.namespace), endless(&marker));
    let query = tokio::spawn(async move { store.series(&view, ("p", &[]), Kind::Sums, &sql).await });
    until("the query runs", async || running(&stack.clickhouse(), &marker).await == 1).await;
    query.abort();
    until("the query has ended", async || running(&stack.clickhouse(), &marker).await == 0).await;
    assert!(!manager.ok("/api/v1/metrics").await["items"].as_array().expect("items").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_asks_for_too_much_waits_behind_itself_and_no_other_does() {
    let stack = shared();
    let limits = Limits { places: 2, share: 1, line: 1, patience: Duration::from_secs(60) };
    let server = Server {
        url: store_address("CLICKHOUSE_URL"),
        user: None,
        password: None,
        roots: TrustedRoots::default(),
    };
    let store = Store::new(&server, Duration::from_secs(60), Metrics::default())
        .expect("it speaks HTTP")
        .with_limits(limits);
    let marker = format!("heavy{:x}", rand::random::<u64>());
    let ask = || {
        let (store, view, sql) = (store.clone(), View::of(&stack.namespace), endless(&marker));
        tokio::spawn(async move { store.series(&view, ("heavy", &[]), Kind::Sums, &sql).await })
    };
    let first = ask();
    until("the query runs", async || running(&stack.clickhouse(), &marker).await == 1).await;
    let view = View::of(&stack.namespace);
    let mut second = Box::pin(store.metric(&view, "heavy", "m"));
    assert!(futures::poll!(&mut second).is_pending());
    assert_eq!(store.metric(&view, "heavy", "m").await, Err(Error::TooManyQueries));
    // Another project is answered meanwhile, and the one that waits once the first has left.
    assert_eq!(store.metric(&view, "light", "m").await, Err(Error::UnknownMetric));
    assert!(futures::poll!(&mut second).is_pending());
    first.abort();
    assert_eq!(second.await, Err(Error::UnknownMetric));
}
