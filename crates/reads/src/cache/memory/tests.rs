use super::*;
use crate::series::cells::into_blocks;
use crate::series::merge::{Aggregates, Partial};
use proptest::prelude::*;
use proto::v1::{Deletion, Sample};

const DAY: i64 = 86_400_000;
const MINUTE: i64 = 60_000;

fn sample(metric: &str, time: i64) -> Sample {
    Sample { metric_id: metric.to_owned(), value: 1.0, timestamp_ms: time, ..Sample::default() }
}

fn batch(samples: Vec<Sample>) -> MetricBatch {
    MetricBatch { project_id: "p".to_owned(), samples, ..MetricBatch::default() }
}

fn metric(id: &str) -> MetricRef<'_> {
    MetricRef { project: "p", id, deletions: DeletionMask::default() }
}

fn position(stored: &[i64]) -> StorePosition {
    StorePosition { database: "one".into(), stored: stored.to_vec(), read_at: Instant::now() }
}

fn days(numbers: std::ops::Range<i64>) -> BlockRange {
    BlockRange { kind: Kind::Sums, resolution: Resolution::Hour, numbers }
}

fn block(times: &[i64]) -> Block {
    let cell = |&time: &i64| {
        let aggregates = Aggregates::Sums { total: 1.0, min: 1.0, max: 1.0 };
        Partial { bucket: time - time % 3_600_000, points: 1, aggregates }
    };
    Arc::new(times.iter().map(cell).collect())
}

/// Returns a cache that follows a log of one partition from its first offset.
fn memory() -> Memory {
    let mut memory = Memory::new(Changes::new(100), 1000);
    memory.changes.start(&[0]);
    memory
}

/// Caches a block of a metric for each of `numbers`, read from a store with the log up to `stored`.
fn insert(memory: &mut Memory, of: MetricRef<'_>, numbers: std::ops::Range<i64>, stored: i64) {
    let read = numbers.clone().map(|number| block(&[number * DAY])).collect();
    memory.insert(&position(&[stored]), &days(numbers), [(of, read)], Instant::now());
}

fn is_cached(
    memory: &mut Memory,
    of: &MetricRef<'_>,
    numbers: std::ops::Range<i64>,
    stored: i64,
) -> Vec<bool> {
    let found = memory.lookup(&position(&[stored]), of, &days(numbers), Instant::now());
    found.into_iter().map(|block| block.is_some()).collect()
}

#[test]
fn record_invalidates_only_the_blocks_it_changes() {
    let mut memory = memory();
    memory.apply_record(0, 0, Some(&batch(vec![sample("a", 0)])));
    insert(&mut memory, metric("a"), 0..4, 0);
    insert(&mut memory, metric("b"), 0..4, 0);
    memory.apply_record(0, 1, Some(&batch(vec![sample("a", DAY), sample("a", 3 * DAY - 1)])));
    assert_eq!(is_cached(&mut memory, &metric("a"), 0..4, 0), [true, false, false, true]);
    assert_eq!(is_cached(&mut memory, &metric("b"), 0..4, 0), [true; 4]);
    let other = MetricRef { project: "q", ..metric("b") };
    assert_eq!(is_cached(&mut memory, &other, 0..1, 0), [false], "another project's metric");
}

#[test]
fn data_read_before_a_change_is_not_cached() {
    let mut memory = memory();
    memory.apply_record(0, 0, Some(&batch(vec![sample("a", 0)])));
    memory.apply_record(0, 1, Some(&batch(vec![sample("a", DAY)])));
    insert(&mut memory, metric("a"), 0..3, 0);
    assert_eq!(is_cached(&mut memory, &metric("a"), 0..3, 0), [true, false, true]);
    insert(&mut memory, metric("a"), 0..3, 1);
    assert_eq!(is_cached(&mut memory, &metric("a"), 0..3, 1), [true; 3]);
}

