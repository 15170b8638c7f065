use super::*;
use crate::rule::{NoData, Operator, Window as Length};
use crate::state_machine::State;
use proptest::prelude::*;
use reads::series::aggregation::QUANTILES;
use reads::series::merge::Aggregates;

const NOW: i64 = 1_790_000_000_000;

fn condition(aggregation: Aggregation, window: Length) -> Condition {
    Condition { aggregation, operator: Operator::Greater, threshold: 10.0, window, no_data: NoData::Fire }
}

fn buckets(points: &[(i64, f64)], aggregation: Aggregation) -> Vec<Partial> {
    let mut buckets: HashMap<i64, Partial> = HashMap::new();
    for (index, &(time, value)) in points.iter().enumerate() {
        let bucket = NOW - (NOW - time + STEP_MS - 1).div_euclid(STEP_MS) * STEP_MS;
        let aggregates = match Kind::of(aggregation) {
            Kind::Last => Aggregates::Last { value, position: Box::new((time, 0, 0, index as i64, 0)) },
            _ => Aggregates::Sums { total: value, min: value, max: value },
        };
        let part = Partial { bucket, points: 1, aggregates };
        match buckets.get_mut(&bucket) {
            Some(bucket) => bucket.absorb(&part),
            None => drop(buckets.insert(bucket, part)),
        }
    }
    buckets.into_values().collect()
}

/// Returns the transitions, with each window computed from all of its points.
fn naive(condition: &Condition, points: &[(i64, f64)]) -> Vec<Transition> {
    let value = |at: i64| {
        let start = at - condition.window.length_ms();
        let mut inside: Vec<(i64, f64)> =
            points.iter().copied().filter(|(time, _)| (start..at).contains(time)).collect();
        let last = inside.last().map(|(_, value)| *value);
        inside.sort_by(|a, b| a.1.total_cmp(&b.1));
        let values: Vec<f64> = inside.iter().map(|(_, value)| *value).collect();
        if values.is_empty() {
            return None;
        }
        let quantile = |level: f64| {
            let rank = level * (values.len() - 1) as f64;
            let low = values[rank.floor() as usize];
            low + (values[rank.ceil() as usize] - low) * rank.fract()
        };
        Some(match condition.aggregation {
            Aggregation::Avg => values.iter().sum::<f64>() / values.len() as f64,
            Aggregation::Sum => values.iter().sum(),
            Aggregation::Min => values[0],
            Aggregation::Max => values[values.len() - 1],
            Aggregation::Count => values.len() as f64,
            Aggregation::Last => last?,
            Aggregation::P50 => quantile(0.5),
            Aggregation::P90 => quantile(0.9),
            Aggregation::P99 => quantile(0.99),
        })
    };
    run(condition, NOW, |at| {
        let arrived = points.iter().any(|(time, _)| (at - STEP_MS..at).contains(time));
        WindowState { value: value(at), arrived }
    })
}

/// Returns the transitions of a rule with the aggregation `max`, as time before [`NOW`] and state. Points are given as time
/// before `NOW` and value.
fn max_transitions(window: Length, no_data: NoData, points: &[(i64, f64)]) -> Vec<(i64, State)> {
    let condition = Condition { no_data, ..condition(Aggregation::Max, window) };
    let points: Vec<(i64, f64)> = points.iter().map(|&(ago, value)| (NOW - ago, value)).collect();
    let transitions =
        transitions_of_buckets(&condition, buckets(&points, condition.aggregation), Scale::Plain, NOW);
    transitions.iter().map(|transition| (NOW - transition.at_ms, transition.to)).collect()
}

#[test]
fn spike_fires_and_is_resolved_once_it_has_left_the_window() {
    let at = NOW - 10 * STEP_MS;
    let quiet: Vec<(i64, f64)> = (0..20).map(|i| (NOW - i * STEP_MS - 1, 1.0)).collect();
    let mut points = quiet;
    points.push((at, 100.0));
    points.sort_by_key(|point| point.0);
    let condition = Condition { no_data: NoData::Ignore, ..condition(Aggregation::Max, Length::QuarterHour) };
    let transitions =
        transitions_of_buckets(&condition, buckets(&points, condition.aggregation), Scale::Plain, NOW);
    let seen: Vec<_> =
        transitions.iter().map(|transition| (transition.at_ms, transition.to, transition.value)).collect();
    // The spike is in three windows. In the fourth a point arrives, and two evaluations confirm that the spike has left.
    assert_eq!(seen, [(at + STEP_MS, State::Firing, Some(100.0)), (at + 4 * STEP_MS, State::Ok, Some(1.0))]);
}

