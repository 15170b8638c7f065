use super::*;
use crate::series::cells::into_blocks;
use crate::series::merge::{Known, Partial};
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

fn metric(id: &str) -> Metric<'_> {
    Metric { project: "p", id, deletions: Hidden::default() }
}

fn standing(stored: &[i64]) -> Standing {
    Standing { database: "one".into(), stored: stored.to_vec(), read_at: Instant::now() }
}

fn days(numbers: std::ops::Range<i64>) -> Blocks {
    Blocks { kind: Kind::Sums, resolution: Resolution::Hour, numbers }
}

fn block(times: &[i64]) -> Block {
    let cell = |&time: &i64| {
        let known = Known::Sums { total: 1.0, least: 1.0, greatest: 1.0 };
        Partial { bucket: time - time % 3_600_000, points: 1, known }
    };
    Arc::new(times.iter().map(cell).collect())
}

/// A memory that follows a log of one partition from its beginning.
fn memory() -> Memory {
    let mut memory = Memory::new(Log::new(100), 1000);
    memory.log.begin(&[0]);
    memory
}

/// Keeps a block of `metric` for each of `numbers`, read where the store has the log up to `stored`.
fn keep(memory: &mut Memory, of: Metric<'_>, numbers: std::ops::Range<i64>, stored: i64) {
    let read = numbers.clone().map(|number| block(&[number * DAY])).collect();
    memory.keep(&standing(&[stored]), &days(numbers), [(of, read)], Instant::now());
}

fn held(memory: &mut Memory, of: &Metric<'_>, numbers: std::ops::Range<i64>, stored: i64) -> Vec<bool> {
    let found = memory.find(&standing(&[stored]), of, &days(numbers), Instant::now());
    found.into_iter().map(|block| block.is_some()).collect()
}

#[test]
fn a_record_drops_what_it_touches_and_nothing_else() {
    let mut memory = memory();
    memory.pass(0, 0, Some(&batch(vec![sample("a", 0)])));
    keep(&mut memory, metric("a"), 0..4, 0);
    keep(&mut memory, metric("b"), 0..4, 0);
    memory.pass(0, 1, Some(&batch(vec![sample("a", DAY), sample("a", 3 * DAY - 1)])));
    assert_eq!(held(&mut memory, &metric("a"), 0..4, 0), [true, false, false, true]);
    assert_eq!(held(&mut memory, &metric("b"), 0..4, 0), [true; 4]);
    let other = Metric { project: "q", ..metric("b") };
    assert_eq!(held(&mut memory, &other, 0..1, 0), [false], "another project's metric");
}

#[test]
fn what_was_read_before_a_record_came_is_not_kept_where_the_record_touches_it() {
    let mut memory = memory();
    memory.pass(0, 0, Some(&batch(vec![sample("a", 0)])));
    memory.pass(0, 1, Some(&batch(vec![sample("a", DAY)])));
    keep(&mut memory, metric("a"), 0..3, 0);
    assert_eq!(held(&mut memory, &metric("a"), 0..3, 0), [true, false, true]);
    keep(&mut memory, metric("a"), 0..3, 1);
    assert_eq!(held(&mut memory, &metric("a"), 0..3, 1), [true; 3]);
}

#[test]
fn nothing_is_used_while_the_store_may_have_records_that_were_not_looked_at() {
    let mut memory = memory();
    memory.pass(0, 0, Some(&batch(vec![sample("a", 0)])));
    keep(&mut memory, metric("a"), 0..1, 0);
    assert_eq!(held(&mut memory, &metric("a"), 0..1, 1), [false]);
    memory.pass(0, 1, Some(&batch(vec![sample("b", 0)])));
    assert_eq!(held(&mut memory, &metric("a"), 0..1, 1), [true]);
    let more = Standing { stored: vec![1, 0], ..standing(&[]) };
    let found = memory.find(&more, &metric("a"), &days(0..1), Instant::now());
    assert_eq!(found, [None], "a partition that is not followed yet");
}

#[test]
fn who_read_before_the_oldest_touch_that_is_remembered_keeps_nothing() {
    let mut memory = Memory::new(Log::new(2), 1000);
    memory.log.begin(&[5]);
    for offset in 5..8 {
        memory.pass(0, offset, Some(&batch(vec![sample("b", 0)])));
    }
    keep(&mut memory, metric("a"), 0..1, 4);
    assert_eq!(held(&mut memory, &metric("a"), 0..1, 4), [false]);
    keep(&mut memory, metric("a"), 0..1, 5);
    assert_eq!(held(&mut memory, &metric("a"), 0..1, 5), [true]);
}

#[test]
fn a_record_that_cannot_be_made_out_may_touch_anything() {
    let mut memory = memory();
    keep(&mut memory, metric("a"), 0..1, -1);
    memory.pass(0, 0, None);
    assert_eq!(held(&mut memory, &metric("a"), 0..1, -1), [false]);
    keep(&mut memory, metric("a"), 0..1, -1);
    assert_eq!(held(&mut memory, &metric("a"), 0..1, -1), [false]);
    keep(&mut memory, metric("a"), 0..1, 0);
    assert_eq!(held(&mut memory, &metric("a"), 0..1, 0), [true]);
}

