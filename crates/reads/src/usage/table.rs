//! Queries of the table `usage_1m` (see the ingest worker's `migrations/usage/`), with typed rows.
//!
//! The table contains successive states of each counter, which only grow. Queries take the maximum of each
//! counter before they add counters up. If no worker has created the table yet, there was no usage.

use crate::error::Error;
use crate::series::buckets::Range;
use crate::store::Store;
use clickhouse::Row;
use serde::Deserialize;

const HOUR_MS: i64 = 3_600_000;

/// Outcomes of requests with an invalid or revoked key. They do not count as usage of the connection.
const REFUSED: &str = "('invalid_key', 'revoked_key')";

/// Reads the counters of the gateways.
pub struct UsageTable {
    store: Store,
    database: String,
}

/// Requests of a connection in a bucket with the same outcome.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct ItemRow {
    /// Start of the bucket, Unix milliseconds.
    pub bucket: i64,
    /// Empty for keys without a connection.
    pub connection_id: String,
    /// `accepted`, `replayed` or an error code.
    pub outcome: String,
    /// Number of requests.
    pub requests: u64,
    /// Number of accepted metrics in them.
    pub metrics: u64,
}

/// Usage of a connection's key.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct ConnectionRow {
    /// Empty for keys without a connection.
    pub connection_id: String,
    /// Minute of the first use, Unix milliseconds.
    pub first_at: i64,
    /// Last use, Unix milliseconds.
    pub last_at: i64,
    /// Number of addresses that used it in the range.
    pub addresses: u64,
}

/// Requests with invalid or revoked keys of a connection in one minute.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct RefusedRow {
    /// Connection of the keys.
    pub connection_id: String,
    /// Start of the minute, Unix milliseconds.
    pub minute: i64,
    /// Number of requests with an invalid secret.
    pub invalid: u64,
    /// Number of requests with a revoked key.
    pub revoked: u64,
    /// Keyed hashes of the client addresses.
    pub addresses: Vec<u64>,
}

/// First use of a connection from an address.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct AddressRow {
    /// Id of the connection.
    pub connection_id: String,
    /// Keyed hash of the address.
    pub address: u64,
    /// Minute of the first use, Unix milliseconds.
    pub first_at: i64,
}

/// Requests of a connection in one hour.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct HourRow {
    /// Id of the connection.
    pub connection_id: String,
    /// Start of the hour, Unix milliseconds.
    pub hour: i64,
    /// Number of requests.
    pub requests: u64,
}

impl UsageTable {
    /// Creates a reader of the table in `database`.
    pub fn new(store: Store, database: String) -> Self {
        Self { store, database }
    }

    /// Reads counts in buckets of `width_ms`, which must be whole minutes that divide a day. Returns at most
    /// `limit + 1` rows, so that the caller can detect an excess.
    pub async fn items(
        &self,
        project: &str,
        range: Range,
        width_ms: i64,
        limit: usize,
    ) -> Result<Vec<ItemRow>, Error> {
        let sql = format!(
            "SELECT {} AS bucket, connection_id, outcome, sum(n) AS requests, sum(m) AS metrics FROM ({}) \
             GROUP BY bucket, connection_id, outcome ORDER BY bucket, connection_id, outcome LIMIT {}",
            bucket(width_ms),
            states(range, ""),
            limit + 1
        );
        self.read("usage", &sql, project).await
    }

    /// Reads every connection that was ever used, with the number of addresses in `range`.
    pub async fn connections(&self, project: &str, range: Range) -> Result<Vec<ConnectionRow>, Error> {
        let (start, end) = seconds(range);
        let sql = format!(
            "SELECT connection_id, toInt64(toUnixTimestamp(min(minute))) * 1000 AS first_at, \
             toUnixTimestamp64Milli(max(t.last_at)) AS last_at, \
             length(groupUniqArrayArrayIf(t.addresses, minute >= toDateTime({start}, 'UTC') \
             AND minute < toDateTime({end}, 'UTC'))) AS addresses \
             FROM usage_1m AS t WHERE project_id = {{project:String}} AND outcome NOT IN {REFUSED} \
             GROUP BY connection_id ORDER BY connection_id"
        );
        self.read("usage_connections", &sql, project).await
    }

