use super::*;
use accounts::Scopes;
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

fn event(owner: Option<Arc<Key>>, outcome: &'static str, at_ms: i64) -> Event {
    Event { owner, outcome, metrics: 2, address: 1, at_ms }
}

#[test]
fn requests_that_end_alike_are_one_count() {
    let mut tally = Tally::default();
    for at in [60_000, 61_000, 119_999] {
        assert!(tally.count(event(Some(key(1, 1)), "accepted", at)));
    }
    let changed = tally.changed();
    let [snapshot] = changed.as_slice() else { panic!("one count: {changed:?}") };
    let said = (snapshot.project_id(), snapshot.connection_id(), snapshot.outcome(), snapshot.minute_ms());
    assert_eq!(said, ("prj_1", "con_1", "accepted", 60_000));
    let Count { requests, metrics, last_at_ms, addresses, .. } = &snapshot.count;
    assert_eq!((*requests, *metrics, *last_at_ms, addresses.as_slice()), (3, 6, 119_999, [1].as_slice()));
}

#[test]
fn minute_connection_outcome_and_unknown_keys_are_told_apart() {
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
    assert_eq!(tally.changed().len(), 5);
}

#[test]
fn only_what_changed_is_reported_again_and_it_holds_what_was_said_before() {
    let mut tally = Tally::default();
    tally.count(event(Some(key(1, 1)), "accepted", 0));
    tally.count(event(Some(key(1, 2)), "accepted", 0));
    let first = tally.changed();
    tally.reported(&first);
    assert!(tally.changed().is_empty());
    tally.count(event(Some(key(1, 2)), "accepted", 1));
    let second = tally.changed();
    assert_eq!(second.len(), 1);
    assert_eq!((second[0].connection_id(), second[0].count.requests), ("con_2", 2));
}

#[test]
fn a_count_whose_minute_is_over_is_kept_until_it_is_reported() {
    let mut tally = Tally::default();
    tally.count(event(Some(key(1, 1)), "accepted", 0));
    tally.count(event(Some(key(1, 1)), "accepted", 60_000));
    let both = tally.changed();
    tally.reported(&[]);
    assert_eq!(tally.changed().len(), both.len(), "a report that failed takes nothing away");
    tally.reported(&both);
    assert_eq!(tally.counts.len(), 1, "the running minute goes on");
}

#[test]
fn what_is_counted_while_a_report_is_under_way_is_in_the_next() {
    let mut tally = Tally::default();
    tally.count(event(Some(key(1, 1)), "accepted", 0));
    let first = tally.changed();
    tally.count(event(Some(key(1, 1)), "accepted", 1));
    tally.count(event(None, "missing_key", 60_000));
    tally.reported(&first);
    let next = tally.changed();
    assert_eq!(next.iter().map(|snapshot| snapshot.count.requests).sum::<u64>(), 3);
}

#[test]
fn addresses_beyond_the_bound_are_one() {
    let mut tally = Tally::default();
    for address in 1..=100u64 {
        tally.count(Event { address, ..event(None, "invalid_key", 0) });
    }
    let changed = tally.changed();
    let mut expected: Vec<u64> = (1..=MOST_ADDRESSES as u64).collect();
    expected.push(OTHER_ADDRESSES);
    assert_eq!((changed[0].count.requests, &changed[0].count.addresses), (100, &expected));
}

/// What a reader of the reports makes of them: the greatest state of each count.
#[derive(Default)]
struct Reader(BTreeMap<(Uuid, String, String, &'static str, i64), u64>);

impl Reader {
    fn hear(&mut self, snapshots: &[Snapshot]) {
        for snapshot in snapshots {
            let place = (
                snapshot.counter(),
                snapshot.project_id().to_owned(),
                snapshot.connection_id().to_owned(),
                snapshot.outcome(),
                snapshot.minute_ms(),
            );
            let state = self.0.entry(place).or_default();
            *state = snapshot.count.requests.max(*state);
        }
    }

    fn of(&self, outcome: &str) -> u64 {
        self.0.iter().filter(|(place, _)| place.3 == outcome).map(|(_, requests)| requests).sum()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Count {
        owner: Option<(usize, usize)>,
        outcome: usize,
    },
    /// The clock moves, mostly on, sometimes back.
    Clock(i64),
    /// A report is heard; the gateway learns so or does not.
    Report {
        acknowledged: bool,
    },
    /// A report is lost.
    Lost,
    /// A report that was heard before is heard again.
    Again(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let owner = prop::option::of((0usize..3, 0usize..3));
    let step = prop_oneof![
        6 => (owner, 0..OUTCOMES.len()).prop_map(|(owner, outcome)| Step::Count { owner, outcome }),
        2 => prop_oneof![4 => 0i64..90_000, 1 => -200_000i64..0].prop_map(Step::Clock),
        2 => any::<bool>().prop_map(|acknowledged| Step::Report { acknowledged }),
        1 => Just(Step::Lost),
        1 => any::<prop::sample::Index>().prop_map(Step::Again),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn every_request_is_counted_once_whatever_happens_to_reports(steps in steps(), most in 1usize..30) {
        let (mut tally, mut reader, mut now) = (Tally::with_room_for(most), Reader::default(), 1_000_000_000i64);
        let mut counted = BTreeMap::<&str, u64>::new();
        let mut heard: Vec<Vec<Snapshot>> = Vec::new();
        for step in steps {
            match step {
                Step::Count { owner, outcome } => {
                    let owner = owner.map(|(project, connection)| key(project, connection));
                    tally.count(event(owner, OUTCOMES[outcome], now));
                    *counted.entry(OUTCOMES[outcome]).or_default() += 1;
                }
                Step::Clock(by) => now += by,
                Step::Report { acknowledged } => {
                    let report = tally.changed();
                    reader.hear(&report);
                    if acknowledged {
                        tally.reported(&report);
                    }
                    heard.push(report);
                }
                Step::Lost => drop(tally.changed()),
                Step::Again(which) if !heard.is_empty() => reader.hear(which.get::<Vec<Snapshot>>(&heard)),
                Step::Again(_) => {}
            }
            prop_assert!(tally.counts.len() <= most && tally.rest.len() <= OUTCOMES.len());
        }
        reader.hear(&tally.changed());
        for outcome in OUTCOMES {
            prop_assert_eq!(reader.of(outcome), counted.get(outcome).copied().unwrap_or(0), "{}", outcome);
        }
    }
}
