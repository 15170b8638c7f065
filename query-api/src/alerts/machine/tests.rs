use super::*;
use crate::alerts::rule::{Operator, Window};
use crate::series::aggregation::Aggregation;
use proptest::prelude::*;

const MINUTE: i64 = 60_000;
const T0: i64 = 1_790_000_000_000;

fn above_ten(no_data: NoData) -> Condition {
    Condition {
        aggregation: Aggregation::Avg,
        operator: Operator::Greater,
        threshold: 10.0,
        window: Window::Hour,
        no_data,
    }
}

/// Evaluates once and applies what comes of it.
fn evaluate(standing: &mut Standing, condition: &Condition, seen: Observation, now: i64) -> Option<Change> {
    let change = standing.observe(condition, seen, now);
    if let Some(change) = &change {
        standing.apply(change);
    }
    change
}

/// The changes of evaluations `every` apart.
fn run(condition: &Condition, seen: &[Observation], every: i64) -> (Standing, Vec<Change>) {
    let mut standing = Standing::default();
    let at = (0..).map(|i| T0 + i * every);
    let changes =
        at.zip(seen).filter_map(|(at, seen)| evaluate(&mut standing, condition, *seen, at)).collect();
    (standing, changes)
}

const HIGH: Observation = Observation::Value(11.0);
const LOW: Observation = Observation::Value(9.0);

#[test]
fn the_first_change_needs_one_evaluation_and_the_opposite_one_two() {
    let condition = above_ten(NoData::Ignore);
    let (_, changes) = run(&condition, &[LOW, HIGH, LOW, HIGH, LOW, LOW, HIGH, HIGH], MINUTE);
    let seen: Vec<_> = changes.iter().map(|c| (c.sequence, (c.at_ms - T0) / MINUTE, c.from, c.to)).collect();
    assert_eq!(
        seen,
        [
            (1, 1, State::Ok, State::Firing),
            (2, 5, State::Firing, State::Ok),
            (3, 7, State::Ok, State::Firing)
        ]
    );
    assert_eq!(changes[0].value, Some(11.0));
}

#[test]
fn a_window_without_points_changes_nothing_unless_the_rule_says_so() {
    let (standing, changes) =
        run(&above_ten(NoData::Ignore), &[HIGH, Observation::Nothing, Observation::Nothing], MINUTE);
    assert_eq!((standing.state, changes.len()), (State::Firing, 1));
    let (standing, changes) = run(&above_ten(NoData::Fire), &[Observation::Nothing, LOW, LOW], MINUTE);
    assert_eq!((standing.state, changes.len()), (State::Ok, 2));
    assert_eq!((changes[0].to, changes[0].value), (State::NoData, None));
}

#[test]
fn a_rule_that_ends_is_resolved_at_once_and_only_once() {
    let (standing, changes) =
        run(&above_ten(NoData::Ignore), &[HIGH, Observation::Ended, Observation::Ended], MINUTE);
    assert_eq!(changes.len(), 2);
    assert_eq!((changes[1].from, changes[1].to), (State::Firing, State::Ok));
    assert!(standing.at_rest());
}

#[test]
fn flapping_becomes_one_notice_and_its_end_another() {
    let condition = above_ten(NoData::Ignore);
    let mut seen = Vec::new();
    for _ in 0..8 {
        seen.extend([HIGH, HIGH, LOW, LOW]);
    }
    seen.extend([LOW; 70]);
    let (standing, changes) = run(&condition, &seen, MINUTE);
    let notices: Vec<Notice> = changes.iter().map(|change| change.notice).collect();
    assert_eq!(notices[..5], [Notice::Told, Notice::Told, Notice::Told, Notice::Told, Notice::Flapping]);
    assert!(notices[5..16].iter().all(|notice| *notice == Notice::Silent), "{notices:?}");
    assert_eq!(notices[16..], [Notice::Settled], "one notice says how it ended");
    let last = changes.last().expect("changes");
    assert_eq!((last.from, last.to, standing.state), (State::Ok, State::Ok, State::Ok));
    assert!(standing.at_rest());
}

#[test]
fn a_clock_that_was_set_back_makes_no_change_earlier_than_the_last() {
    let (condition, mut standing) = (above_ten(NoData::Ignore), Standing::default());
    evaluate(&mut standing, &condition, HIGH, T0);
    evaluate(&mut standing, &condition, LOW, T0 - MINUTE);
    let change = evaluate(&mut standing, &condition, LOW, T0 - MINUTE).expect("a change");
    assert_eq!(change.at_ms, T0);
}

