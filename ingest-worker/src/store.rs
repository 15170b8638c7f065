//! The table of samples of one generation: reading a chain, inserting a block.

use crate::block::Block;
use crate::chain::{self, Answer, Chain};
use crate::idempotency::{Keyed, Receipts, Wanted};
use crate::rows::{self, SampleRow};
use clickhouse::{Client, Row, error::Error};
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use uuid::Uuid;

/// An insert is not finished if the chain was read longer ago than this: by then others may have moved it on, and the
/// engine forgets tokens after a number of blocks, which takes many times as long.
const PERMISSION: Duration = Duration::from_secs(120);
/// From this age on, the chain is read again before a block is offered.
const AGED: Duration = Duration::from_secs(60);
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
const END_TIMEOUT: Duration = Duration::from_secs(60);
/// Room for the keys of a block in one question.
const MAX_QUESTION: &str = "100000000";
/// An insert is one block only if the engine would split at nothing below this.
const NO_SPLIT: &str = "1000000000";

/// Error codes of ClickHouse that the same insert would meet again: what is asked for is wrong, not the moment.
const PERMANENT: [u32; 17] = [6, 10, 16, 27, 36, 44, 47, 50, 53, 62, 69, 70, 115, 117, 130, 349, 469];
/// Those of them that one record may be to blame for: a value that cannot be read or converted, a broken constraint.
const OF_DATA: [u32; 8] = [6, 27, 69, 70, 117, 130, 349, 469];

/// A moment on the clock that also runs while the machine or the process is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        // Neither part of this clock is ever negative.
        Self(Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0)))
    }

    fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }

    /// Whether a chain that was read then is too old to offer a block by.
    pub fn is_aged(self) -> bool {
        self.elapsed() > AGED
    }
}

/// The table of samples of one generation.
#[derive(Clone)]
pub struct Store {
    client: Client,
    /// Begins every token: the generation's number and the control log's id.
    scope: String,
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
    /// The table in `database`. `scope` makes its tokens like no other generation's.
    pub fn new(client: &Client, database: &str, scope: String) -> Self {
        Self { client: client.clone().with_database(database), scope }
    }

    /// The chain of a Kafka partition, from the projection `chain`: a row for each part. The sums over hashes telescope:
    /// if every block begins where another one ends, all but the first beginning and the last end cancel out.
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

    /// The head of every partition that has a chain.
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

    /// The receipts that a block which begins at `before` needs, found by primary key.
    pub async fn receipts(&self, partition: i32, before: i64, wanted: &Wanted) -> Result<Receipts, Error> {
        let origins: HashMap<String, i64> =
            wanted.origins.iter().map(|&origin| (rows::origin_key(origin), origin)).collect();
        let keys = wanted.keys.iter().map(|(project, key)| (project.as_str(), "", key.as_str()));
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
            .with_setting("max_query_size", MAX_QUESTION)
            .with_setting("max_ast_elements", MAX_QUESTION)
            .with_setting("max_expanded_ast_elements", MAX_QUESTION)
            .fetch_all::<ReceiptRow>()
            .await?;
        let mut receipts = Receipts::default();
        for ReceiptRow { project_id, idempotency_key: key, body_hash, received_at_ms } in rows {
            if project_id.is_empty() {
                origins.get(&key).into_iter().for_each(|&origin| receipts.place(origin));
            } else {
                receipts.keyed(Keyed { project_id, key, body_hash }, received_at_ms);
            }
        }
        for offset in self.stored_at(partition, before, wanted).await? {
            receipts.place(offset);
        }
        Ok(receipts)
    }