#[test]
fn entries_are_unused_while_the_tail_is_behind_the_store() {
    let mut memory = memory();
    memory.apply_record(0, 0, Some(&batch(vec![sample("a", 0)])));
    insert(&mut memory, metric("a"), 0..1, 0);
    assert_eq!(is_cached(&mut memory, &metric("a"), 0..1, 1), [false]);
    memory.apply_record(0, 1, Some(&batch(vec![sample("b", 0)])));
    assert_eq!(is_cached(&mut memory, &metric("a"), 0..1, 1), [true]);
    let more = StorePosition { stored: vec![1, 0], ..position(&[]) };
    let found = memory.lookup(&more, &metric("a"), &days(0..1), Instant::now());
    assert_eq!(found, [None], "a partition that is not followed yet");
}

#[test]
fn data_read_before_the_oldest_kept_change_is_not_cached() {
    let mut memory = Memory::new(Changes::new(2), 1000);
    memory.changes.start(&[5]);
    for offset in 5..8 {
        memory.apply_record(0, offset, Some(&batch(vec![sample("b", 0)])));
    }
    insert(&mut memory, metric("a"), 0..1, 4);
    assert_eq!(is_cached(&mut memory, &metric("a"), 0..1, 4), [false]);
    insert(&mut memory, metric("a"), 0..1, 5);
    assert_eq!(is_cached(&mut memory, &metric("a"), 0..1, 5), [true]);
}

#[test]
fn undecodable_record_empties_the_cache() {
    let mut memory = memory();
    insert(&mut memory, metric("a"), 0..1, -1);
    memory.apply_record(0, 0, None);
    assert_eq!(is_cached(&mut memory, &metric("a"), 0..1, -1), [false]);
    insert(&mut memory, metric("a"), 0..1, -1);
    assert_eq!(is_cached(&mut memory, &metric("a"), 0..1, -1), [false]);
    insert(&mut memory, metric("a"), 0..1, 0);
    assert_eq!(is_cached(&mut memory, &metric("a"), 0..1, 0), [true]);
}

#[test]
fn other_store_lost_records_or_other_deletions_invalidate() {
    let mut memory = memory();
    for offset in 0..3 {
        memory.apply_record(0, offset, Some(&batch(vec![sample("b", 0)])));
    }
    insert(&mut memory, metric("a"), 0..1, 2);
    let deleted = DeletionMask::new([Deletion { metric_id: "a".to_owned(), ..Deletion::default() }]);
    assert_eq!(is_cached(&mut memory, &MetricRef { deletions: deleted, ..metric("a") }, 0..1, 2), [false]);
    let late = StorePosition { read_at: Instant::now() - Duration::from_secs(1), ..position(&[1]) };
    assert!(memory.lookup(&late, &metric("a"), &days(0..1), Instant::now())[0].is_some(), "a slow reader");
    let earlier = |memory: &mut Memory| is_cached(memory, &metric("a"), 0..1, 1);
    assert_eq!(earlier(&mut memory), [false], "the store lost something");
    insert(&mut memory, metric("a"), 0..1, 2);
    let other = StorePosition { database: "two".into(), ..position(&[2]) };
    assert_eq!(memory.lookup(&other, &metric("a"), &days(0..1), Instant::now()), [None]);
    assert_eq!(memory.weight(), 0);
}

#[test]
fn old_entries_are_not_used() {
    let mut memory = memory();
    insert(&mut memory, metric("a"), 0..1, -1);
    let found = memory.lookup(&position(&[-1]), &metric("a"), &days(0..1), Instant::now() + MAX_AGE);
    assert_eq!(found, [None]);
}

