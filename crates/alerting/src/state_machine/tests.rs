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

/// Evaluates once and applies the transition.
fn evaluate(
    status: &mut RuleStatus,
    condition: &Condition,
    seen: Observation,
    now: i64,
) -> Option<Transition> {
    evaluate_edited(status, condition, false, seen, now)
}

/// As [`evaluate`], for a rule that may have been edited.
fn evaluate_edited(
    status: &mut RuleStatus,
    condition: &Condition,
    edited: bool,
    seen: Observation,
    now: i64,
) -> Option<Transition> {
    let transition = status.observe(condition, edited, seen, now);
    if let Some(transition) = &transition {
        status.apply(transition);
    }
    transition
}

/// Returns the transitions of evaluations at intervals of `every` milliseconds.
fn run(condition: &Condition, seen: &[Observation], every: i64) -> (RuleStatus, Vec<Transition>) {
    let mut status = RuleStatus::default();
    let at = (0..).map(|i| T0 + i * every);
    let transitions =
        at.zip(seen).filter_map(|(at, seen)| evaluate(&mut status, condition, *seen, at)).collect();
    (status, transitions)
}

const HIGH: Observation = Observation::Value(11.0);
const LOW: Observation = Observation::Value(9.0);

#[test]
fn first_transition_needs_one_evaluation_later_ones_two() {
    let condition = above_ten(NoData::Ignore);
    let (_, transitions) = run(&condition, &[LOW, HIGH, LOW, HIGH, LOW, LOW, HIGH, HIGH], MINUTE);
    let seen: Vec<_> =
        transitions.iter().map(|c| (c.sequence, (c.at_ms - T0) / MINUTE, c.from, c.to)).collect();
    assert_eq!(
        seen,
        [
            (1, 1, State::Ok, State::Firing),
            (2, 5, State::Firing, State::Ok),
            (3, 7, State::Ok, State::Firing)
        ]
    );
    assert_eq!(transitions[0].value, Some(11.0));
}

#[test]
fn empty_window_changes_state_only_if_rule_reports_it() {
    let (status, transitions) =
        run(&above_ten(NoData::Ignore), &[HIGH, Observation::NoPoints, Observation::NoPoints], MINUTE);
    assert_eq!((status.state, transitions.len()), (State::Firing, 1));
    let (status, transitions) = run(&above_ten(NoData::Fire), &[Observation::NoPoints, LOW, LOW], MINUTE);
    assert_eq!((status.state, transitions.len()), (State::Ok, 2));
    assert_eq!((transitions[0].to, transitions[0].value), (State::NoData, None));
}

#[test]
fn empty_window_does_not_reset_confirmation() {
    let (status, transitions) =
        run(&above_ten(NoData::Ignore), &[HIGH, LOW, Observation::NoPoints, LOW], MINUTE);
    assert_eq!((status.state, transitions.len()), (State::Ok, 2));
}

#[test]
fn one_evaluation_decides_the_state_after_an_edit() {
    let (old, raised) =
        (above_ten(NoData::Ignore), Condition { threshold: 20.0, ..above_ten(NoData::Ignore) });
    for (seen, to) in
        [(HIGH, State::Ok), (Observation::NoPoints, State::Ok), (Observation::Value(21.0), State::Firing)]
    {
        let (mut status, _) = run(&old, &[HIGH], MINUTE);
        let transition =
            evaluate_edited(&mut status, &raised, true, seen, T0 + MINUTE).expect("a transition");
        let notification = if to == State::Firing { Notification::Silent } else { Notification::State };
        assert_eq!(
            (transition.from, transition.to, transition.notification),
            (State::Firing, to, notification),
            "{seen:?}"
        );
        assert_eq!(evaluate(&mut status, &raised, seen, T0 + 2 * MINUTE), None, "the state is final");
    }
}

#[test]
fn no_data_resolves_when_rule_starts_to_ignore_empty_windows() {
    for seen in [Observation::NoPoints, LOW] {
        let (mut status, _) = run(&above_ten(NoData::Fire), &[Observation::NoPoints], MINUTE);
        let transition =
            evaluate(&mut status, &above_ten(NoData::Ignore), seen, T0 + MINUTE).expect("a transition");
        assert_eq!((transition.from, transition.to), (State::NoData, State::Ok));
    }
}