    /// Which origins are stored from where they stood first. Rare, for it reads the offsets of a partition: only a
    /// block with a retried dead letter asks.
    async fn stored_at(&self, partition: i32, before: i64, wanted: &Wanted) -> Result<Vec<i64>, Error> {
        if wanted.origins.is_empty() {
            return Ok(Vec::new());
        }
        let origins: Vec<i64> = wanted.origins.iter().copied().collect();
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

    /// Inserts `block` as one part. `read_at`: when the chain was read that allows it. With it the reason, if a record
    /// may be to blame for a refusal.
    pub async fn insert(
        &self,
        partition: i32,
        block: &Block,
        form: u32,
        read_at: Moment,
    ) -> (Answer, Option<String>) {
        match self.try_insert(partition, block, form, read_at).await {
            Ok(answer) => (answer, None),
            Err(error) if is_permanent(&error) => {
                tracing::error!(partition, first = block.covers.first, last = block.covers.last, %error,
                    "ClickHouse refused a block for good");
                (
                    Answer::Refused,
                    code(&error).filter(|code| OF_DATA.contains(code)).map(|_| error.to_string()),
                )
            }
            Err(error) => {
                tracing::warn!(partition, first = block.covers.first, %error, "an insert ended without a clear answer");
                (Answer::Unknown, None)
            }
        }
    }

    async fn try_insert(
        &self,
        partition: i32,
        block: &Block,
        form: u32,
        read_at: Moment,
    ) -> Result<Answer, Error> {
        let token = self.token_of(partition, &block.covers, form);
        let mut insert = self
            .client
            .insert::<SampleRow<'_>>("samples")
            .await?
            .with_timeouts(Some(SEND_TIMEOUT), Some(END_TIMEOUT))
            .with_setting("insert_deduplication_token", &token)
            .with_setting("insert_deduplicate", "1")
            // Everything in one block, and that block when the request ends, not later.
            .with_setting("async_insert", "0")
            .with_setting("max_partitions_per_insert_block", "1")
            .with_setting("max_insert_block_size", NO_SPLIT)
            .with_setting("min_insert_block_size_rows", NO_SPLIT)
            .with_setting("min_insert_block_size_bytes", NO_SPLIT)
            .with_setting("max_insert_threads", "1");
        for row in rows::of(block, partition) {
            insert.write(&row).await?;
        }
        if read_at.elapsed() > PERMISSION {
            // Dropped without its end, the request stores nothing.
            return Ok(Answer::Stale);
        }
        insert.end().await?;
        Ok(Answer::Ok)
    }

    /// Whether the engine works on an insert of the block that begins at `first`.
    pub async fn is_running(&self, partition: i32, first: i64, form: u32) -> Result<bool, Error> {
        let running: u64 = self
            .client
            .query(
                "SELECT count() FROM system.processes
                 WHERE Settings['insert_deduplication_token'] = {token:String} AND query_kind = 'Insert'",
            )
            .param("token", self.token(partition, first, form))
            .fetch_one()
            .await?;
        Ok(running > 0)
    }

    /// Blocks of one beginning have one token, whatever their length: they exclude each other.
    fn token_of(&self, partition: i32, covers: &chain::Block, form: u32) -> String {
        self.token(partition, covers.first, form)
    }

    fn token(&self, partition: i32, first: i64, form: u32) -> String {
        let plain = format!("{}/{partition}/{first}", self.scope);
        if form == 0 { plain } else { format!("{plain}/{form}") }
    }
}

fn is_permanent(error: &Error) -> bool {
    matches!(error, Error::SchemaMismatch(_)) || code(error).is_some_and(|code| PERMANENT.contains(&code))
}

/// ClickHouse's number of the error, if it is one of ClickHouse's.
fn code(error: &Error) -> Option<u32> {
    match error {
        Error::BadResponse(text) => service::clickhouse::error_code(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_one_beginning_have_one_token_and_all_others_another() {
        let store = Store::new(&Client::default(), "test", "1/log".to_owned());
        let token = |partition, first, last, form| {
            store.token_of(partition, &chain::Block { first, last, identity: Uuid::nil() }, form)
        };
        let one = token(0, 5, 9, 0);
        assert_eq!(one, token(0, 5, 7, 0), "whatever their length");
        for other in [token(1, 5, 9, 0), token(0, 6, 9, 0), token(0, 5, 9, 1), token(0, 9, 9, 0)] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_wrong_type_is_permanent_and_a_lack_of_memory_is_not() {
        let bad = |code| Error::BadResponse(format!("Code: {code}. DB::Exception: so it is"));
        assert!(is_permanent(&bad(53)));
        assert!(!is_permanent(&bad(241)));
        assert!(!is_permanent(&Error::TimedOut));
        assert!(!is_permanent(&Error::BadResponse("Bad Gateway".to_owned())));
    }
}
