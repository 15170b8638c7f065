//! What a project is used for: who sent how much, how it ended, and what of it looks wrong.
//!
//! [`reads::usage::table`] asks ClickHouse what the gateways counted, [`reads::usage::notices`] decides what is worth a word, and `routes/usage.rs`
//! answers with both.

use crate::error::{Error, Unavailable};
use control::projection::{Projection, ReadError};
use futures::future::try_join_all;
use proto::control::EntityKind;
use proto::v1::entity::Kind;
use quota::{UsageReader, Used};
use reads::store::Store;
use reads::usage::notices::Thresholds;
use reads::usage::table::UsageTable;
use redis_access::Redis;
use std::collections::HashMap;
use std::fmt::Display;

/// Knows what projects are used for.
pub struct Usage {
    /// What the gateways counted.
    pub table: UsageTable,
    /// What is worth a notice.
    pub thresholds: Thresholds,
    quota: UsageReader,
    projection: Projection,
    redis: Redis,
}

impl Usage {
    /// Of the installation `namespace`.
    pub fn new(namespace: &str, store: Store, redis: Redis, thresholds: Thresholds) -> Self {
        Self {
            table: UsageTable::new(store, service::clickhouse::usage_database(namespace)),
            thresholds,
            quota: UsageReader::new(namespace, redis.clone()),
            projection: Projection::new(namespace),
            redis,
        }
    }

    /// How much of the running hour a project has used.
    pub async fn hour(&self, project: &str) -> Result<Used, Error> {
        self.quota.used(project).await.map_err(|error| unavailable(&error))
    }

    /// The names of connections; those that were deleted are left out.
    pub async fn names(&self, connections: &[&str]) -> Result<HashMap<String, String>, Error> {
        let one = |id: String| async move {
            let wanted = [(EntityKind::Connection, id.as_str())];
            let ([found], _) = self.projection.read(&mut self.redis.clone(), wanted, None).await?;
            Ok::<_, ReadError>(match found {
                Some(Kind::Connection(connection)) => Some((id, connection.name)),
                _ => None,
            })
        };
        let found = try_join_all(connections.iter().map(|&id| one(id.to_owned()))).await;
        Ok(found.map_err(|error| unavailable(&error))?.into_iter().flatten().collect())
    }

    /// When each connection of a project was last used with its key, Unix milliseconds. Those that were not used in the
    /// last 90 days are left out.
    pub async fn last_used(&self, project: &str) -> Result<HashMap<String, i64>, Error> {
        let now = service::clock::now_ms();
        let rows =
            self.table.connections(project, reads::series::buckets::Range { start: now, end: now }).await?;
        Ok(rows.into_iter().map(|row| (row.connection_id, row.last_at)).collect())
    }
}

fn unavailable(error: &impl Display) -> Error {
    tracing::warn!(%error, "Redis does not say how a project stands");
    Error::Unavailable(Unavailable::Usage)
}
