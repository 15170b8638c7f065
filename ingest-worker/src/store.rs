//! The table `samples` of one generation: reads chains and receipts, inserts blocks.

use crate::block::Block;
use crate::chain::{BlockRange, Chain, InsertOutcome};
use crate::idempotency::{KeyedRequest, ReceiptQuery, Receipts};
use crate::rows::{self, SampleRow};
use clickhouse::{Client, Row, error::Error};
use serde::Deserialize;
use service::clock::BootInstant;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use uuid::Uuid;

/// Maximum age of a reading of the chain at the end of an insert; an older insert is abandoned. Other workers may have
/// advanced the head by then. The engine forgets tokens after a number of blocks, and writing that many blocks takes many
/// times as long as this.
const CHAIN_READ_VALID_FOR: Duration = Duration::from_secs(120);
/// Age of a reading of the chain from which on the chain is read again before a block is offered.
pub const CHAIN_READ_REFRESH_AGE: Duration = Duration::from_secs(60);
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
const END_TIMEOUT: Duration = Duration::from_secs(60);
/// Limit for the text and the syntax tree of a query that lists all idempotency keys of a block.
const RECEIPT_QUERY_LIMIT: &str = "100000000";
/// Block size, in rows and bytes, below which the engine must not split an insert.
const NO_SPLIT: &str = "1000000000";

/// Error codes of ClickHouse that the same insert would meet again, because the fault is in the insert itself:
/// CANNOT_PARSE_TEXT, NOT_FOUND_COLUMN_IN_BLOCK, NO_SUCH_COLUMN_IN_TABLE, CANNOT_PARSE_INPUT_ASSERTION_FAILED,
/// BAD_ARGUMENTS, ILLEGAL_COLUMN, UNKNOWN_IDENTIFIER, UNKNOWN_TYPE, TYPE_MISMATCH, SYNTAX_ERROR, ARGUMENT_OUT_OF_BOUND,
/// CANNOT_CONVERT_TYPE, UNKNOWN_SETTING, INCORRECT_DATA, CANNOT_READ_ARRAY_FROM_TEXT, CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN,
/// VIOLATED_CONSTRAINT.
const PERMANENT_ERRORS: [u32; 17] = [6, 10, 16, 27, 36, 44, 47, 50, 53, 62, 69, 70, 115, 117, 130, 349, 469];
/// The permanent errors that a single record can cause: a value that cannot be parsed or converted, a violated constraint.
const RECORD_ERRORS: [u32; 8] = [6, 27, 69, 70, 117, 130, 349, 469];

/// The table `samples` of one generation.
#[derive(Clone)]
pub struct Store {
    client: Client,
    /// Prefix of every deduplication token: number of the generation and id of the control log.
    token_scope: String,
}

/// Result of an insert.
pub struct InsertResult {
    pub outcome: InsertOutcome,
    /// The error of ClickHouse, if the block was rejected and a single record can be the cause.
    pub record_error: Option<String>,
}

#[derive(Row, Deserialize)]
struct ChainRow {
    first: i64,
    last: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    identity: Uuid,
    links: u8,
}

#[derive(Row, Deserialize)]
struct ReceiptRow {
    project_id: String,
    idempotency_key: String,
    body_hash: String,
    received_at_ms: i64,
}

impl Store {
    /// Opens the table in `database`. `token_scope` must differ from that of every other generation; it may be empty if
    /// nothing is inserted.
    pub fn new(client: &Client, database: &str, token_scope: String) -> Self {
        Self { client: client.clone().with_database(database), token_scope }
    }

    /// Reads the chain of a Kafka partition from the ClickHouse projection `chain`, which has one row per part. `links`
    /// compares sums of hashes that telescope: if every block begins at the offset after another block, all terms but the
    /// first beginning and the last end cancel out.
    pub async fn chain(&self, partition: i32) -> Result<Option<Chain>, Error> {
        let row = self
            .client
            .query(
                "SELECT min(first_offset) AS first, max(last_offset) AS last,
                        argMax(identity, last_offset) AS identity,
                        sum(cityHash64(last_offset + 1)) - sum(cityHash64(first_offset))
                            = cityHash64(last + 1) - cityHash64(first) AS links
                 FROM samples WHERE kind = 'marker' AND partition = {partition:Int32}
                 GROUP BY kind, partition",
            )
            .param("partition", partition)
            .fetch_optional::<ChainRow>()
            .await?;
        Ok(row.map(|row| Chain {
            first: row.first,
            last: row.last,
            identity: row.identity,
            linked: row.links != 0,
        }))
    }