#[test]
fn name_is_cached_until_another_one_arrives() {
    let mut memory = memory();
    let name = NameAndUnit { name: "A".to_owned(), unit: "s".to_owned() };
    let with = |name: &str, unit: &str| {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        batch(vec![Sample { metric_name: given(name), unit: given(unit), ..sample("a", 0) }])
    };
    let now = Instant::now();
    memory.insert_names(&position(&[-1]), [(metric("a"), name.clone())], now);
    for (offset, record) in (0..).zip([with("", ""), with("A", ""), with("A", "s")]) {
        memory.apply_record(0, offset, Some(&record));
        assert_eq!(memory.name(&position(&[offset]), &metric("a"), now), Some(name.clone()), "{record:?}");
    }
    memory.apply_record(0, 3, Some(&with("A", "ms")));
    assert_eq!(memory.name(&position(&[3]), &metric("a"), now), None);
    memory.insert_names(&position(&[2]), [(metric("a"), name.clone())], now);
    assert_eq!(memory.name(&position(&[3]), &metric("a"), now), None, "the name was read before the record");
    memory.insert_names(&position(&[3]), [(metric("a"), name)], now);
    assert!(memory.name(&position(&[3]), &metric("a"), now).is_some());
}

#[test]
fn least_recently_used_metrics_are_evicted() {
    let mut memory = memory();
    let names: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    for name in &names {
        insert(&mut memory, metric(name), 0..1, -1);
        is_cached(&mut memory, &metric("0"), 0..1, -1);
    }
    assert!(memory.weight() <= 1000, "{}", memory.weight());
    let counted: usize = memory.metrics.values().flat_map(HashMap::values).map(Entry::weight).sum();
    assert_eq!(memory.weight(), counted);
    let found = |memory: &mut Memory, name: &str| is_cached(memory, &metric(name), 0..1, -1) == [true];
    assert!(found(&mut memory, "0") && found(&mut memory, "199") && !found(&mut memory, "1"));
}

/// Event of a simulated run.
#[derive(Debug, Clone)]
enum Step {
    /// A record is written to the log: partition, whether it belongs to metric `a`, minute of its event time.
    Write(usize, bool, i64),
    /// The tail reads the next record of a partition.
    Tail(usize),
    /// The tail restarts this many records earlier.
    Restart(i64),
    /// The store inserts the next record of a partition.
    Store(usize),
    /// The heads of the store are read.
    ReadHeads,
    /// A reader with the heads that were read last looks into the cache. Its hits must be correct.
    Lookup(Resolution),
    /// The oldest reader reads the store and caches the result.
    Insert,
}

