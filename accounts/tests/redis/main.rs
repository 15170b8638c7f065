//! Accounts on a real Redis: the one that `REDIS_URL` names. Each test has a namespace of its own in it.

mod keys;
mod plans;
mod quota;
mod world;

use std::time::Duration;

/// Where Redis is.
fn url() -> String {
    std::env::var("REDIS_URL").expect("REDIS_URL is not set: run deploy/local/test, which starts the stores")
}

/// A namespace that nobody else uses.
fn namespace() -> String {
    format!("test_{}", uuid::Uuid::new_v4().simple())
}

async fn connection() -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url()).expect("it is an address");
    client.get_multiplexed_async_connection().await.expect("Redis runs")
}

/// Asks `condition` until it gives a value.
async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, asked).await.unwrap_or_else(|_| panic!("it never came about that {what}"))
}
