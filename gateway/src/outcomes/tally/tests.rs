use super::*;
use control::Scopes;
use proptest::prelude::*;
use std::collections::BTreeMap;

const OUTCOMES: [&str; 3] = ["accepted", "invalid_batch", "invalid_key"];

fn key(project: usize, connection: usize) -> Arc<Key> {
    Arc::new(Key {
        key_id: "a key".to_owned(),
        project_id: format!("prj_{project}"),
        connection_id: format!("con_{connection}"),
        scopes: Scopes::default(),
        requests_per_hour: None,
    })
}

fn event(key: Option<Arc<Key>>, outcome: &'static str, at_ms: i64) -> Event {
    Event { key, outcome, metrics: 2, address: 1, at_ms }
}

#[test]
fn requests_with_the_same_outcome_share_a_count() {
    let mut tally = Tally::default();
    for at in [60_000, 61_000, 119_999] {
        assert!(tally.count(event(Some(key(1, 1)), "accepted", at)));
    }
    let snapshots = tally.unreported();
    let [snapshot] = snapshots.as_slice() else { panic!("one count: {snapshots:?}") };
    let actual = (snapshot.project_id(), snapshot.connection_id(), snapshot.outcome(), snapshot.minute_ms());
    assert_eq!(actual, ("prj_1", "con_1", "accepted", 60_000));
    let Count { requests, metrics, last_at_ms, addresses, .. } = &snapshot.count;
    assert_eq!((*requests, *metrics, *last_at_ms, addresses.as_slice()), (3, 6, 119_999, [1].as_slice()));
}

#[test]
fn minute_connection_and_outcome_have_separate_counts() {
    let mut tally = Tally::default();
    for event in [
        event(Some(key(1, 1)), "accepted", 0),
        event(Some(key(1, 1)), "accepted", 60_000),
        event(Some(key(1, 2)), "accepted", 60_000),
        event(Some(key(1, 2)), "invalid_batch", 60_000),
        event(None, "invalid_key", 60_000),
    ] {
        tally.count(event);
    }
    assert_eq!(tally.unreported().len(), 5);
}

#[test]
fn only_changed_counts_are_reported_again() {
    let mut tally = Tally::default();
    tally.count(event(Some(key(1, 1)), "accepted", 0));
    tally.count(event(Some(key(1, 2)), "accepted", 0));
    let first = tally.unreported();
    tally.mark_reported(&first);
    assert!(tally.unreported().is_empty());
    tally.count(event(Some(key(1, 2)), "accepted", 1));
    let second = tally.unreported();
    assert_eq!(second.len(), 1);
    assert_eq!((second[0].connection_id(), second[0].count.requests), ("con_2", 2));
}

#[test]
fn finished_counts_are_kept_until_reported() {
    let mut tally = Tally::default();
    tally.count(event(Some(key(1, 1)), "accepted", 0));
    tally.count(event(Some(key(1, 1)), "accepted", 60_000));
    let both = tally.unreported();
    tally.mark_reported(&[]);
    assert_eq!(tally.unreported().len(), both.len(), "a failed report drops nothing");
    tally.mark_reported(&both);
    assert_eq!(tally.counts.len(), 1, "only the count of the current minute is kept");
}

#[test]
fn requests_counted_during_a_report_are_in_the_next_one() {
    let mut tally = Tally::default();
    tally.count(event(Some(key(1, 1)), "accepted", 0));
    let first = tally.unreported();
    tally.count(event(Some(key(1, 1)), "accepted", 1));
    tally.count(event(None, "missing_key", 60_000));
    tally.mark_reported(&first);
    let next = tally.unreported();
    assert_eq!(next.iter().map(|snapshot| snapshot.count.requests).sum::<u64>(), 3);
}

#[test]
fn addresses_beyond_the_maximum_share_one_value() {
    let mut tally = Tally::default();
    for address in 1..=100u64 {
        tally.count(Event { address, ..event(None, "invalid_key", 0) });
    }
    let snapshots = tally.unreported();
    let mut expected: Vec<u64> = (1..=MAX_ADDRESSES as u64).collect();
    expected.push(OTHER_ADDRESSES);
    assert_eq!((snapshots[0].count.requests, &snapshots[0].count.addresses), (100, &expected));
}

/// Models a reader of the reports, which keeps the greatest state of each count.
#[derive(Default)]
struct Reader(BTreeMap<(Uuid, String, String, &'static str, i64), u64>);

impl Reader {
    fn receive(&mut self, snapshots: &[Snapshot]) {
        for snapshot in snapshots {
            let id = (
                snapshot.counter(),
                snapshot.project_id().to_owned(),
                snapshot.connection_id().to_owned(),
                snapshot.outcome(),
                snapshot.minute_ms(),
            );
            let state = self.0.entry(id).or_default();
            *state = snapshot.count.requests.max(*state);
        }
    }

    fn requests_with(&self, outcome: &str) -> u64 {
        self.0.iter().filter(|(id, _)| id.3 == outcome).map(|(_, requests)| requests).sum()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Count {
        key: Option<(usize, usize)>,
        outcome: usize,
    },
    /// Moves the clock, mostly forward, sometimes back.
    Clock(i64),
    /// The reader receives a report; the acknowledgement may be lost.
    Report {
        acknowledged: bool,
    },
    /// A report is lost before the reader receives it.
    Lost,
    /// The reader receives an earlier report again.
    Duplicate(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = prop::option::of((0usize..3, 0usize..3));
    let step = prop_oneof![
        6 => (key, 0..OUTCOMES.len()).prop_map(|(key, outcome)| Step::Count { key, outcome }),
        2 => prop_oneof![4 => 0i64..90_000, 1 => -200_000i64..0].prop_map(Step::Clock),
        2 => any::<bool>().prop_map(|acknowledged| Step::Report { acknowledged }),
        1 => Just(Step::Lost),
        1 => any::<prop::sample::Index>().prop_map(Step::Duplicate),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn requests_are_counted_once_despite_lost_reports(steps in steps(), capacity in 1usize..30) {
        let (mut tally, mut reader, mut now) = (Tally::with_capacity(capacity), Reader::default(), 1_000_000_000i64);
        let mut counted = BTreeMap::<&str, u64>::new();
        let mut received: Vec<Vec<Snapshot>> = Vec::new();
        for step in steps {
            match step {
                Step::Count { key: ids, outcome } => {
                    let key = ids.map(|(project, connection)| key(project, connection));
                    tally.count(event(key, OUTCOMES[outcome], now));
                    *counted.entry(OUTCOMES[outcome]).or_default() += 1;
                }
                Step::Clock(by) => now += by,
                Step::Report { acknowledged } => {
                    let report = tally.unreported();
                    reader.receive(&report);
                    if acknowledged {
                        tally.mark_reported(&report);
                    }
                    received.push(report);
                }
                Step::Lost => drop(tally.unreported()),
                Step::Duplicate(which) if !received.is_empty() => reader.receive(which.get::<Vec<Snapshot>>(&received)),
                Step::Duplicate(_) => {}
            }
            prop_assert!(tally.counts.len() <= capacity && tally.overflow.len() <= OUTCOMES.len());
        }
        reader.receive(&tally.unreported());
        for outcome in OUTCOMES {
            prop_assert_eq!(reader.requests_with(outcome), counted.get(outcome).copied().unwrap_or(0), "{}", outcome);
        }
    }
}