    /// Reads minutes with invalid or revoked keys, ordered by connection and time.
    pub async fn refused(&self, project: &str, range: Range) -> Result<Vec<RefusedRow>, Error> {
        let sql = format!(
            "SELECT connection_id, {} AS minute_ms, sumIf(n, outcome = 'invalid_key') AS invalid, \
             sumIf(n, outcome = 'revoked_key') AS revoked, groupUniqArrayArray(a) AS addresses FROM ({}) \
             GROUP BY connection_id, minute_ms",
            bucket(60_000),
            states(range, &format!(" AND outcome IN {REFUSED}"))
        );
        let sql = format!(
            "SELECT connection_id, minute_ms AS minute, invalid, revoked, addresses FROM ({sql}) \
             ORDER BY connection_id, minute"
        );
        self.read("usage_refused", &sql, project).await
    }

    /// Reads addresses from which a connection was first used in `range`.
    pub async fn new_addresses(&self, project: &str, range: Range) -> Result<Vec<AddressRow>, Error> {
        let (start, end) = seconds(range);
        let sql = format!(
            "SELECT connection_id, address, toInt64(toUnixTimestamp(min(minute))) * 1000 AS first_at \
             FROM usage_1m ARRAY JOIN addresses AS address \
             WHERE project_id = {{project:String}} AND outcome NOT IN {REFUSED} AND minute < toDateTime({end}, 'UTC') \
             GROUP BY connection_id, address HAVING min(minute) >= toDateTime({start}, 'UTC') \
             ORDER BY first_at DESC, connection_id, address LIMIT 1000"
        );
        self.read("usage_addresses", &sql, project).await
    }

    /// Reads requests by connection and hour in this order, without invalid and revoked keys.
    pub async fn hours(&self, project: &str, range: Range) -> Result<Vec<HourRow>, Error> {
        let sql = format!(
            "SELECT connection_id, {} AS hour, sum(n) AS requests FROM ({}) \
             GROUP BY connection_id, hour ORDER BY connection_id, hour",
            bucket(HOUR_MS),
            states(range, &format!(" AND outcome NOT IN {REFUSED}"))
        );
        self.read("usage_hours", &sql, project).await
    }

    async fn read<T>(&self, name: &'static str, sql: &str, project: &str) -> Result<Vec<T>, Error>
    where
        T: clickhouse::RowOwned + clickhouse::RowRead,
    {
        self.store.rows_or_empty(name, &self.database, sql, project).await
    }
}

/// Returns a statement for the last state of every counter of a project in the minutes of `range`: `n`
/// requests, `m` metrics, `a` addresses.
fn states(range: Range, filter: &str) -> String {
    let (start, end) = seconds(range);
    format!(
        "SELECT minute, connection_id, outcome, counter_id, max(requests) AS n, max(metrics) AS m, \
         groupUniqArrayArray(addresses) AS a FROM usage_1m WHERE project_id = {{project:String}} \
         AND minute >= toDateTime({start}, 'UTC') AND minute < toDateTime({end}, 'UTC'){filter} \
         GROUP BY minute, connection_id, outcome, counter_id"
    )
}

/// Returns the expression for the start of a minute's bucket, Unix milliseconds.
fn bucket(width_ms: i64) -> String {
    let seconds = width_ms / 1000;
    format!("toInt64(intDiv(toUnixTimestamp(minute), {seconds})) * {}", seconds * 1000)
}

/// Returns the whole minutes that a range overlaps, in Unix seconds, limited to the values of the column type.
fn seconds(range: Range) -> (i64, i64) {
    let clamp = |seconds: i64| seconds.clamp(0, i64::from(u32::MAX));
    (
        clamp(range.start.div_euclid(60_000) * 60),
        clamp(range.end.div_euclid(1000) + i64::from(range.end % 1000 != 0)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_is_extended_to_whole_minutes() {
        assert_eq!(seconds(Range { start: 60_000, end: 120_000 }), (60, 120));
        assert_eq!(seconds(Range { start: 61_500, end: 120_001 }), (60, 121));
        assert_eq!(seconds(Range { start: -5, end: i64::MAX }), (0, i64::from(u32::MAX)));
    }
}
