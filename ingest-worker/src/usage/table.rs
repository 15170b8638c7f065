//! The table `usage_1m`, as `migrations/usage/` defines it.

use clickhouse::{Client, Row, error::Error};
use serde::Serialize;
use std::time::Duration;
use uuid::Uuid;

const SEND_TIMEOUT: Duration = Duration::from_secs(30);
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// State of one counter.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize)]
pub struct UsageRow {
    /// Empty for requests whose key is not known.
    pub project_id: String,
    /// Start of the minute, Unix seconds.
    pub minute: u32,
    /// Empty for keys that belong to no connection.
    pub connection_id: String,
    /// `accepted`, `replayed`, or an error code.
    pub outcome: String,
    /// Identifies the gateway process that counted.
    #[serde(with = "clickhouse::serde::uuid")]
    pub counter_id: Uuid,
    pub requests: u64,
    /// Number of accepted metrics.
    pub metrics: u64,
    /// Time of the last answer, Unix milliseconds.
    pub last_at: i64,
    /// Keyed hashes of client addresses.
    pub addresses: Vec<u64>,
}

pub struct Table {
    client: Client,
}

impl Table {
    pub fn new(client: &Client, database: &str) -> Self {
        Self { client: client.clone().with_database(database) }
    }

    /// Inserts rows; returns once they are stored.
    pub async fn insert(&self, rows: &[UsageRow]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut insert = self
            .client
            .insert::<UsageRow>("usage_1m")
            .await?
            .with_timeouts(Some(SEND_TIMEOUT), Some(END_TIMEOUT))
            .with_setting("async_insert", "0");
        for row in rows {
            insert.write(row).await?;
        }
        insert.end().await
    }
}