    /// Reads the head of every partition that has a chain.
    pub async fn heads(&self) -> Result<BTreeMap<i32, i64>, Error> {
        let heads = self
            .client
            .query(
                "SELECT partition, max(last_offset) FROM samples WHERE kind = 'marker' GROUP BY kind, partition",
            )
            .fetch_all::<(i32, i64)>()
            .await?;
        Ok(heads.into_iter().collect())
    }

    /// Reads the receipts below offset `before` that `query` asks for, by primary key.
    pub async fn receipts(
        &self,
        partition: i32,
        before: i64,
        query: &ReceiptQuery,
    ) -> Result<Receipts, Error> {
        let origins: HashMap<String, i64> =
            query.origins.iter().map(|&origin| (rows::origin_key(origin), origin)).collect();
        let keys = query.keys.iter().map(|(project, key)| (project.as_str(), "", key.as_str()));
        let keys: Vec<_> = keys.chain(origins.keys().map(|key| ("", "", key.as_str()))).collect();
        let rows = self
            .client
            .query(
                "SELECT project_id, idempotency_key, body_hash, toUnixTimestamp64Milli(received_at) AS received_at_ms
                 FROM samples
                 WHERE kind = 'receipt' AND partition = {partition:Int32} AND offset < {before:Int64}
                   AND (project_id, metric_id, idempotency_key) IN ?",
            )
            .bind(keys)
            .param("partition", partition)
            .param("before", before)
            .with_setting("max_query_size", RECEIPT_QUERY_LIMIT)
            .with_setting("max_ast_elements", RECEIPT_QUERY_LIMIT)
            .with_setting("max_expanded_ast_elements", RECEIPT_QUERY_LIMIT)
            .fetch_all::<ReceiptRow>()
            .await?;
        let mut receipts = Receipts::default();
        for ReceiptRow { project_id, idempotency_key: key, body_hash, received_at_ms } in rows {
            if project_id.is_empty() {
                origins.get(&key).into_iter().for_each(|&origin| receipts.add_offset(origin));
            } else {
                receipts.add_keyed(KeyedRequest { project_id, key, body_hash }, received_at_ms);
            }
        }
        for offset in self.stored_origins(partition, before, query).await? {
            receipts.add_offset(offset);
        }
        Ok(receipts)
    }

    /// Returns the origins whose record is stored at its first offset. Scans the offsets of the partition, which is rare:
    /// only a block with a retried dead letter needs it.
    async fn stored_origins(
        &self,
        partition: i32,
        before: i64,
        query: &ReceiptQuery,
    ) -> Result<Vec<i64>, Error> {
        if query.origins.is_empty() {
            return Ok(Vec::new());
        }
        let origins: Vec<i64> = query.origins.iter().copied().collect();
        self.client
            .query(
                "SELECT DISTINCT offset FROM samples
                 WHERE kind = 'sample' AND partition = {partition:Int32} AND offset < {before:Int64} AND offset IN ?",
            )
            .bind(origins)
            .param("partition", partition)
            .param("before", before)
            .fetch_all()
            .await
    }

    /// Inserts `block` as one part. `chain_read_at` is the time of the reading of the chain that the insert relies on.
    pub async fn insert(
        &self,
        partition: i32,
        block: &Block,
        token_form: u32,
        chain_read_at: BootInstant,
    ) -> InsertResult {
        match self.try_insert(partition, block, token_form, chain_read_at).await {
            Ok(outcome) => InsertResult { outcome, record_error: None },
            Err(error) if is_permanent(&error) => {
                tracing::error!(partition, first = block.range.first, last = block.range.last, %error,
                    "block rejected by ClickHouse");
                let by_record = error_code(&error).is_some_and(|code| RECORD_ERRORS.contains(&code));
                let record_error = by_record.then(|| error.to_string());
                InsertResult { outcome: InsertOutcome::Rejected, record_error }
            }
            Err(error) => {
                tracing::warn!(partition, first = block.range.first, %error, "insert outcome unknown");
                InsertResult { outcome: InsertOutcome::Unknown, record_error: None }
            }
        }
    }

