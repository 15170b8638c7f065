//! The table `usage_1m`, as `migrations/usage/` defines it.

use clickhouse::{Client, Row, error::Error};
use serde::Serialize;
use std::time::Duration;
use uuid::Uuid;

const SEND_TIMEOUT: Duration = Duration::from_secs(30);
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// The state of one count.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize)]
pub struct UsageRow {
    /// Empty for requests whose key is not known.
    pub project_id: String,
    /// Unix seconds of its start.
    pub minute: u32,
    /// Empty for keys that stand alone.
    pub connection_id: String,
    /// How the requests ended.
    pub outcome: String,
    /// Who counted.
    #[serde(with = "clickhouse::serde::uuid")]
    pub counter_id: Uuid,
    /// How many requests.
    pub requests: u64,
    /// How many metrics in them were accepted.
    pub metrics: u64,
    /// When the last of them was answered, Unix milliseconds.
    pub last_at: i64,
    /// Keyed hashes of the clients' addresses.
    pub addresses: Vec<u64>,
}

/// The table.
pub struct Table {
    client: Client,
}

impl Table {
    /// The table in `database`.
    pub fn new(client: &Client, database: &str) -> Self {
        Self { client: client.clone().with_database(database) }
    }

    /// Stores rows; returns once they are there.
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