fn step() -> impl Strategy<Value = Step> {
    let partition = 0usize..2;
    let resolution = prop::sample::select(Resolution::ALL.to_vec());
    prop_oneof![
        4 => (partition.clone(), any::<bool>(), 0i64..240).prop_map(|(partition, a, minute)| Step::Write(partition, a, minute)),
        4 => partition.clone().prop_map(Step::Tail),
        1 => (0i64..4).prop_map(Step::Restart),
        4 => partition.prop_map(Step::Store),
        3 => Just(Step::ReadHeads),
        4 => resolution.prop_map(Step::Lookup),
        3 => Just(Step::Insert),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Each record of `a` is one bit of a cell's sum, which tells the records that an answer contains.
    #[test]
    fn hits_contain_every_record_up_to_the_heads_and_only_stored_ones(
        steps in prop::collection::vec(step(), 1..150), capacity in 1usize..12,
    ) {
        let mut memory = Memory::new(Changes::new(capacity), 1000);
        let mut logs: [Vec<(bool, i64, u32)>; 2] = [Vec::new(), Vec::new()];
        let (mut read, mut stored) = ([0usize; 2], [0usize; 2]);
        memory.changes.start(&[0, 0]);
        let (mut bits, mut heads) = (0u32, position(&[-1, -1]));
        let mut readers: Vec<(StorePosition, Resolution)> = Vec::new();
        let numbers = |resolution: Resolution| 0..(4 * 60 * MINUTE + resolution.block_ms() - 1) / resolution.block_ms();
        // Cells of `a` in the first `ends` records of each partition.
        let cells = |logs: &[Vec<(bool, i64, u32)>; 2], ends: [usize; 2], resolution: Resolution| {
            let mut cells: BTreeMap<i64, Partial> = BTreeMap::new();
            for (log, end) in logs.iter().zip(ends) {
                for (_, minute, bit) in log[..end].iter().filter(|(a, ..)| *a) {
                    let bucket = minute * MINUTE - minute * MINUTE % resolution.cell_ms();
                    let aggregates = Aggregates::Sums { total: f64::from(*bit).exp2(), min: 0.0, max: 0.0 };
                    let part = Partial { bucket, points: 1, aggregates };
                    cells.entry(bucket).and_modify(|cell| cell.absorb(&part)).or_insert(part);
                }
            }
            cells.into_values().collect::<Vec<_>>()
        };
        let sums = |cells: &[Partial]| {
            let total = |cell: &Partial| match cell.aggregates { Aggregates::Sums { total, .. } => total as u64, _ => 0 };
            cells.iter().map(|cell| (cell.bucket, total(cell))).collect::<BTreeMap<i64, u64>>()
        };
        for step in steps {
            match step {
                Step::Write(partition, a, minute) if bits < 50 || !a => {
                    logs[partition].push((a, minute, bits));
                    bits += u32::from(a);
                }
                Step::Write(..) => {}
                Step::Tail(partition) => {
                    if let Some((a, minute, _)) = logs[partition].get(read[partition]) {
                        let record = batch(vec![sample(if *a { "a" } else { "b" }, minute * MINUTE)]);
                        memory.apply_record(partition as i32, read[partition] as i64, Some(&record));
                        read[partition] += 1;
                    }
                }
                Step::Restart(back) => {
                    memory.stop_following();
                    read = read.map(|read| read.saturating_sub(back as usize));
                    memory.changes.start(&read.map(|read| read as i64));
                }
                Step::Store(partition) => stored[partition] = logs[partition].len().min(stored[partition] + 1),
                Step::ReadHeads => heads = position(&stored.map(|end| end as i64 - 1)),
                Step::Lookup(resolution) => {
                    let blocks = BlockRange { kind: Kind::Sums, resolution, numbers: numbers(resolution) };
                    let found = memory.lookup(&heads, &metric("a"), &blocks, Instant::now());
                    let covered = [0, 1].map(|partition| (heads.stored[partition] + 1) as usize);
                    let required = into_blocks(cells(&logs, covered, resolution), resolution, blocks.numbers.clone());
                    let allowed = into_blocks(cells(&logs, stored, resolution), resolution, blocks.numbers);
                    for ((found, required), allowed) in found.iter().zip(required).zip(allowed) {
                        let Some(found) = found else { continue };
                        let (found, required, allowed) = (sums(found), sums(&required), sums(&allowed));
                        for (bucket, required) in required {
                            let found = found.get(&bucket).copied().unwrap_or_default();
                            prop_assert_eq!(found & required, required, "a record is missing");
                        }
                        for (bucket, found) in found {
                            let allowed = allowed.get(&bucket).copied().unwrap_or_default();
                            prop_assert_eq!(found & allowed, found, "a record is not stored");
                        }
                    }
                    readers.push((heads.clone(), resolution));
                }
                Step::Insert if !readers.is_empty() => {
                    let (at, resolution) = readers.remove(0);
                    let blocks = BlockRange { kind: Kind::Sums, resolution, numbers: numbers(resolution) };
                    let read = into_blocks(cells(&logs, stored, resolution), resolution, blocks.numbers.clone());
                    memory.insert(&at, &blocks, [(metric("a"), read)], Instant::now());
                }
                Step::Insert => {}
            }
        }
        let counted: usize = memory.metrics.values().flat_map(HashMap::values).map(Entry::weight).sum();
        prop_assert_eq!(memory.weight(), counted);
    }
}

#[test]
fn all_names_of_a_project_are_read_once_per_max_age() {
    let (mut memory, now) = (Memory::default(), Instant::now());
    assert!(memory.claim_reading_all_names("p", now));
    assert!(!memory.claim_reading_all_names("p", now));
    assert!(memory.claim_reading_all_names("q", now), "another project");
    assert!(memory.claim_reading_all_names("p", now + MAX_AGE));
}