#[test]
fn edit_that_keeps_the_state_needs_confirmation_afterwards() {
    let condition = above_ten(NoData::Ignore);
    let (mut status, _) = run(&condition, &[HIGH], MINUTE);
    evaluate_edited(&mut status, &condition, true, HIGH, T0 + MINUTE);
    assert_eq!(
        (status.state, status.since_ms, status.entered_sequence),
        (State::Firing, T0, 1),
        "an edit does not restart the state"
    );
    assert_eq!(evaluate(&mut status, &condition, LOW, T0 + 2 * MINUTE), None);
    assert_eq!(evaluate(&mut status, &condition, Observation::NoPoints, T0 + 3 * MINUTE), None);
    assert!(evaluate(&mut status, &condition, LOW, T0 + 4 * MINUTE).is_some());
}

#[test]
fn ended_rule_is_resolved_once_and_at_once() {
    let (status, transitions) =
        run(&above_ten(NoData::Ignore), &[HIGH, Observation::Ended, Observation::Ended], MINUTE);
    assert_eq!(transitions.len(), 2);
    assert_eq!((transitions[1].from, transitions[1].to), (State::Firing, State::Ok));
    assert_eq!((transitions[0].ended, transitions[1].ended), (false, true));
    assert!(status.is_idle());
}

#[test]
fn flapping_and_its_end_send_one_notification_each() {
    let condition = above_ten(NoData::Ignore);
    let mut seen = Vec::new();
    for _ in 0..8 {
        seen.extend([HIGH, HIGH, LOW, LOW]);
    }
    seen.extend([LOW; 70]);
    let (status, transitions) = run(&condition, &seen, MINUTE);
    let notifications: Vec<Notification> =
        transitions.iter().map(|transition| transition.notification).collect();
    assert_eq!(
        notifications[..5],
        [
            Notification::State,
            Notification::State,
            Notification::State,
            Notification::State,
            Notification::Flapping
        ]
    );
    assert!(
        notifications[5..16].iter().all(|notification| *notification == Notification::Silent),
        "{notifications:?}"
    );
    assert_eq!(notifications[16..], [Notification::Settled], "one notification reports the end of flapping");
    let last = transitions.last().expect("transitions");
    assert_eq!((last.from, last.to, status.state), (State::Ok, State::Ok, State::Ok));
    assert!(status.is_idle());
}

#[test]
fn clock_set_back_makes_no_earlier_transition() {
    let (condition, mut status) = (above_ten(NoData::Ignore), RuleStatus::default());
    evaluate(&mut status, &condition, HIGH, T0);
    evaluate(&mut status, &condition, LOW, T0 - MINUTE);
    let transition = evaluate(&mut status, &condition, LOW, T0 - MINUTE).expect("a transition");
    assert_eq!(transition.at_ms, T0);
}

fn observation() -> impl Strategy<Value = Observation> {
    prop_oneof![4 => Just(HIGH), 4 => Just(LOW), 2 => Just(Observation::NoPoints), 1 => Just(Observation::Ended)]
}

/// Index into [`definitions`], mostly 0: a rule that reports missing points, one that does not, and one that fires where
/// the others do not.
fn definition() -> impl Strategy<Value = usize> {
    prop_oneof![8 => Just(0usize), 1 => Just(1usize), 1 => Just(2usize)]
}

fn definitions() -> [Condition; 3] {
    let below = Condition { operator: Operator::Less, ..above_ten(NoData::Ignore) };
    [above_ten(NoData::Fire), above_ten(NoData::Ignore), below]
}

/// Returns the transitions of a rule that is edited now and then and evaluated every minute. As in the evaluator, an edit
/// is detected by comparison with the last recorded definition, which does not include `no_data`.
fn run_edited(seen: &[(Observation, usize)]) -> (RuleStatus, Vec<Transition>) {
    let (mut status, mut transitions, mut recorded) = (RuleStatus::default(), Vec::new(), None);
    for (i, &(seen, definition)) in (0..).zip(seen) {
        let condition = definitions()[definition];
        let edited = recorded.is_some_and(|operator| operator != condition.operator);
        let transition = evaluate_edited(&mut status, &condition, edited, seen, T0 + i * MINUTE);
        if transition.is_some() && seen != Observation::Ended {
            recorded = Some(condition.operator);
        }
        transitions.extend(transition);
    }
    (status, transitions)
}

