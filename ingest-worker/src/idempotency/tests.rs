//! Cuts random logs with repeated keys and retried dead letters into blocks at random offsets, with crashes in between.
//! The stored records must be those of the plain definition, wherever the blocks begin and end.

use super::*;
use crate::block::Block;
use crate::fetched_record::FetchedRecord;
use proptest::prelude::*;
use proto::Message as _;
use proto::v1::{MetricBatch, Sample};
use std::time::Instant;

const HOUR_MS: i64 = 60 * 60 * 1000;

/// A record of a random log.
#[derive(Debug, Clone)]
struct LogEntry {
    /// Number of missing offsets before it.
    gap: u8,
    project: u8,
    /// 0 for no key.
    key: u8,
    hash: u8,
    received_hours: i64,
    /// If set, this is a retry of the record that many entries earlier.
    retries: Option<usize>,
    undecodable: bool,
}

fn log_entry() -> impl Strategy<Value = LogEntry> {
    let retries = prop::option::weighted(0.2, 1usize..6);
    (0u8..3, 0u8..2, 0u8..4, 0u8..2, 0i64..60, retries, prop::bool::weighted(0.1)).prop_map(
        |(gap, project, key, hash, received_hours, retries, undecodable)| LogEntry {
            gap,
            project,
            key,
            hash,
            received_hours,
            retries,
            undecodable,
        },
    )
}

/// Offset and candidate of each record; no candidate for a record that cannot be decoded.
type Log = Vec<(i64, Option<Candidate>)>;

fn log(entries: &[LogEntry]) -> Log {
    let mut log = Log::new();
    for record in entries {
        let offset = log.last().map_or(0, |last| last.0 + 1) + i64::from(record.gap);
        let retried = record.retries.and_then(|back| log.len().checked_sub(back)).map(|at| log[at].clone());
        let keyed = (record.key > 0).then(|| KeyedRequest {
            project_id: format!("prj_{}", record.project),
            key: format!("k{}", record.key),
            body_hash: hex(record.hash),
        });
        let received_at_ms = 1_790_000_000_000 + record.received_hours * HOUR_MS;
        let origin = retried
            .map(|(offset, candidate)| candidate.and_then(|candidate| candidate.origin).unwrap_or(offset));
        let candidate = Candidate { offset, received_at_ms, keyed, origin };
        log.push((offset, (!record.undecodable).then_some(candidate)));
    }
    log
}

fn hex(hash: u8) -> String {
    format!("{hash:02x}").repeat(32)
}

/// The plain definition: compares each record with all records before it.
fn stored_by_definition(log: &Log) -> Vec<i64> {
    let mut stored: Vec<&Candidate> = Vec::new();
    for candidate in log.iter().filter_map(|(_, candidate)| candidate.as_ref()) {
        let repeat = stored.iter().any(|earlier| {
            let same_key = candidate.keyed.is_some() && candidate.keyed == earlier.keyed;
            let in_window = (candidate.received_at_ms - earlier.received_at_ms).abs() < 24 * HOUR_MS;
            let same_origin = candidate
                .origin
                .is_some_and(|origin| earlier.offset == origin || earlier.origin == Some(origin));
            (same_key && in_window) || same_origin
        });
        if !repeat {
            stored.push(candidate);
        }
    }
    stored.into_iter().map(|candidate| candidate.offset).collect()
}

fn record((offset, candidate): &(i64, Option<Candidate>)) -> FetchedRecord {
    let payload = match candidate {
        None => b"\xff\xff".to_vec(),
        Some(candidate) => {
            let keyed = candidate.keyed.clone();
            let hash =
                keyed.as_ref().map_or(0, |keyed| u8::from_str_radix(&keyed.body_hash[..2], 16).expect("hex"));
            let sample = Sample { metric_id: "m".to_owned(), value: 1.0, ..Sample::default() };
            MetricBatch {
                batch_id: vec![7; 16],
                project_id: keyed.as_ref().map_or("prj".to_owned(), |keyed| keyed.project_id.clone()),
                received_at_ms: candidate.received_at_ms,
                samples: vec![sample],
                body_hash: if keyed.is_some() { vec![hash; 32] } else { Vec::new() },
                idempotency_key: keyed.map(|keyed| keyed.key).unwrap_or_default(),
                ..MetricBatch::default()
            }
            .encode_to_vec()
        }
    };
    let origin = candidate.as_ref().and_then(|candidate| candidate.origin);
    FetchedRecord { offset: *offset, payload, origin, trace: None, arrived_at: Instant::now(), budget: None }
}