#[test]
fn another_store_one_that_lost_something_and_other_deletions_mean_to_read_again() {
    let mut memory = memory();
    for offset in 0..3 {
        memory.pass(0, offset, Some(&batch(vec![sample("b", 0)])));
    }
    keep(&mut memory, metric("a"), 0..1, 2);
    let deleted = Hidden::new([Deletion { metric_id: "a".to_owned(), ..Deletion::default() }]);
    assert_eq!(held(&mut memory, &Metric { deletions: deleted, ..metric("a") }, 0..1, 2), [false]);
    let late = Standing { read_at: Instant::now() - Duration::from_secs(1), ..standing(&[1]) };
    assert!(memory.find(&late, &metric("a"), &days(0..1), Instant::now())[0].is_some(), "a slow reader");
    let earlier = |memory: &mut Memory| held(memory, &metric("a"), 0..1, 1);
    assert_eq!(earlier(&mut memory), [false], "the store lost something");
    keep(&mut memory, metric("a"), 0..1, 2);
    let other = Standing { database: "two".into(), ..standing(&[2]) };
    assert_eq!(memory.find(&other, &metric("a"), &days(0..1), Instant::now()), [None]);
    assert_eq!(memory.weight(), 0);
}

#[test]
fn what_is_old_is_read_again() {
    let mut memory = memory();
    keep(&mut memory, metric("a"), 0..1, -1);
    let found = memory.find(&standing(&[-1]), &metric("a"), &days(0..1), Instant::now() + MAX_AGE);
    assert_eq!(found, [None]);
}

#[test]
fn a_name_is_held_until_another_one_comes() {
    let mut memory = memory();
    let named = Named { name: "A".to_owned(), unit: "s".to_owned() };
    let with = |name: &str, unit: &str| {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        batch(vec![Sample { metric_name: given(name), unit: given(unit), ..sample("a", 0) }])
    };
    let now = Instant::now();
    memory.keep_names(&standing(&[-1]), [(metric("a"), named.clone())], now);
    for (offset, record) in (0..).zip([with("", ""), with("A", ""), with("A", "s")]) {
        memory.pass(0, offset, Some(&record));
        assert_eq!(memory.named(&standing(&[offset]), &metric("a"), now), Some(named.clone()), "{record:?}");
    }
    memory.pass(0, 3, Some(&with("A", "ms")));
    assert_eq!(memory.named(&standing(&[3]), &metric("a"), now), None);
    memory.keep_names(&standing(&[2]), [(metric("a"), named.clone())], now);
    assert_eq!(memory.named(&standing(&[3]), &metric("a"), now), None, "it was read before");
    memory.keep_names(&standing(&[3]), [(metric("a"), named)], now);
    assert!(memory.named(&standing(&[3]), &metric("a"), now).is_some());
}

#[test]
fn who_was_used_least_lately_makes_room() {
    let mut memory = memory();
    let names: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    for name in &names {
        keep(&mut memory, metric(name), 0..1, -1);
        held(&mut memory, &metric("0"), 0..1, -1);
    }
    assert!(memory.weight() <= 1000, "{}", memory.weight());
    let counted: usize = memory.metrics.values().flat_map(HashMap::values).map(Held::weight).sum();
    assert_eq!(memory.weight(), counted);
    let is_held = |memory: &mut Memory, name: &str| held(memory, &metric(name), 0..1, -1) == [true];
    assert!(is_held(&mut memory, "0") && is_held(&mut memory, "199") && !is_held(&mut memory, "1"));
}

/// What happens in an order of its own.
#[derive(Debug, Clone)]
enum Step {
    /// A record is written: partition, whether it is of metric `a`, the minute of its event.
    Write(usize, bool, i64),
    /// The tail reads on.
    Pass(usize),
    /// The tail begins again, so many records back.
    Restart(i64),
    /// The store has one more.
    Store(usize),
    /// The heads are read.
    Look,
    /// A reader begins, by the heads that were read last: what it finds must be right.
    Begin(Resolution),
    /// The oldest reader reads, and keeps it.
    End,
}

