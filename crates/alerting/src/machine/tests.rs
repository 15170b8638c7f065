use super::*;
use crate::rule::{Operator, Window};
use proptest::prelude::*;
use reads::series::aggregation::Aggregation;

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
    judge(standing, condition, false, seen, now)
}

/// The same of a rule that may have been edited.
fn judge(
    standing: &mut Standing,
    condition: &Condition,
    edited: bool,
    seen: Observation,
    now: i64,
) -> Option<Change> {
    let change = standing.observe(condition, edited, seen, now);
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
fn a_window_without_points_takes_back_nothing_of_what_was_seen_before() {
    let (standing, changes) =
        run(&above_ten(NoData::Ignore), &[HIGH, LOW, Observation::Nothing, LOW], MINUTE);
    assert_eq!((standing.state, changes.len()), (State::Ok, 2));
}

#[test]
fn after_an_edit_one_evaluation_says_where_the_rule_is() {
    let (old, raised) =
        (above_ten(NoData::Ignore), Condition { threshold: 20.0, ..above_ten(NoData::Ignore) });
    for (seen, to) in
        [(HIGH, State::Ok), (Observation::Nothing, State::Ok), (Observation::Value(21.0), State::Firing)]
    {
        let (mut standing, _) = run(&old, &[HIGH], MINUTE);
        let change = judge(&mut standing, &raised, true, seen, T0 + MINUTE).expect("it is recorded");
        let notice = if to == State::Firing { Notice::Silent } else { Notice::Told };
        assert_eq!((change.from, change.to, change.notice), (State::Firing, to, notice), "{seen:?}");
        assert_eq!(evaluate(&mut standing, &raised, seen, T0 + 2 * MINUTE), None, "and it stays there");
    }
}

#[test]
fn a_rule_that_is_no_longer_to_say_that_there_are_no_points_says_so_no_longer() {
    for seen in [Observation::Nothing, LOW] {
        let (mut standing, _) = run(&above_ten(NoData::Fire), &[Observation::Nothing], MINUTE);
        let change =
            evaluate(&mut standing, &above_ten(NoData::Ignore), seen, T0 + MINUTE).expect("a change");
        assert_eq!((change.from, change.to), (State::NoData, State::Ok));
    }
}

#[test]
fn a_rule_that_is_where_it_was_after_an_edit_changes_as_any_other_from_then_on() {
    let condition = above_ten(NoData::Ignore);
    let (mut standing, _) = run(&condition, &[HIGH], MINUTE);
    judge(&mut standing, &condition, true, HIGH, T0 + MINUTE);
    assert_eq!(
        (standing.state, standing.since_ms, standing.entered),
        (State::Firing, T0, 1),
        "since when it is"
    );
    assert_eq!(evaluate(&mut standing, &condition, LOW, T0 + 2 * MINUTE), None);
    assert_eq!(evaluate(&mut standing, &condition, Observation::Nothing, T0 + 3 * MINUTE), None);
    assert!(evaluate(&mut standing, &condition, LOW, T0 + 4 * MINUTE).is_some());
}

#[test]
fn a_rule_that_ends_is_resolved_at_once_and_only_once() {
    let (standing, changes) =
        run(&above_ten(NoData::Ignore), &[HIGH, Observation::Ended, Observation::Ended], MINUTE);
    assert_eq!(changes.len(), 2);
    assert_eq!((changes[1].from, changes[1].to), (State::Firing, State::Ok));
    assert_eq!((changes[0].ended, changes[1].ended), (false, true));
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

/// What a rule is at an evaluation, mostly the first of these: one that says when there are no points, one that does not,
/// and one that fires where the others do not.
fn definition() -> impl Strategy<Value = usize> {
    prop_oneof![8 => Just(0usize), 1 => Just(1usize), 1 => Just(2usize)]
}

fn definitions() -> [Condition; 3] {
    let below = Condition { operator: Operator::Less, ..above_ten(NoData::Ignore) };
    [above_ten(NoData::Fire), above_ten(NoData::Ignore), below]
}

/// The changes of a rule that is edited now and then, evaluated a minute apart. What is edited is seen by what was
/// recorded, as the evaluator does; what a window without points means is no part of that.
fn run_edited(seen: &[(Observation, usize)]) -> (Standing, Vec<Change>) {
    let (mut standing, mut changes, mut recorded) = (Standing::default(), Vec::new(), None);
    for (i, &(seen, definition)) in (0..).zip(seen) {
        let condition = definitions()[definition];
        let edited = recorded.is_some_and(|operator| operator != condition.operator);
        let change = judge(&mut standing, &condition, edited, seen, T0 + i * MINUTE);
        if change.is_some() && seen != Observation::Ended {
            recorded = Some(condition.operator);
        }
        changes.extend(change);
    }
    (standing, changes)
}

proptest! {
    #[test]
    fn changes_link_without_gap_or_repeat(
        seen in prop::collection::vec((observation(), definition()), 0..200),
    ) {
        let (standing, changes) = run_edited(&seen);
        let mut state = State::Ok;
        for (i, change) in changes.iter().enumerate() {
            prop_assert_eq!(change.sequence, i as u64 + 1, "none is lost, none is there twice");
            prop_assert_eq!(change.from, state, "each begins where the one before it ended");
            prop_assert!(change.from != change.to || matches!(change.notice, Notice::Settled | Notice::Silent));
            state = change.to;
        }
        prop_assert_eq!(state, standing.state);
    }

    /// A rule that nobody edits makes no record but of changes, and of how flapping ended.
    #[test]
    fn only_an_edit_is_recorded_without_a_change(
        seen in prop::collection::vec((observation(), 1i64..20 * MINUTE), 0..200), fire in any::<bool>(),
    ) {
        let condition = above_ten(if fire { NoData::Fire } else { NoData::Ignore });
        let (mut standing, mut now) = (Standing::default(), T0);
        for (seen, wait) in seen {
            now += wait;
            let change = evaluate(&mut standing, &condition, seen, now);
            prop_assert!(change.is_none_or(|c| c.from != c.to || c.notice == Notice::Settled));
        }
    }

    /// Whatever it stood at, an edited rule is where a new one would be.
    #[test]
    fn an_edited_rule_is_where_a_new_one_would_be(
        before in prop::collection::vec((observation(), definition()), 1..60),
        seen in prop_oneof![Just(HIGH), Just(LOW), Just(Observation::Nothing)], definition in 0usize..3,
    ) {
        let (mut standing, _) = run_edited(&before);
        prop_assume!(standing.sequence > 0);
        let condition = definitions()[definition];
        let end = T0 + before.len() as i64 * MINUTE;
        judge(&mut standing, &condition, true, seen, end);
        let (new, _) = run(&condition, &[seen], MINUTE);
        prop_assert_eq!(standing.state, new.state);
        prop_assert_eq!(judge(&mut standing, &condition, false, seen, end), None, "once is enough");
    }

    #[test]
    fn a_resolved_follows_each_firing_once_two_evaluations_are_calm(
        before in prop::collection::vec((observation(), definition()), 0..60),
    ) {
        let condition = above_ten(NoData::Fire);
        let (mut standing, mut changes) = run_edited(&before);
        let end = T0 + before.len() as i64 * MINUTE;
        for i in 0..2 {
            changes.extend(evaluate(&mut standing, &condition, LOW, end + i * MINUTE));
        }
        prop_assert_eq!(standing.state, State::Ok);
        let firings = changes.iter().filter(|c| c.from != State::Firing && c.to == State::Firing).count();
        let ends = changes.iter().filter(|c| c.from == State::Firing && c.to != State::Firing).count();
        prop_assert_eq!(firings, ends);
    }

    /// Whoever reads notices only, knows in the end what state the rule is in.
    #[test]
    fn who_is_told_least_still_hears_how_it_ended(
        before in prop::collection::vec((observation(), definition()), 0..120),
    ) {
        let condition = above_ten(NoData::Fire);
        let (mut standing, mut changes) = run_edited(&before);
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
    fn what_was_recorded_is_all_that_a_restart_needs(
        seen in prop::collection::vec((observation(), definition()), 0..100),
    ) {
        let (standing, changes) = run_edited(&seen);
        let mut again = Standing::default();
        changes.iter().for_each(|change| again.apply(change));
        prop_assert_eq!(again, Standing { seen: None, ..standing });
    }
}