#[test]
fn every_short_spike_fires() {
    const HOUR: i64 = 12 * STEP_MS;
    let points = [(3 * HOUR, 99.0), (2 * HOUR, 1.0), (HOUR, 99.0)];
    let seen = max_transitions(Length::FiveMinutes, NoData::Ignore, &points);
    let expected = [
        (3 * HOUR - STEP_MS, State::Firing),
        (2 * HOUR - STEP_MS, State::Ok),
        (HOUR - STEP_MS, State::Firing),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn resolution_without_new_points_needs_two_evaluations() {
    // The spike leaves the window twelve steps after it arrived, and no other point arrives then.
    let points = [(20 * STEP_MS, 99.0), (17 * STEP_MS, 1.0)];
    let seen = max_transitions(Length::Hour, NoData::Ignore, &points);
    assert_eq!(seen, [(19 * STEP_MS, State::Firing), (6 * STEP_MS, State::Ok)]);
}

#[test]
fn empty_window_is_reported_at_the_first_evaluation() {
    let seen = max_transitions(Length::FiveMinutes, NoData::Fire, &[(2 * STEP_MS, 1.0)]);
    let begun = (SPAN_MS, State::NoData);
    assert_eq!(seen, [begun, (STEP_MS, State::Ok), (0, State::NoData)]);
}

#[test]
fn points_just_before_now_count() {
    assert_eq!(max_transitions(Length::FiveMinutes, NoData::Ignore, &[(1, 99.0)]), [(0, State::Firing)]);
    let condition = condition(Aggregation::P50, Length::FiveMinutes);
    let fired = transitions_of_points(&condition, 0.5, &[(NOW - 1, 99.0)], NOW).pop().expect("a transition");
    assert_eq!((fired.at_ms, fired.to), (NOW, State::Firing));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn sliding_windows_equal_naive_windows(
        points in prop::collection::vec((0i64..32 * 24 * 3_600_000, 0i32..20), 0..60),
        aggregation in prop::sample::select(vec![
            Aggregation::Avg, Aggregation::Sum, Aggregation::Min, Aggregation::Max, Aggregation::Count,
            Aggregation::Last, Aggregation::P50, Aggregation::P90, Aggregation::P99,
        ]),
        window in prop::sample::select(vec![Length::FiveMinutes, Length::Hour, Length::Day]),
    ) {
        let condition = condition(aggregation, window);
        let mut points: Vec<(i64, f64)> =
            points.into_iter().map(|(ago, value)| (NOW - ago, f64::from(value))).collect();
        points.sort_by_key(|point| point.0);
        points.dedup_by_key(|point| point.0);
        let range = range(&condition, NOW);
        points.retain(|(time, _)| (range.start..range.end).contains(time));
        let slid = match aggregation.quantile_index() {
            Some(index) => transitions_of_points(&condition, QUANTILES[index], &points, NOW),
            None => transitions_of_buckets(&condition, buckets(&points, aggregation), Scale::Plain, NOW),
        };
        let plain = naive(&condition, &points);
        prop_assert_eq!(slid.len(), plain.len());
        for (slid, plain) in slid.iter().zip(&plain) {
            prop_assert_eq!((slid.at_ms, slid.from, slid.to), (plain.at_ms, plain.from, plain.to));
            let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
            prop_assert!(slid.value.zip(plain.value).is_none_or(|(a, b)| close(a, b)));
        }
    }
}

#[test]
fn average_of_an_overflowing_sum_fires() {
    let condition = condition(Aggregation::Avg, Length::FiveMinutes);
    let points = [(NOW - 2, f64::MAX), (NOW - 1, f64::MAX)];
    let plain = buckets(&points, Aggregation::Avg);
    assert!(may_overflow(Aggregation::Avg, &plain) && !may_overflow(Aggregation::Max, &plain));
    let scaled = buckets(&points.map(|(time, value)| (time, value / query::SCALE)), Aggregation::Avg);
    let scaled = scaled.into_iter().map(|mut part| {
        if let Aggregates::Sums { min, max, .. } = &mut part.aggregates {
            (*min, *max) = (f64::MAX, f64::MAX);
        }
        part
    });
    let transitions = transitions_of_buckets(&condition, scaled, Scale::Scaled, NOW);
    let last = transitions.last().expect("a transition");
    assert_eq!((last.to, last.value), (State::Firing, Some(f64::MAX)));
}

#[test]
fn quantile_between_values_whose_difference_overflows_is_finite() {
    let mut ranks = Ranks::new(vec![-f64::MAX, f64::MAX]);
    ranks.add(-f64::MAX, 1);
    ranks.add(f64::MAX, 1);
    assert_eq!(ranks.quantile(0.5), Some(0.0));
}