fn step() -> impl Strategy<Value = Step> {
    let partition = 0usize..2;
    let resolution = prop::sample::select(Resolution::ALL.to_vec());
    prop_oneof![
        4 => (partition.clone(), any::<bool>(), 0i64..240).prop_map(|(partition, a, minute)| Step::Write(partition, a, minute)),
        4 => partition.clone().prop_map(Step::Pass),
        1 => (0i64..4).prop_map(Step::Restart),
        4 => partition.prop_map(Step::Store),
        3 => Just(Step::Look),
        4 => resolution.prop_map(Step::Begin),
        3 => Just(Step::End),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Each record of `a` is a bit of a cell's sum, so that it is known which ones an answer has.
    #[test]
    fn what_is_found_holds_all_that_the_heads_cover_and_nothing_that_is_not_stored(
        steps in prop::collection::vec(step(), 1..150), remembered in 1usize..12,
    ) {
        let mut memory = Memory::new(Log::new(remembered), 1000);
        let mut logs: [Vec<(bool, i64, u32)>; 2] = [Vec::new(), Vec::new()];
        let (mut read, mut stored) = ([0usize; 2], [0usize; 2]);
        memory.log.begin(&[0, 0]);
        let (mut bits, mut heads) = (0u32, standing(&[-1, -1]));
        let mut readers: Vec<(Standing, Resolution)> = Vec::new();
        let numbers = |resolution: Resolution| 0..(4 * 60 * MINUTE + resolution.block() - 1) / resolution.block();
        // The cells of `a` in the first so many records of each partition.
        let cells = |logs: &[Vec<(bool, i64, u32)>; 2], ends: [usize; 2], resolution: Resolution| {
            let mut cells: BTreeMap<i64, Partial> = BTreeMap::new();
            for (log, end) in logs.iter().zip(ends) {
                for (_, minute, bit) in log[..end].iter().filter(|(a, ..)| *a) {
                    let bucket = minute * MINUTE - minute * MINUTE % resolution.cell();
                    let known = Known::Sums { total: f64::from(*bit).exp2(), least: 0.0, greatest: 0.0 };
                    let part = Partial { bucket, points: 1, known };
                    cells.entry(bucket).and_modify(|cell| cell.absorb(&part)).or_insert(part);
                }
            }
            cells.into_values().collect::<Vec<_>>()
        };
        let sums = |cells: &[Partial]| {
            let total = |cell: &Partial| match cell.known { Known::Sums { total, .. } => total as u64, _ => 0 };
            cells.iter().map(|cell| (cell.bucket, total(cell))).collect::<BTreeMap<i64, u64>>()
        };
        for step in steps {
            match step {
                Step::Write(partition, a, minute) if bits < 50 || !a => {
                    logs[partition].push((a, minute, bits));
                    bits += u32::from(a);
                }
                Step::Write(..) => {}
                Step::Pass(partition) => {
                    if let Some((a, minute, _)) = logs[partition].get(read[partition]) {
                        let record = batch(vec![sample(if *a { "a" } else { "b" }, minute * MINUTE)]);
                        memory.pass(partition as i32, read[partition] as i64, Some(&record));
                        read[partition] += 1;
                    }
                }
                Step::Restart(back) => {
                    memory.end();
                    read = read.map(|read| read.saturating_sub(back as usize));
                    memory.log.begin(&read.map(|read| read as i64));
                }
                Step::Store(partition) => stored[partition] = logs[partition].len().min(stored[partition] + 1),
                Step::Look => heads = standing(&stored.map(|end| end as i64 - 1)),
                Step::Begin(resolution) => {
                    let blocks = Blocks { kind: Kind::Sums, resolution, numbers: numbers(resolution) };
                    let found = memory.find(&heads, &metric("a"), &blocks, Instant::now());
                    let covered = [0, 1].map(|partition| (heads.stored[partition] + 1) as usize);
                    let least = into_blocks(cells(&logs, covered, resolution), resolution, blocks.numbers.clone());
                    let most = into_blocks(cells(&logs, stored, resolution), resolution, blocks.numbers);
                    for ((found, least), most) in found.iter().zip(least).zip(most) {
                        let Some(found) = found else { continue };
                        let (found, least, most) = (sums(found), sums(&least), sums(&most));
                        for (bucket, least) in least {
                            let found = found.get(&bucket).copied().unwrap_or_default();
                            prop_assert_eq!(found & least, least, "something is missing");
                        }
                        for (bucket, found) in found {
                            let most = most.get(&bucket).copied().unwrap_or_default();
                            prop_assert_eq!(found & most, found, "something is not stored");
                        }
                    }
                    readers.push((heads.clone(), resolution));
                }
                Step::End if !readers.is_empty() => {
                    let (at, resolution) = readers.remove(0);
                    let blocks = Blocks { kind: Kind::Sums, resolution, numbers: numbers(resolution) };
                    let read = into_blocks(cells(&logs, stored, resolution), resolution, blocks.numbers.clone());
                    memory.keep(&at, &blocks, [(metric("a"), read)], Instant::now());
                }
                Step::End => {}
            }
        }
        let counted: usize = memory.metrics.values().flat_map(HashMap::values).map(Held::weight).sum();
        prop_assert_eq!(memory.weight(), counted);
    }
}

#[test]
fn one_reader_reads_all_names_of_a_project_and_another_does_once_they_are_old() {
    let (mut memory, now) = (Memory::default(), Instant::now());
    assert!(memory.first_to_name("p", now));
    assert!(!memory.first_to_name("p", now));
    assert!(memory.first_to_name("q", now), "that is another project");
    assert!(memory.first_to_name("p", now + MAX_AGE));
}