proptest! {
    #[test]
    fn transitions_link_without_gap_or_repeat(
        seen in prop::collection::vec((observation(), definition()), 0..200),
    ) {
        let (status, transitions) = run_edited(&seen);
        let mut state = State::Ok;
        for (i, transition) in transitions.iter().enumerate() {
            prop_assert_eq!(transition.sequence, i as u64 + 1, "no sequence is missing or repeated");
            prop_assert_eq!(transition.from, state, "each begins in the state in which the previous one ended");
            prop_assert!(transition.from != transition.to || matches!(transition.notification, Notification::Settled | Notification::Silent));
            state = transition.to;
        }
        prop_assert_eq!(state, status.state);
    }

    /// Without edits, a record without a transition of state is only made when flapping ends.
    #[test]
    fn only_an_edit_is_recorded_without_a_transition(
        seen in prop::collection::vec((observation(), 1i64..20 * MINUTE), 0..200), fire in any::<bool>(),
    ) {
        let condition = above_ten(if fire { NoData::Fire } else { NoData::Ignore });
        let (mut status, mut now) = (RuleStatus::default(), T0);
        for (seen, wait) in seen {
            now += wait;
            let transition = evaluate(&mut status, &condition, seen, now);
            prop_assert!(transition.is_none_or(|c| c.from != c.to || c.notification == Notification::Settled));
        }
    }

    /// The state of an edited rule does not depend on its state before the edit.
    #[test]
    fn edited_rule_has_the_state_of_a_new_one(
        before in prop::collection::vec((observation(), definition()), 1..60),
        seen in prop_oneof![Just(HIGH), Just(LOW), Just(Observation::NoPoints)], definition in 0usize..3,
    ) {
        let (mut status, _) = run_edited(&before);
        prop_assume!(status.sequence > 0);
        let condition = definitions()[definition];
        let end = T0 + before.len() as i64 * MINUTE;
        evaluate_edited(&mut status, &condition, true, seen, end);
        let (new, _) = run(&condition, &[seen], MINUTE);
        prop_assert_eq!(status.state, new.state);
        prop_assert_eq!(evaluate_edited(&mut status, &condition, false, seen, end), None, "one evaluation is enough");
    }

    #[test]
    fn every_firing_is_resolved_after_two_calm_evaluations(
        before in prop::collection::vec((observation(), definition()), 0..60),
    ) {
        let condition = above_ten(NoData::Fire);
        let (mut status, mut transitions) = run_edited(&before);
        let end = T0 + before.len() as i64 * MINUTE;
        for i in 0..2 {
            transitions.extend(evaluate(&mut status, &condition, LOW, end + i * MINUTE));
        }
        prop_assert_eq!(status.state, State::Ok);
        let firings = transitions.iter().filter(|c| c.from != State::Firing && c.to == State::Firing).count();
        let ends = transitions.iter().filter(|c| c.from == State::Firing && c.to != State::Firing).count();
        prop_assert_eq!(firings, ends);
    }

    /// The last notification always reports the rule's final state.
    #[test]
    fn last_notification_reports_the_final_state(
        before in prop::collection::vec((observation(), definition()), 0..120),
    ) {
        let condition = above_ten(NoData::Fire);
        let (mut status, mut transitions) = run_edited(&before);
        let end = T0 + before.len() as i64 * MINUTE;
        for i in 0..3 {
            transitions.extend(evaluate(&mut status, &condition, LOW, end + i * 2 * HOUR_MS));
        }
        let last = transitions.iter().rev().find(|transition| transition.notification != Notification::Silent);
        prop_assert_eq!(last.map_or(State::Ok, |transition| transition.to), status.state);
        let notified = transitions.iter().rev().find(|transition| matches!(transition.notification, Notification::Flapping));
        let settled = transitions.iter().rev().find(|transition| matches!(transition.notification, Notification::Settled));
        prop_assert!(notified.map(|c| c.sequence) <= settled.map(|c| c.sequence).or(Some(0)).filter(|_| notified.is_some()));
    }

    /// An hour has at most four notifications of single transitions, and one of flapping.
    #[test]
    fn hour_has_at_most_five_notifications_of_transitions(
        seen in prop::collection::vec(prop_oneof![Just(HIGH), Just(LOW)], 0..300), every in 10_000i64..10 * MINUTE,
    ) {
        let (_, transitions) = run(&above_ten(NoData::Ignore), &seen, every);
        let notified: Vec<i64> = transitions
            .iter()
            .filter(|transition| transition.from != transition.to && transition.notification != Notification::Silent)
            .map(|transition| transition.at_ms)
            .collect();
        for window in notified.windows(MAX_TRANSITIONS_PER_HOUR + 2) {
            prop_assert!(window[MAX_TRANSITIONS_PER_HOUR + 1] - window[0] >= HOUR_MS);
        }
    }

    /// A restart forgets only an observation that awaits confirmation.
    #[test]
    fn recorded_transitions_restore_the_status(
        seen in prop::collection::vec((observation(), definition()), 0..100),
    ) {
        let (status, transitions) = run_edited(&seen);
        let mut again = RuleStatus::default();
        transitions.iter().for_each(|transition| again.apply(transition));
        prop_assert_eq!(again, RuleStatus { unconfirmed: None, ..status });
    }
}