    async fn try_insert(
        &self,
        partition: i32,
        block: &Block,
        token_form: u32,
        chain_read_at: BootInstant,
    ) -> Result<InsertOutcome, Error> {
        let token = self.block_token(partition, &block.range, token_form);
        let mut insert = self
            .client
            .insert::<SampleRow<'_>>("samples")
            .await?
            .with_timeouts(Some(SEND_TIMEOUT), Some(END_TIMEOUT))
            .with_setting("insert_deduplication_token", &token)
            .with_setting("insert_deduplicate", "1")
            // The engine must store everything as one block, and before it answers.
            .with_setting("async_insert", "0")
            .with_setting("max_partitions_per_insert_block", "1")
            .with_setting("max_insert_block_size", NO_SPLIT)
            .with_setting("min_insert_block_size_rows", NO_SPLIT)
            .with_setting("min_insert_block_size_bytes", NO_SPLIT)
            .with_setting("max_insert_threads", "1");
        for row in rows::of(block, partition) {
            insert.write(&row).await?;
        }
        if chain_read_at.elapsed() > CHAIN_READ_VALID_FOR {
            // A request that is dropped before its end stores nothing.
            return Ok(InsertOutcome::Abandoned);
        }
        insert.end().await?;
        Ok(InsertOutcome::Acknowledged)
    }

    /// Returns whether an insert with this token runs in the engine.
    pub async fn is_insert_running(
        &self,
        partition: i32,
        first: i64,
        token_form: u32,
    ) -> Result<bool, Error> {
        let running: u64 = self
            .client
            .query(
                "SELECT count() FROM system.processes
                 WHERE Settings['insert_deduplication_token'] = {token:String} AND query_kind = 'Insert'",
            )
            .param("token", self.token(partition, first, token_form))
            .fetch_one()
            .await?;
        Ok(running > 0)
    }

    /// Returns the token of a block. It depends on the first offset and not on the last, so that blocks with the same first
    /// offset exclude each other.
    fn block_token(&self, partition: i32, range: &BlockRange, token_form: u32) -> String {
        self.token(partition, range.first, token_form)
    }

    fn token(&self, partition: i32, first: i64, token_form: u32) -> String {
        let plain = format!("{}/{partition}/{first}", self.token_scope);
        if token_form == 0 { plain } else { format!("{plain}/{token_form}") }
    }
}

fn is_permanent(error: &Error) -> bool {
    matches!(error, Error::SchemaMismatch(_))
        || error_code(error).is_some_and(|code| PERMANENT_ERRORS.contains(&code))
}

/// Returns the error code of ClickHouse, if ClickHouse reported the error.
fn error_code(error: &Error) -> Option<u32> {
    match error {
        Error::BadResponse(text) => service::clickhouse::error_code(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_depends_on_first_offset_partition_and_form_only() {
        let store = Store::new(&Client::default(), "test", "1/log".to_owned());
        let token = |partition, first, last, token_form| {
            store.block_token(partition, &BlockRange { first, last, identity: Uuid::nil() }, token_form)
        };
        let one = token(0, 5, 9, 0);
        assert_eq!(one, token(0, 5, 7, 0), "the last offset does not count");
        for other in [token(1, 5, 9, 0), token(0, 6, 9, 0), token(0, 5, 9, 1), token(0, 9, 9, 0)] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn type_mismatch_is_permanent_and_memory_limit_is_not() {
        let bad = |code| Error::BadResponse(format!("Code: {code}. DB::Exception: message"));
        assert!(is_permanent(&bad(53)));
        assert!(!is_permanent(&bad(241)));
        assert!(!is_permanent(&Error::TimedOut));
        assert!(!is_permanent(&Error::BadResponse("Bad Gateway".to_owned())));
    }
}
