//! Access to the Redis that integration tests run on.

use std::time::Duration;

/// Returns the URL of the Redis under test.
///
/// # Panics
/// If `REDIS_URL` is not set.
pub fn url() -> String {
    std::env::var("REDIS_URL").expect("REDIS_URL is not set: run deploy/local/test, which starts the stores")
}

/// Returns a namespace that no other test uses.
pub fn namespace() -> String {
    format!("test_{:032x}", rand::random::<u128>())
}

/// Connects to the Redis under test.
pub async fn connection() -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url()).expect("REDIS_URL is a valid address");
    client.get_multiplexed_async_connection().await.expect("Redis is running")
}

/// Polls `condition` until it returns a value.
///
/// # Panics
/// If that takes longer than a minute.
pub async fn until<T>(description: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let poll = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let deadline = Duration::from_secs(60);
    tokio::time::timeout(deadline, poll)
        .await
        .unwrap_or_else(|_| panic!("condition not met in time: {description}"))
}
