//! Random logs with repeated keys and retried dead letters, cut into blocks at random places, with crashes between:
//! what is stored is what the plain definition says, whatever the cuts.

use super::*;
use crate::block::Block;
use crate::fetch::Record;
use proptest::prelude::*;
use proto::Message as _;
use proto::v1::{MetricBatch, Sample};
use std::time::Instant;

const HOUR_MS: i64 = 60 * 60 * 1000;

/// One record of a random log.
#[derive(Debug, Clone)]
struct Given {
    /// Records that are missing before it.
    gap: u8,
    project: u8,
    /// 0: none.
    key: u8,
    hash: u8,
    received_hours: i64,
    /// Retries the record so many before it.
    retries: Option<usize>,
    /// Whether it cannot be decoded.
    poison: bool,
}

fn given() -> impl Strategy<Value = Given> {
    let retries = prop::option::weighted(0.2, 1usize..6);
    (0u8..3, 0u8..2, 0u8..4, 0u8..2, 0i64..60, retries, prop::bool::weighted(0.1)).prop_map(
        |(gap, project, key, hash, received_hours, retries, poison)| Given {
            gap,
            project,
            key,
            hash,
            received_hours,
            retries,
            poison,
        },
    )
}

/// The log: each record with the claim that it makes; none for one that cannot be decoded.
fn log(given: &[Given]) -> Vec<(i64, Option<Claim>)> {
    let mut log: Vec<(i64, Option<Claim>)> = Vec::new();
    for record in given {
        let offset = log.last().map_or(0, |last| last.0 + 1) + i64::from(record.gap);
        let retried = record.retries.and_then(|back| log.len().checked_sub(back)).map(|at| log[at].clone());
        let keyed = (record.key > 0).then(|| Keyed {
            project_id: format!("prj_{}", record.project),
            key: format!("k{}", record.key),
            body_hash: hex(record.hash),
        });
        let received_at_ms = 1_790_000_000_000 + record.received_hours * HOUR_MS;
        let origin = retried.map(|(origin, claim)| claim.and_then(|claim| claim.origin).unwrap_or(origin));
        let claim = Claim { offset, received_at_ms, keyed, origin };
        log.push((offset, (!record.poison).then_some(claim)));
    }
    log
}

fn hex(hash: u8) -> String {
    format!("{hash:02x}").repeat(32)
}

/// The plain definition, each record against all before it.
fn stored_by_definition(log: &[(i64, Option<Claim>)]) -> Vec<i64> {
    let mut stored: Vec<&Claim> = Vec::new();
    for claim in log.iter().filter_map(|(_, claim)| claim.as_ref()) {
        let repeat = stored.iter().any(|earlier| {
            let same_key = claim.keyed.is_some() && claim.keyed == earlier.keyed;
            let near = (claim.received_at_ms - earlier.received_at_ms).abs() < 24 * HOUR_MS;
            let same_origin =
                claim.origin.is_some_and(|origin| earlier.offset == origin || earlier.origin == Some(origin));
            (same_key && near) || same_origin
        });
        if !repeat {
            stored.push(claim);
        }
    }
    stored.into_iter().map(|claim| claim.offset).collect()
}

fn record((offset, claim): &(i64, Option<Claim>)) -> Record {
    let payload = match claim {
        None => b"\xff\xff".to_vec(),
        Some(claim) => {
            let keyed = claim.keyed.clone();
            let hash =
                keyed.as_ref().map_or(0, |keyed| u8::from_str_radix(&keyed.body_hash[..2], 16).expect("hex"));
            let sample = Sample { metric_id: "m".to_owned(), value: 1.0, ..Sample::default() };
            MetricBatch {
                batch_id: vec![7; 16],
                project_id: keyed.as_ref().map_or("prj".to_owned(), |keyed| keyed.project_id.clone()),
                received_at_ms: claim.received_at_ms,
                samples: vec![sample],
                body_hash: if keyed.is_some() { vec![hash; 32] } else { Vec::new() },
                idempotency_key: keyed.map(|keyed| keyed.key).unwrap_or_default(),
                ..MetricBatch::default()
            }
            .encode_to_vec()
        }
    };
    let origin = claim.as_ref().and_then(|claim| claim.origin);
    Record { offset: *offset, payload, origin, trace: None, arrived: Instant::now(), room: None }
}

