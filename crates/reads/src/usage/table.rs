//! The table `usage_1m` (see the ingest worker's `migrations/usage/`): what is asked of it, with rows as types.
//!
//! Each count has states that only grow: the greatest is taken of each before counts are added up. While no worker has
//! made the table there was no use.

use crate::error::Error;
use crate::series::buckets::Range;
use crate::store::Store;
use clickhouse::Row;
use serde::Deserialize;

const HOUR_MS: i64 = 3_600_000;

/// Outcomes of requests whose key was wrong or revoked: no use of the connection, whoever sent them.
const REFUSED: &str = "('invalid_key', 'revoked_key')";

/// Reads what the gateways counted.
pub struct UsageTable {
    store: Store,
    database: String,
}

/// Requests of a bucket that ended alike.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct ItemRow {
    /// The bucket's start, Unix milliseconds.
    pub bucket: i64,
    /// Empty for keys that stand alone.
    pub connection_id: String,
    /// `accepted`, `replayed` or an error code.
    pub outcome: String,
    /// How many requests.
    pub requests: u64,
    /// How many metrics in them were accepted.
    pub metrics: u64,
}

/// How a connection's key was used.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct ConnectionRow {
    /// Empty for keys that stand alone.
    pub connection_id: String,
    /// The minute of its first use, Unix milliseconds.
    pub first_at: i64,
    /// Its last use, Unix milliseconds.
    pub last_at: i64,
    /// From how many addresses it was used in the range.
    pub addresses: u64,
}

/// Requests with wrong or revoked keys of a connection in one minute.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct RefusedRow {
    /// The connection that the keys name.
    pub connection_id: String,
    /// Unix milliseconds of its start.
    pub minute: i64,
    /// With a wrong secret.
    pub invalid: u64,
    /// With a revoked key.
    pub revoked: u64,
    /// Keyed hashes of the addresses that they came from.
    pub addresses: Vec<u64>,
}

/// The first use of a connection from an address.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct AddressRow {
    /// The connection.
    pub connection_id: String,
    /// The keyed hash of the address.
    pub address: u64,
    /// The minute, Unix milliseconds.
    pub first_at: i64,
}

/// Requests of a connection in one hour.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct HourRow {
    /// The connection.
    pub connection_id: String,
    /// The hour's start, Unix milliseconds.
    pub hour: i64,
    /// How many requests.
    pub requests: u64,
}

impl UsageTable {
    /// The table in `database`.
    pub fn new(store: Store, database: String) -> Self {
        Self { store, database }
    }

    /// Counts in buckets of `width_ms`, whole minutes that divide a day; at most `most` and one more.
    pub async fn items(
        &self,
        project: &str,
        range: Range,
        width_ms: i64,
        most: usize,
    ) -> Result<Vec<ItemRow>, Error> {
        let sql = format!(
            "SELECT {} AS bucket, connection_id, outcome, sum(n) AS requests, sum(m) AS metrics FROM ({}) \
             GROUP BY bucket, connection_id, outcome ORDER BY bucket, connection_id, outcome LIMIT {}",
            bucket(width_ms),
            states(range, ""),
            most + 1
        );
        self.ask("usage", &sql, project).await
    }

    /// Every connection that was ever used, with the number of addresses in `range`.
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
        self.ask("usage_connections", &sql, project).await
    }

    /// Minutes with wrong or revoked keys, by connection and time.
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
        self.ask("usage_refused", &sql, project).await
    }

    /// Addresses from which a connection was first used in `range`.
    pub async fn new_addresses(&self, project: &str, range: Range) -> Result<Vec<AddressRow>, Error> {
        let (start, end) = seconds(range);
        let sql = format!(
            "SELECT connection_id, address, toInt64(toUnixTimestamp(min(minute))) * 1000 AS first_at \
             FROM usage_1m ARRAY JOIN addresses AS address \
             WHERE project_id = {{project:String}} AND outcome NOT IN {REFUSED} AND minute < toDateTime({end}, 'UTC') \
             GROUP BY connection_id, address HAVING min(minute) >= toDateTime({start}, 'UTC') \
             ORDER BY first_at DESC, connection_id, address LIMIT 1000"
        );
        self.ask("usage_addresses", &sql, project).await
    }

    /// Requests by connection and hour, wrong and revoked keys left out, in order.
    pub async fn hours(&self, project: &str, range: Range) -> Result<Vec<HourRow>, Error> {
        let sql = format!(
            "SELECT connection_id, {} AS hour, sum(n) AS requests FROM ({}) \
             GROUP BY connection_id, hour ORDER BY connection_id, hour",
            bucket(HOUR_MS),
            states(range, &format!(" AND outcome NOT IN {REFUSED}"))
        );
        self.ask("usage_hours", &sql, project).await
    }

    async fn ask<T>(&self, name: &'static str, sql: &str, project: &str) -> Result<Vec<T>, Error>
    where
        T: clickhouse::RowOwned + clickhouse::RowRead,
    {
        self.store.rows_if_there(name, &self.database, sql, project).await
    }
}

/// The last state of every count of a project in the minutes of `range`: `n` requests, `m` metrics, `a` addresses.
fn states(range: Range, filter: &str) -> String {
    let (start, end) = seconds(range);
    format!(
        "SELECT minute, connection_id, outcome, counter_id, max(requests) AS n, max(metrics) AS m, \
         groupUniqArrayArray(addresses) AS a FROM usage_1m WHERE project_id = {{project:String}} \
         AND minute >= toDateTime({start}, 'UTC') AND minute < toDateTime({end}, 'UTC'){filter} \
         GROUP BY minute, connection_id, outcome, counter_id"
    )
}

/// The start of a minute's bucket, Unix milliseconds.
fn bucket(width_ms: i64) -> String {
    let seconds = width_ms / 1000;
    format!("toInt64(intDiv(toUnixTimestamp(minute), {seconds})) * {}", seconds * 1000)
}

/// The whole minutes that a range touches, Unix seconds within what the column holds.
fn seconds(range: Range) -> (i64, i64) {
    let held = |seconds: i64| seconds.clamp(0, i64::from(u32::MAX));
    (
        held(range.start.div_euclid(60_000) * 60),
        held(range.end.div_euclid(1000) + i64::from(range.end % 1000 != 0)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_all_minutes_that_it_touches() {
        assert_eq!(seconds(Range { start: 60_000, end: 120_000 }), (60, 120));
        assert_eq!(seconds(Range { start: 61_500, end: 120_001 }), (60, 121));
        assert_eq!(seconds(Range { start: -5, end: i64::MAX }), (0, i64::from(u32::MAX)));
    }
}
