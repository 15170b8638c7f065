//! Chunking, merging and scaling of windows.

use super::*;
use crate::series::merge::Aggregates;
use crate::series::query::SCALE;

const DAY_MS: i64 = 86_400_000;

fn series(metric: usize) -> Series {
    ("prj".to_owned(), format!("m{metric}"))
}

fn sums(points: u64, total: f64, min: f64, max: f64) -> Partial {
    Partial { bucket: 0, points, aggregates: Aggregates::Sums { total, min, max } }
}

fn last(points: u64, at: i64) -> Partial {
    let aggregates = Aggregates::Last { value: at as f64, position: Box::new((at, 0, 0, 0, 0)) };
    Partial { bucket: 0, points, aggregates }
}

/// Returns values of one series that was read in these parts.
fn values(aggregation: Aggregation, parts: Vec<Partial>) -> WindowValues {
    let mut values = WindowValues::default();
    let key = (DAY_MS, Kind::of(aggregation));
    values.add_chunk(key, &[&series(1)], Ok(vec![parts]), &mut HashSet::new()).expect("no error");
    values
}

#[test]
fn ten_thousand_rules_share_a_query_per_window_and_kind() {
    let mut queries = WindowQueries::default();
    let aggregations = [Aggregation::Avg, Aggregation::Max, Aggregation::P99, Aggregation::Last];
    for rule in 0..10_000_usize {
        let length_ms = 1 + (rule / 4 % 6) as i64;
        queries.add(series(rule % 1000), length_ms, aggregations[rule % 4]);
    }
    assert_eq!(queries.count(), 6 * 3);
}

#[test]
fn parts_of_a_window_add_up() {
    let both = || vec![sums(2, 10.0, 1.0, 9.0), sums(2, 2.0, 0.0, 2.0)];
    for (aggregation, parts, value) in [
        (Aggregation::Avg, both(), 3.0),
        (Aggregation::Sum, both(), 12.0),
        (Aggregation::Min, both(), 0.0),
        (Aggregation::Max, both(), 9.0),
        (Aggregation::Count, both(), 4.0),
        (Aggregation::Last, vec![last(2, 5), last(2, 3)], 5.0),
    ] {
        let found = values(aggregation, parts).value(&series(1), DAY_MS, aggregation);
        assert_eq!(found, WindowValue::Some(value), "{aggregation:?}");
    }
}

#[test]
fn empty_window_has_no_value_but_a_count_of_zero() {
    let empty = values(Aggregation::Avg, Vec::new());
    assert_eq!(empty.value(&series(1), DAY_MS, Aggregation::Avg), WindowValue::None);
    assert_eq!(empty.value(&series(1), DAY_MS, Aggregation::Count), WindowValue::Some(0.0));
}

#[test]
fn average_of_an_overflowing_sum_comes_from_the_scaled_parts() {
    let key = (DAY_MS, Kind::Sums);
    let mut values =
        values(Aggregation::Avg, vec![sums(2, f64::INFINITY, f64::MAX, f64::MAX), sums(1, 1.0, 1.0, 1.0)]);
    assert!(values.overflows(key, &series(1)));
    assert_eq!(values.value(&series(1), DAY_MS, Aggregation::Avg), WindowValue::None);
    let scaled = sums(3, f64::MAX / SCALE * 2.0, 1.0, f64::MAX);
    values.add_scaled(key, &[&series(1)], vec![vec![scaled]]);
    let expected = f64::MAX / 3.0 * 2.0;
    match values.value(&series(1), DAY_MS, Aggregation::Avg) {
        WindowValue::Some(value) => assert!((value / expected - 1.0).abs() < 1e-12, "{value}"),
        other => panic!("no value: {other:?}"),
    }
    assert_eq!(values.value(&series(1), DAY_MS, Aggregation::Sum), WindowValue::None, "no double holds it");
    assert_eq!(values.value(&series(1), DAY_MS, Aggregation::Max), WindowValue::Some(f64::MAX));
}

#[test]
fn slow_series_delays_no_other_and_is_read_alone_afterwards() {
    let all: BTreeSet<Series> = (0..2500).map(series).collect();
    let key = (30 * DAY_MS, Kind::Sums);
    let heavy = series(1234);
    let mut slow = HashSet::new();
    for (round, times_out) in [true, true, false].into_iter().enumerate() {
        let mut values = WindowValues::default();
        let series = slow_first(all.iter().collect(), &slow);
        let mut chunks = chunks(&series, &slow);
        while let Some(chunk) = chunks.pop() {
            let late = times_out && chunk.contains(&&heavy);
            let parts = || chunk.iter().map(|_| vec![sums(1, 7.0, 7.0, 7.0)]).collect();
            let read = if late { Err(Error::QueryTimeout) } else { Ok(parts()) };
            chunks.extend(values.add_chunk(key, chunk, read, &mut slow).expect("no other error"));
        }
        for series in &all {
            let expected =
                if times_out && *series == heavy { WindowValue::Unread } else { WindowValue::Some(7.0) };
            assert_eq!(values.value(series, key.0, Aggregation::Avg), expected, "{series:?}, {round}");
        }
        assert_eq!((values.unread(), slow.len()), (usize::from(times_out), usize::from(times_out)));
        // First three chunks and two halves of each of ten sizes; then three chunks and the slow series.
        assert!(values.queries() <= [23, 4, 4][round], "{} queries, {round}", values.queries());
    }
}

#[test]
fn only_the_ends_of_long_windows_are_read_from_raw_points() {
    let end = 1_790_000_000_000;
    let hours = |length_ms: i64, kind, mask| {
        let range = Range { start: end - length_ms, end };
        query::window(range, kind, mask).text.matches("toStartOfHour").count()
    };
    assert_eq!(hours(7 * DAY_MS, Kind::Sums, ""), 2);
    assert_eq!(hours(7 * DAY_MS, Kind::Quantiles, ""), 0, "quantiles are exact");
    assert_eq!(hours(DAY_MS / 24, Kind::Sums, ""), 0);
    let mask = " AND NOT (metric_id = 'a')";
    assert_eq!(hours(7 * DAY_MS, Kind::Sums, mask), 0, "the rollup cannot be masked");
}

#[test]
fn series_with_hidden_points_are_read_separately_by_project() {
    let deletion = |metric: &str| proto::v1::Deletion {
        metric_id: metric.to_owned(),
        cuts: [(0, 5)].into(),
        ..Default::default()
    };
    let hidden = [("p", vec!["a", "c"]), ("q", vec!["a"])]
        .map(|(project, metrics)| (project.to_owned(), DeletionMask::new(metrics.into_iter().map(deletion))));
    let snapshot = Snapshot { database: "db".into(), hidden: hidden.into() };
    let series: Vec<Series> = ["p a", "p b", "q a", "q c", "r a"]
        .map(|series| series.split_once(' ').expect("two words"))
        .map(|(project, metric)| (project.to_owned(), metric.to_owned()))
        .into();
    let split: Vec<(Vec<String>, Vec<String>)> = snapshot
        .split(&series)
        .into_iter()
        .map(|(view, series)| {
            let hidden = view.hidden.metrics().into_iter().map(str::to_owned).collect();
            (hidden, series.into_iter().map(|(project, metric)| format!("{project} {metric}")).collect())
        })
        .collect();
    let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let expected = [(&[][..], &["p b", "q c", "r a"][..]), (&["a"], &["p a"]), (&["a"], &["q a"])];
    assert_eq!(split, expected.map(|(hidden, series)| (list(hidden), list(series))));
}