/// What the table holds: the stored records of every block, with their claims.
#[derive(Default)]
struct Table {
    rows: Vec<Claim>,
    head: i64,
}

impl Table {
    /// As `Store::receipts` answers.
    fn receipts(&self, before: i64, wanted: &Wanted) -> Receipts {
        let mut receipts = Receipts::default();
        for row in self.rows.iter().filter(|row| row.offset < before) {
            if let Some(keyed) = &row.keyed
                && wanted.keys.contains(&(keyed.project_id.clone(), keyed.key.clone()))
            {
                receipts.keyed(keyed.clone(), row.received_at_ms);
            }
            for place in [Some(row.offset), row.origin].into_iter().flatten() {
                if wanted.origins.contains(&place) {
                    receipts.place(place);
                }
            }
        }
        receipts
    }
}

/// The block of the log's next `size` records from `from` on, decided by what the table says.
fn next_block(log: &[(i64, Option<Claim>)], table: &Table, from: i64, size: usize) -> Option<Block> {
    let records: Vec<Record> =
        log.iter().filter(|(offset, _)| *offset >= from).take(size).map(record).collect();
    let mut block = Block::new(from, records.first()?.arrived);
    for record in records {
        block.push(record);
    }
    let wanted = block.wanted();
    if !wanted.is_empty() {
        block.drop_repeats(table.receipts(from, &wanted));
    }
    Some(block)
}

proptest! {
    #[test]
    fn what_is_stored_is_the_same_whatever_the_cuts_and_crashes(
        given in prop::collection::vec(given(), 1..60),
        steps in prop::collection::vec((1usize..9, 0u8..4), 300),
    ) {
        let log = log(&given);
        let end = log.last().expect("there is a record").0;
        let mut table = Table { head: -1, ..Table::default() };
        let mut stored = Vec::new();
        for (size, fate) in steps {
            // What a stalled worker made by an older head, after others moved it on, is made again and comes to the same.
            let Some(block) = next_block(&log, &table, table.head + 1, size) else { break };
            let covers = block.covers;
            if fate == 0 {
                continue; // A crash before the insert: the next one cuts elsewhere.
            }
            let again = next_block(&log, &table, covers.first, size).expect("it is there");
            prop_assert_eq!(offsets(&block), offsets(&again));
            stored.extend(offsets(&block));
            table.rows.extend(block.claims().cloned());
            if fate == 1 {
                // Its answer is lost and it is made again beside its own receipts: they do not count against it.
                let again = next_block(&log, &table, covers.first, size).expect("it is there");
                prop_assert_eq!(offsets(&block), offsets(&again));
            }
            table.head = covers.last;
        }
        prop_assert_eq!(table.head, end, "every record is covered");
        prop_assert_eq!(stored, stored_by_definition(&log));
    }
}

fn offsets(block: &Block) -> Vec<i64> {
    block.batches.iter().map(|stored| stored.claim.offset).collect()
}

fn claim(offset: i64, received_at_ms: i64) -> Claim {
    let keyed = Keyed { project_id: "prj".to_owned(), key: "k".to_owned(), body_hash: hex(1) };
    Claim { offset, received_at_ms, keyed: Some(keyed), origin: None }
}

#[test]
fn a_repeat_a_millisecond_short_of_a_day_falls_away_and_one_a_day_apart_is_stored() {
    let mut receipts = Receipts::default();
    assert!(receipts.admit(claim(0, 0)));
    assert!(!receipts.admit(claim(1, 24 * HOUR_MS - 1)));
    // Judged by what is stored, not by what fell away.
    assert!(receipts.admit(claim(2, 24 * HOUR_MS)));
    assert!(!receipts.admit(claim(3, 1)));
}

#[test]
fn a_block_without_keys_asks_nothing() {
    let plain = Claim { keyed: None, ..claim(0, 0) };
    assert!(Wanted::by([&plain]).is_empty());
    assert!(!Wanted::by([&plain, &claim(1, 0)]).is_empty());
}