fn observation() -> impl Strategy<Value = Observation> {
    prop_oneof![4 => Just(HIGH), 4 => Just(LOW), 2 => Just(Observation::Nothing), 1 => Just(Observation::Ended)]
}

proptest! {
    #[test]
    fn changes_link_without_gap_or_repeat(
        seen in prop::collection::vec((observation(), 1i64..20 * MINUTE), 0..200), fire in any::<bool>(),
    ) {
        let condition = above_ten(if fire { NoData::Fire } else { NoData::Ignore });
        let (mut standing, mut changes, mut now) = (Standing::default(), Vec::<Change>::new(), T0);
        for (seen, wait) in seen {
            now += wait;
            changes.extend(evaluate(&mut standing, &condition, seen, now));
        }
        let mut state = State::Ok;
        for (i, change) in changes.iter().enumerate() {
            prop_assert_eq!(change.sequence, i as u64 + 1, "none is lost, none is there twice");
            prop_assert_eq!(change.from, state, "each begins where the one before it ended");
            prop_assert!(change.from != change.to || change.notice == Notice::Settled);
            state = change.to;
        }
        prop_assert_eq!(state, standing.state);
    }

    #[test]
    fn a_resolved_follows_each_firing_once_two_evaluations_are_calm(
        before in prop::collection::vec(observation(), 0..60), every in MINUTE..10 * MINUTE,
    ) {
        let condition = above_ten(NoData::Fire);
        let (mut standing, mut changes) = run(&condition, &before, every);
        let mut now = T0 + before.len() as i64 * every;
        for _ in 0..2 {
            changes.extend(evaluate(&mut standing, &condition, LOW, now));
            now += every;
        }
        prop_assert_eq!(standing.state, State::Ok);
        let firings = changes.iter().filter(|c| c.from != State::Firing && c.to == State::Firing).count();
        let ends = changes.iter().filter(|c| c.from == State::Firing && c.to != State::Firing).count();
        prop_assert_eq!(firings, ends);
    }

    /// Whoever reads notices only, knows in the end what state the rule is in.
    #[test]
    fn who_is_told_least_still_hears_how_it_ended(before in prop::collection::vec(observation(), 0..120)) {
        let condition = above_ten(NoData::Fire);
        let (mut standing, mut changes) = run(&condition, &before, MINUTE);
        let end = T0 + before.len() as i64 * MINUTE;
        for i in 0..3 {
            changes.extend(evaluate(&mut standing, &condition, LOW, end + i * 2 * HOUR_MS));
        }
        let heard = changes.iter().rev().find(|change| change.notice != Notice::Silent);
        prop_assert_eq!(heard.map_or(State::Ok, |change| change.to), standing.state);
        let told = changes.iter().rev().find(|change| matches!(change.notice, Notice::Flapping));
        let settled = changes.iter().rev().find(|change| matches!(change.notice, Notice::Settled));
        prop_assert!(told.map(|c| c.sequence) <= settled.map(|c| c.sequence).or(Some(0)).filter(|_| told.is_some()));
    }

    /// In no hour are more than four changes told one by one.
    #[test]
    fn no_hour_has_more_than_five_notices_of_changes(
        seen in prop::collection::vec(prop_oneof![Just(HIGH), Just(LOW)], 0..300), every in 10_000i64..10 * MINUTE,
    ) {
        let (_, changes) = run(&above_ten(NoData::Ignore), &seen, every);
        let told: Vec<i64> = changes
            .iter()
            .filter(|change| change.from != change.to && change.notice != Notice::Silent)
            .map(|change| change.at_ms)
            .collect();
        for window in told.windows(CALM + 2) {
            prop_assert!(window[CALM + 1] - window[0] >= HOUR_MS);
        }
    }

    /// A restart forgets what was seen once, nothing else.
    #[test]
    fn what_was_recorded_is_all_that_a_restart_needs(seen in prop::collection::vec(observation(), 0..100)) {
        let (standing, changes) = run(&above_ten(NoData::Fire), &seen, MINUTE);
        let mut again = Standing::default();
        changes.iter().for_each(|change| again.apply(change));
        prop_assert_eq!(again, Standing { seen: None, ..standing });
    }
}
