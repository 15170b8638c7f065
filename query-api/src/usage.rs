//! Usage of a project's keys and connections.
//!
//! [`reads::usage::table`] reads the gateways' counts from ClickHouse, [`reads::usage::notices`] finds
//! suspicious requests in them, and `routes/usage.rs` returns both.

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

/// Reads the usage of projects.
pub struct Usage {
    /// The gateways' counts.
    pub table: UsageTable,
    /// Thresholds of the notices.
    pub thresholds: Thresholds,
    quota: UsageReader,
    projection: Projection,
    redis: Redis,
}

impl Usage {
    pub fn new(namespace: &str, store: Store, redis: Redis, thresholds: Thresholds) -> Self {
        Self {
            table: UsageTable::new(store, service::clickhouse::usage_database(namespace)),
            thresholds,
            quota: UsageReader::new(namespace, redis.clone()),
            projection: Projection::new(namespace),
            redis,
        }
    }

    /// Returns the project's quota usage of the current hour.
    pub async fn hour(&self, project: &str) -> Result<Used, Error> {
        self.quota.used(project).await.map_err(|error| unavailable(&error))
    }

    /// Returns the names of connections by id, without removed connections.
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

    /// Returns the time of the last request with a key of each connection by id, Unix milliseconds.
    /// Connections without a request in the last 90 days are left out.
    pub async fn last_used(&self, project: &str) -> Result<HashMap<String, i64>, Error> {
        let now = service::clock::now_ms();
        let rows =
            self.table.connections(project, reads::series::buckets::Range { start: now, end: now }).await?;
        Ok(rows.into_iter().map(|row| (row.connection_id, row.last_at)).collect())
    }
}

fn unavailable(error: &impl Display) -> Error {
    tracing::warn!(%error, "usage lookup failed: Redis unavailable");
    Error::Unavailable(Unavailable::Usage)
}