/// The table: the stored records of every block.
#[derive(Default)]
struct Table {
    rows: Vec<Candidate>,
    head: i64,
}

impl Table {
    /// Answers as `Store::receipts` does.
    fn receipts(&self, before: i64, query: &ReceiptQuery) -> Receipts {
        let mut receipts = Receipts::default();
        for row in self.rows.iter().filter(|row| row.offset < before) {
            if let Some(keyed) = &row.keyed
                && query.keys.contains(&(keyed.project_id.clone(), keyed.key.clone()))
            {
                receipts.add_keyed(keyed.clone(), row.received_at_ms);
            }
            for offset in [Some(row.offset), row.origin].into_iter().flatten() {
                if query.origins.contains(&offset) {
                    receipts.add_offset(offset);
                }
            }
        }
        receipts
    }
}

/// Builds the block of the next `size` records from `from` on, without the repeats of rows in the table.
fn next_block(log: &Log, table: &Table, from: i64, size: usize) -> Option<Block> {
    let records: Vec<FetchedRecord> =
        log.iter().filter(|(offset, _)| *offset >= from).take(size).map(record).collect();
    let mut block = Block::new(from, records.first()?.arrived_at);
    for record in records {
        block.push(record);
    }
    let query = block.receipt_query();
    if !query.is_empty() {
        block.drop_repeats(table.receipts(from, &query));
    }
    Some(block)
}

proptest! {
    #[test]
    fn stored_records_do_not_depend_on_block_boundaries_or_crashes(
        entries in prop::collection::vec(log_entry(), 1..60),
        steps in prop::collection::vec((1usize..9, 0u8..4), 300),
    ) {
        let log = log(&entries);
        let end = log.last().expect("the log has a record").0;
        let mut table = Table { head: -1, ..Table::default() };
        let mut stored = Vec::new();
        for (size, fate) in steps {
            // A block is built again from the same head, as by a worker that stalled while others advanced it: the result
            // must be the same.
            let Some(block) = next_block(&log, &table, table.head + 1, size) else { break };
            let range = block.range;
            if fate == 0 {
                continue; // A crash before the insert: the next block ends elsewhere.
            }
            let again = next_block(&log, &table, range.first, size).expect("the records are in the log");
            prop_assert_eq!(offsets(&block), offsets(&again));
            stored.extend(offsets(&block));
            table.rows.extend(block.candidates().cloned());
            if fate == 1 {
                // The answer is lost and the block is built again while its own receipts are in the table: they must not
                // count.
                let again = next_block(&log, &table, range.first, size).expect("the records are in the log");
                prop_assert_eq!(offsets(&block), offsets(&again));
            }
            table.head = range.last;
        }
        prop_assert_eq!(table.head, end, "some offsets are not covered");
        prop_assert_eq!(stored, stored_by_definition(&log));
    }
}

fn offsets(block: &Block) -> Vec<i64> {
    block.candidates().map(|candidate| candidate.offset).collect()
}

fn keyed_candidate(offset: i64, received_at_ms: i64) -> Candidate {
    let keyed = KeyedRequest { project_id: "prj".to_owned(), key: "k".to_owned(), body_hash: hex(1) };
    Candidate { offset, received_at_ms, keyed: Some(keyed), origin: None }
}

#[test]
fn repeat_is_dropped_within_24_hours_and_stored_after() {
    let mut receipts = Receipts::default();
    assert!(receipts.admit(keyed_candidate(0, 0)));
    assert!(!receipts.admit(keyed_candidate(1, 24 * HOUR_MS - 1)));
    // Compared with the stored records, not with the dropped ones.
    assert!(receipts.admit(keyed_candidate(2, 24 * HOUR_MS)));
    assert!(!receipts.admit(keyed_candidate(3, 1)));
}

#[test]
fn candidates_without_keys_need_no_receipts() {
    let plain = Candidate { keyed: None, ..keyed_candidate(0, 0) };
    assert!(ReceiptQuery::for_candidates([&plain]).is_empty());
    assert!(!ReceiptQuery::for_candidates([&plain, &keyed_candidate(1, 0)]).is_empty());
}
