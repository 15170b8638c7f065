//! Evaluations of handwritten series. Expected values are computed from Prometheus's documented algorithms.

use super::*;
use crate::budget::Interest;
use crate::parse::parse;
use crate::plan::{Plan, Root};
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// One minute, in milliseconds.
const M: i64 = 60_000;

/// Returns the series of a metric, from pairs of seconds and values.
fn metric(id: &str, samples: &[(f64, f64)]) -> Series {
    let samples = samples.iter().map(|&(at, value)| Sample { at: (at * 1000.0) as i64, value });
    Series { labels: Labels::of_metric(id), samples: samples.collect() }
}

/// Returns a series with one sample per minute, from minute 0.
fn minutely(id: &str, values: &[f64]) -> Series {
    let samples = values.iter().enumerate().map(|(minute, &value)| (minute as f64 * 60.0, value));
    metric(id, &samples.collect::<Vec<_>>())
}

fn evaluate(text: &str, store: &[Series], grid: Grid) -> Result<(Value, Vec<String>), Error> {
    evaluate_to(text, store, grid, grid.last())
}

fn evaluate_to(text: &str, store: &[Series], grid: Grid, end: i64) -> Result<(Value, Vec<String>), Error> {
    let plan = Plan::new(&parse(text).unwrap_or_else(|reason| panic!("{text}: {reason}")), grid, end)?;
    let data: Vec<Vec<Series>> = plan
        .selectors
        .iter()
        .map(|selector| {
            let matched = store.iter().filter(|series| series.labels.matched_by(&selector.matchers));
            let inside = |sample: &Sample| sample.at > selector.after && sample.at <= selector.until;
            matched
                .map(|series| Series {
                    labels: series.labels.clone(),
                    samples: series.samples.iter().copied().filter(inside).collect(),
                })
                .collect()
        })
        .collect();
    let interest = Interest::default();
    let budget = Budget::new(Instant::now() + Duration::from_secs(60), &interest);
    let evaluation = Evaluation::new(&data, &budget);
    let Root::Node(node) = &plan.root else { panic!("{text} is not an instant vector or scalar") };
    let value = evaluation.node(node, grid)?;
    Ok((value, evaluation.warnings.take().into_iter().collect()))
}

/// Returns the result of an instant query, as sorted lines of `labels value`, or a number.
fn at(text: &str, store: &[Series], seconds: f64) -> Vec<String> {
    match evaluate(text, store, Grid::instant((seconds * 1000.0) as i64)) {
        Ok((Value::Scalar(values), _)) => values.iter().map(f64::to_string).collect(),
        Ok((Value::Vector(columns), _)) => columns
            .iter()
            .filter_map(|column| Some(format!("{} {}", column.labels, column.values[0]?)))
            .collect(),
        Err(failure) => vec![format!("{failure:?}")],
    }
}

/// Returns the only value of an instant query.
fn number(text: &str, store: &[Series], seconds: f64) -> Option<f64> {
    match evaluate(text, store, Grid::instant((seconds * 1000.0) as i64)) {
        Ok((Value::Scalar(values), _)) => values.first().copied(),
        Ok((Value::Vector(columns), _)) => {
            let values: Vec<f64> = columns.iter().filter_map(|column| column.values[0]).collect();
            assert!(values.len() <= 1, "{text}: {values:?}");
            values.first().copied()
        }
        Err(failure) => panic!("{text}: {failure:?}"),
    }
}

#[track_caller]
fn check(store: &[Series], seconds: f64, cases: &[(&str, Option<f64>)]) {
    for (text, expected) in cases {
        let got = number(text, store, seconds);
        let same = match (got, *expected) {
            (Some(got), Some(expected)) => {
                got == expected
                    || got.is_nan() && expected.is_nan()
                    || (got - expected).abs() <= 1e-12 * expected.abs()
            }
            (got, expected) => got == expected,
        };
        assert!(same, "{text}: got {got:?}, expected {expected:?}");
    }
}

#[test]
fn scalar_expressions_need_no_series() {
    check(
        &[],
        4.5,
        &[
            ("1+1", Some(2.0)),
            ("2 ^ 3 ^ 2", Some(512.0)),
            ("-2 ^ 2", Some(-4.0)),
            ("-7 % 3", Some(-1.0)),
            ("1 / 0", Some(f64::INFINITY)),
            ("0 / 0", Some(f64::NAN)),
            ("1 < bool 2", Some(1.0)),
            ("1 >= bool 2", Some(0.0)),
            ("time()", Some(4.5)),
            ("vector(3) * 2", Some(6.0)),
            ("scalar(vector(3))", Some(3.0)),
            ("pi()", Some(std::f64::consts::PI)),
            ("hour(vector(1790000000))", Some(14.0)),
            ("day_of_week()", Some(4.0)),
            ("days_in_month(vector(1709164800))", Some(29.0)),
        ],
    );
}

#[test]
fn instant_selector_has_a_left_open_lookback_of_five_minutes() {
    let store = [metric("a", &[(100.0, 1.0), (160.0, 2.0)])];
    for (seconds, expected) in [
        (99.999, None),
        (100.0, Some(1.0)),
        (159.0, Some(1.0)),
        (160.0, Some(2.0)),
        (459.999, Some(2.0)),
        (460.0, None),
    ] {
        assert_eq!(number("a", &store, seconds), expected, "{seconds}");
    }
}

#[test]
fn windows_are_left_open_and_right_closed() {
    let store = [minutely("a", &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0])];
    check(
        &store,
        300.0,
        &[
            ("sum_over_time(a[1m])", Some(32.0)),
            ("sum_over_time(a[2m])", Some(48.0)),
            ("sum_over_time(a[301s])", Some(63.0)),
            ("count_over_time(a[5m])", Some(5.0)),
            ("sum_over_time(a[1m] offset 1m)", Some(16.0)),
            ("sum_over_time(a[1m] offset -1m)", None),
            ("sum_over_time(a[2m] @ 60)", Some(3.0)),
            ("sum_over_time(a[2m] @ end())", Some(48.0)),
            ("a offset 90s", Some(8.0)),
            ("a @ 119.999", Some(2.0)),
            ("a @ 0 offset -2m", Some(4.0)),
            ("a @ 1e300", None),
            ("a @ -1e300 offset 1000y", None),
            ("sum_over_time(a[1000000y])", Some(63.0)),
        ],
    );
}

#[test]
fn functions_over_time_are_as_documented() {
    let store = [minutely("a", &[9.0, 3.0, 3.0, 8.0, 1.0, 5.0])];
    check(
        &store,
        300.0,
        &[
            ("avg_over_time(a[5m])", Some(4.0)),
            ("min_over_time(a[5m])", Some(1.0)),
            ("max_over_time(a[5m])", Some(8.0)),
            ("first_over_time(a[5m])", Some(3.0)),
            ("last_over_time(a[5m])", Some(5.0)),
            ("present_over_time(a[5m])", Some(1.0)),
            // Distances from the mean 4 are 1 1 4 3 1; the sum of their squares is 28.
            ("stdvar_over_time(a[5m])", Some(5.6)),
            ("stddev_over_time(a[5m])", Some(5.6f64.sqrt())),
            // Sorted: 1 3 3 5 8.
            ("quantile_over_time(0, a[5m])", Some(1.0)),
            ("quantile_over_time(0.5, a[5m])", Some(3.0)),
            ("quantile_over_time(0.9, a[5m])", Some(6.8)),
            ("quantile_over_time(1.5, a[5m])", Some(f64::INFINITY)),
            ("quantile_over_time(-1, a[5m])", Some(f64::NEG_INFINITY)),
            ("changes(a[5m])", Some(3.0)),
            ("resets(a[5m])", Some(1.0)),
            ("idelta(a[5m])", Some(4.0)),
            ("absent_over_time(a[5m])", None),
            ("absent_over_time(b[5m])", Some(1.0)),
            ("timestamp(a offset 30s)", Some(240.0)),
        ],
    );
}

#[test]
fn rate_is_extrapolated_to_window_edges_and_handles_resets() {
    // Increases by 10 every minute. The window of 5 minutes has the samples at 60 s to 300 s.
    let steady = minutely("steady", &[100.0, 110.0, 120.0, 130.0, 140.0, 150.0]);
    // In the window it increases by 10, falls from 20 to 5, and increases by 20.
    let reset = minutely("reset", &[0.0, 10.0, 20.0, 5.0, 15.0, 25.0]);
    // Starts at 1 and rises by 10 per minute, so it was zero a tenth of a minute before its first sample.
    let young = metric("young", &[(180.0, 1.0), (240.0, 11.0), (300.0, 21.0)]);
    // The window's edges are far from its samples.
    let sparse = metric("sparse", &[(200.0, 50.0), (220.0, 60.0)]);
    let single = metric("single", &[(250.0, 7.0)]);
    let store = [steady, reset, young, sparse, single];
    check(
        &store,
        300.0,
        &[
            // 40 in 240 s. The start is 60 s away, less than 1.1 distances: 40 * 300/240.
            ("increase(steady[5m])", Some(50.0)),
            ("rate(steady[5m])", Some(50.0 / 300.0)),
            ("delta(steady[5m])", Some(50.0)),
            // 25 - 10 + 20 = 35. The counter was zero 240 * 10/35 = 68.6 s before, which is beyond the edge.
            ("increase(reset[5m])", Some(35.0 * 300.0 / 240.0)),
            ("delta(reset[5m])", Some(15.0 * 300.0 / 240.0)),
            ("irate(reset[5m])", Some(10.0 / 60.0)),
            ("irate(reset[2m] @ 180)", Some(5.0 / 60.0)),
            // 20 in 120 s. The start is 180 s away, so half a distance, 30 s, would count; but zero is 120 * 1/20 = 6 s away.
            ("increase(young[5m])", Some(20.0 * 126.0 / 120.0)),
            // A gauge is also extrapolated to before zero.
            ("delta(young[5m])", Some(20.0 * 150.0 / 120.0)),
            // 10 in 20 s. Both edges are far, so half a distance each.
            ("increase(sparse[5m])", Some(20.0)),
            ("increase(single[5m])", None),
            ("increase(steady[1m])", None),
            ("increase(absent[5m])", None),
        ],
    );
}

#[test]
fn extrapolation_reaches_edges_within_1_1_distances() {
    // The distance between samples is 10 s; the window of 100 s ends at 100.
    for (first, expected_start) in [(10.9, 10.9), (11.0, 5.0), (11.1, 5.0)] {
        let store = [metric("a", &[(first, 1000.0), (first + 10.0, 1001.0), (first + 20.0, 1002.0)])];
        let expected = 2.0 * (20.0 + expected_start + 5.0) / 20.0;
        check(&store, 100.0, &[("delta(a[100s])", Some(expected))]);
    }
}

#[test]
fn deriv_and_predict_linear_use_least_squares() {
    let store =
        [minutely("a", &[0.0, 10.0, 20.0, 30.0]), minutely("b", &[5.0, 5.0, 5.0]), minutely("c", &[1.0])];
    check(
        &store,
        180.0,
        &[
            ("deriv(a[10m])", Some(10.0 / 60.0)),
            ("predict_linear(a[10m], 60)", Some(40.0)),
            ("predict_linear(a[10m] offset 1m, 0)", Some(30.0)),
            ("deriv(b[10m])", Some(0.0)),
            ("deriv(c[10m])", None),
        ],
    );
}

#[test]
fn aggregations_group_by_labels() {
    let store = [minutely("a.b", &[1.0]), minutely("a-b", &[3.0]), minutely("c", &[8.0])];
    let all = "{__name__=~\".+\"}";
    check(
        &store,
        0.0,
        &[
            (&format!("sum({all})"), Some(12.0)),
            (&format!("avg({all})"), Some(4.0)),
            (&format!("min({all})"), Some(1.0)),
            (&format!("max({all})"), Some(8.0)),
            (&format!("count({all})"), Some(3.0)),
            (&format!("group({all})"), Some(1.0)),
            (&format!("stdvar({all})"), Some(26.0 / 3.0)),
            (&format!("quantile(0.75, {all})"), Some(5.5)),
            ("sum(nothing)", None),
            ("count(nothing)", None),
        ],
    );
    assert_eq!(
        at(&format!("sum by (__name__) ({all})"), &store, 0.0),
        ["{__name__=\"a_b\"} 4", "{__name__=\"c\"} 8"]
    );
    assert_eq!(at(&format!("sum without (metric_id) ({all})"), &store, 0.0), ["{} 12"]);
    assert_eq!(at(&format!("count without () ({all})"), &store, 0.0).len(), 3);
    assert_eq!(
        at(&format!("topk(2, {all})"), &store, 0.0),
        ["{__name__=\"c\", metric_id=\"c\"} 8", "{__name__=\"a_b\", metric_id=\"a-b\"} 3"]
    );
    assert_eq!(at(&format!("bottomk(1, {all})"), &store, 0.0), ["{__name__=\"a_b\", metric_id=\"a.b\"} 1"]);
    assert_eq!(at(&format!("topk(0, {all})"), &store, 0.0), [""; 0]);
}

#[test]
fn metrics_with_equal_names_differ_by_metric_id() {
    let store = [minutely("a.b", &[1.0]), minutely("a-b", &[3.0]), minutely("5x", &[5.0])];
    assert_eq!(
        at("a_b", &store, 0.0),
        ["{__name__=\"a_b\", metric_id=\"a.b\"} 1", "{__name__=\"a_b\", metric_id=\"a-b\"} 3"]
    );
    check(
        &store,
        0.0,
        &[
            ("a_b{metric_id=\"a.b\"}", Some(1.0)),
            ("a_b{metric_id!=\"a.b\"}", Some(3.0)),
            ("a_b{metric_id=~\"a[.]b\"}", Some(1.0)),
            ("{metric_id!~\"a.*\", __name__!=\"\"}", Some(5.0)),
            ("_x", Some(5.0)),
            ("a_b{other=\"x\"}", None),
            ("_x{other=\"\"}", Some(5.0)),
        ],
    );
}

#[test]
fn comparisons_filter_or_return_zero_and_one_with_bool() {
    let store = [minutely("a", &[1.0]), minutely("b", &[3.0])];
    assert_eq!(at("{metric_id=~\"a|b\"} > 2", &store, 0.0), ["{__name__=\"b\", metric_id=\"b\"} 3"]);
    assert_eq!(at("2 < {metric_id=~\"a|b\"}", &store, 0.0), ["{__name__=\"b\", metric_id=\"b\"} 3"]);
    assert_eq!(
        at("{metric_id=~\"a|b\"} > bool 2", &store, 0.0),
        ["{metric_id=\"a\"} 0", "{metric_id=\"b\"} 1"]
    );
    assert_eq!(at("a < on() b", &store, 0.0), ["{} 1"]);
    assert_eq!(at("a < ignoring(metric_id) b", &store, 0.0), ["{__name__=\"a\"} 1"]);
    assert_eq!(at("a == a", &store, 0.0), ["{__name__=\"a\", metric_id=\"a\"} 1"]);
    assert_eq!(at("a > on() b", &store, 0.0), [""; 0]);
}

#[test]
fn operators_match_series_one_to_one_by_their_labels() {
    let store = [minutely("a", &[12.0]), minutely("b", &[3.0]), minutely("c", &[1.0])];
    assert_eq!(at("a / ignoring(metric_id) b", &store, 0.0), ["{} 4"]);
    assert_eq!(at("a / on() b", &store, 0.0), ["{} 4"]);
    assert_eq!(at("a - a", &store, 0.0), ["{metric_id=\"a\"} 0"]);
    assert_eq!(at("-a", &store, 0.0), ["{metric_id=\"a\"} -12"]);
    let (none, warnings) = evaluate("a / b", &store, Grid::instant(0)).expect("it is evaluated");
    assert_eq!(none, Value::Vector(vec![]));
    assert!(warnings[0].contains("ignoring(metric_id)"), "{warnings:?}");
    for (text, expected) in [
        ("a / on() {metric_id=~\"b|c\"}", "on the right hand-side"),
        ("a > on() {metric_id=~\"b|c\"}", "on the right hand-side"),
        ("{metric_id=~\"b|c\"} / on() a", "multiple matches"),
        ("{metric_id=~\"b|c\"} < on() a", "multiple matches"),
        ("{metric_id=~\"b|c\"} > bool on() a", "multiple matches"),
    ] {
        let failure = evaluate(text, &store, Grid::instant(0)).expect_err("it is ambiguous");
        assert!(matches!(&failure, Error::Execution(reason) if reason.contains(expected)), "{failure:?}");
    }
    assert_eq!(
        at("{metric_id=~\"a|b\"} > on() vector(5)", &store, 0.0),
        ["{} 12"],
        "the filter leaves one match"
    );
    assert_eq!(at("{metric_id=~\"a|b\"} == on() b", &store, 0.0), ["{} 3"]);
    assert_eq!(at("nothing / on() {metric_id=~\"b|c\"}", &store, 0.0), [""; 0]);
}

#[test]
fn set_operators_match_by_labels() {
    let store = [minutely("a", &[1.0]), minutely("b", &[2.0]), metric("late", &[(60.0, 3.0)])];
    let both = "{metric_id=~\"a|b\"}";
    assert_eq!(at(&format!("{both} and a"), &store, 0.0), ["{__name__=\"a\", metric_id=\"a\"} 1"]);
    assert_eq!(at(&format!("{both} unless a"), &store, 0.0), ["{__name__=\"b\", metric_id=\"b\"} 2"]);
    assert_eq!(at(&format!("{both} and on() vector(1)"), &store, 0.0).len(), 2);
    assert_eq!(
        at("a or b", &store, 0.0),
        ["{__name__=\"a\", metric_id=\"a\"} 1", "{__name__=\"b\", metric_id=\"b\"} 2"]
    );
    assert_eq!(at("a or on() b", &store, 0.0), ["{__name__=\"a\", metric_id=\"a\"} 1"]);
    // A common default of a panel: zero until the series has a value.
    let (value, _) = evaluate("late or on() vector(0)", &store, Grid::range(0, 2 * M, M)).expect("a value");
    let Value::Vector(columns) = value else { panic!("a vector") };
    let values: Vec<_> = columns.iter().map(|column| column.values.clone()).collect();
    assert_eq!(values, [vec![None, Some(3.0), Some(3.0)], vec![Some(0.0), None, None]]);
}

#[test]
fn functions_of_a_value_drop_the_name_and_keep_the_metric_id() {
    let store = [minutely("a", &[-2.5])];
    assert_eq!(at("abs(a)", &store, 0.0), ["{metric_id=\"a\"} 2.5"]);
    check(
        &store,
        0.0,
        &[
            ("ceil(a)", Some(-2.0)),
            ("floor(a)", Some(-3.0)),
            ("round(a)", Some(-2.0)),
            ("round(a, 0.2)", Some(-2.4)),
            ("clamp(a, -1, 1)", Some(-1.0)),
            ("clamp(a, 1, -1)", None),
            ("clamp_min(a, 0)", Some(0.0)),
            ("clamp_max(a, -3)", Some(-3.0)),
            ("clamp_max(a, NaN)", Some(f64::NAN)),
            ("sgn(a)", Some(-1.0)),
            ("sqrt(a)", Some(f64::NAN)),
            ("ln(a * 0)", Some(f64::NEG_INFINITY)),
            ("exp(a * 0)", Some(1.0)),
            ("log2(a * -3.2)", Some(3.0)),
            ("log10(a * -40)", Some(2.0)),
            ("absent(a)", None),
            ("scalar(a)", Some(-2.5)),
            ("scalar(nothing)", Some(f64::NAN)),
        ],
    );
    assert_eq!(at("absent(nothing{metric_id=\"x\", job=~\"y\"})", &store, 0.0), ["{metric_id=\"x\"} 1"]);
    assert_eq!(
        at("label_replace(a, \"id\", \"<$1>\", \"metric_id\", \"(.)\")", &store, 0.0),
        ["{__name__=\"a\", id=\"<a>\", metric_id=\"a\"} -2.5"]
    );
    assert_eq!(
        at("label_join(a, \"id\", \"-\", \"metric_id\", \"__name__\")", &store, 0.0),
        ["{__name__=\"a\", id=\"a-a\", metric_id=\"a\"} -2.5"]
    );
}

#[test]
fn series_that_become_equal_are_an_error() {
    let store = [minutely("a", &[1.0]), minutely("b", &[2.0])];
    let text = "label_replace({metric_id=~\"a|b\"}, \"metric_id\", \"x\", \"\", \"\") + 1";
    let failure = evaluate(text, &store, Grid::instant(0)).expect_err("they are the same");
    assert!(format!("{failure:?}").contains("same labelset"), "{failure:?}");
}

#[test]
fn sorting_puts_nan_last() {
    let store = [minutely("a", &[f64::NAN]), minutely("b", &[2.0]), minutely("c", &[1.0])];
    let order = |text: &str| {
        let rows = at(text, &store, 0.0);
        rows.iter().map(|row| row.rsplit(' ').next().expect("a value").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(order("sort({metric_id=~\".\"})"), ["1", "2", "NaN"]);
    assert_eq!(order("sort_desc({metric_id=~\".\"})"), ["2", "1", "NaN"]);
    assert_eq!(order("topk(2, {metric_id=~\".\"})"), ["2", "1"]);
    assert_eq!(order("bottomk(3, {metric_id=~\".\"})"), ["1", "2", "NaN"]);
}

#[test]
fn subqueries_are_evaluated_at_multiples_of_their_step() {
    let store = [minutely("a", &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0])];
    check(
        &store,
        310.0,
        &[
            // Steps 240 and 300.
            ("sum_over_time(a[2m:1m])", Some(48.0)),
            ("max_over_time(a[2m:30s] offset 1m)", Some(16.0)),
            // Steps 60 to 300. Each window of a minute has one sample: 2 4 8 16 32.
            ("sum_over_time(sum_over_time(a[1m])[301s:])", Some(62.0)),
            ("count_over_time(vector(1)[1m:10s])", Some(6.0)),
        ],
    );
}

#[test]
fn unsupported_construct_is_named_in_the_error() {
    let grid = Grid::instant(0);
    for (text, name) in [
        ("histogram_quantile(0.9, a)", "`histogram_quantile`"),
        ("a * on() group_left b", "`group_left`"),
        ("a * on() group_right b", "`group_right`"),
        ("count_values(\"x\", a)", "`count_values`"),
        ("limitk(1, a)", "`limitk`"),
        ("mad_over_time(a[5m])", "`mad_over_time`"),
        ("{metric_id=\"a\" or metric_id=\"b\"}", "`or` between matchers"),
    ] {
        match evaluate(text, &[], grid) {
            Err(Error::Execution(reason)) => assert!(reason.contains(name), "{text}: {reason}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert!(matches!(evaluate("ln(0)", &[], grid), Err(Error::BadData(_))));
}

#[test]
fn deep_expressions_are_rejected_and_others_fit_the_stack() {
    let grid = Grid::instant(0);
    // A subquery has two levels and eight tokens.
    for (opening, inner, closing, fits, deep) in [
        ("-", "a", "", 249, 251),
        ("1+", "1", "", 249, 251),
        ("-(", "a", ")", 124, 126),
        ("abs(", "a", ")", 249, 251),
        ("sum(", "a", ")", 249, 251),
        ("sum_over_time(", "a", "[1m:1m])", 120, 126),
    ] {
        let nested = |depth: usize| format!("{}{inner}{}", opening.repeat(depth), closing.repeat(depth));
        let fitting = evaluate(&nested(fits), &[], grid);
        assert!(fitting.is_ok(), "{opening}: {fitting:?}");
        let deep = evaluate(&nested(deep), &[], grid);
        assert!(matches!(deep, Err(Error::Execution(_))), "{opening}");
    }
}

#[test]
fn end_of_a_range_may_lie_after_its_last_step() {
    let store = [minutely("a", &[0.0, 1.0, 2.0, 3.0])];
    let grid = Grid::range(0, 3 * M, 2 * M);
    for (end, value) in [(2 * M, 2.0), (3 * M, 3.0)] {
        let (found, _) = evaluate_to("a @ end()", &store, grid, end).expect("a value");
        let Value::Vector(columns) = found else { panic!("{found:?}") };
        assert_eq!(columns[0].values, [Some(value); 2]);
    }
}

#[test]
fn topk_of_no_series_accepts_a_missing_parameter() {
    let store = [minutely("a", &[1.0])];
    assert_eq!(at("topk(scalar(nothing), nothing)", &store, 0.0), [""; 0]);
    assert!(at("topk(scalar(nothing), a)", &store, 0.0)[0].contains("NaN"));
}

#[test]
fn abandoned_or_too_large_query_is_stopped() {
    let data = [];
    let plan = Plan::new(&parse("1").expect("a number"), Grid::range(0, 10, 1), 10).expect("a plan");
    let Root::Node(node) = &plan.root else { panic!("a number") };
    let interest = Interest::default();
    let budget = Budget::new(Instant::now() + Duration::from_secs(60), &interest);
    let evaluation = Evaluation::new(&data, &budget);
    assert!(matches!(evaluation.node(node, Grid::range(0, 100_000_000, 1)), Err(Error::Execution(_))));
    let budget = Budget::new(Instant::now() + Duration::from_secs(60), &interest);
    let evaluation = Evaluation::new(&data, &budget);
    assert!(evaluation.node(node, Grid::range(0, 10, 1)).is_ok());
    drop(interest);
    assert_eq!(evaluation.node(node, Grid::range(0, 10, 1)), Err(Error::Timeout));
}

/// Returns the value of a function on one window, computed from all of its samples.
fn naive(function: &str, window: &[Sample]) -> Option<f64> {
    let values: Vec<f64> = window.iter().map(|sample| sample.value).collect();
    let count = values.len() as f64;
    let sum: f64 = values.iter().sum();
    let pairs = || values.windows(2).map(|pair| (pair[0], pair[1]));
    if values.is_empty() {
        return None;
    }
    Some(match function {
        "sum_over_time" => sum,
        "avg_over_time" => sum / count,
        "count_over_time" => count,
        "min_over_time" => values.iter().copied().fold(f64::INFINITY, f64::min),
        "max_over_time" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "last_over_time" => values[values.len() - 1],
        "changes" => pairs().filter(|(a, b)| a != b).count() as f64,
        "resets" => pairs().filter(|(a, b)| b < a).count() as f64,
        _ => {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let rank = 0.3 * (count - 1.0);
            let (lower, weight) = (rank.floor() as usize, rank - rank.floor());
            sorted[lower] * (1.0 - weight) + sorted[(lower + 1).min(sorted.len() - 1)] * weight
        }
    })
}

proptest! {
    #[test]
    fn sliding_windows_equal_naive_windows(
        gaps in prop::collection::vec((1i64..40_000, -50i32..50), 0..80),
        range in 1i64..200, step in 1i64..200, count in 1usize..60, start in 0i64..1000,
    ) {
        let mut now = 0;
        let samples: Vec<Sample> = gaps.iter().map(|&(gap, value)| {
            now += gap;
            Sample { at: now, value: value.into() }
        }).collect();
        let store = [Series { labels: Labels::of_metric("a"), samples: samples.clone() }];
        let grid = Grid { start: start * 1000, step: step * 1000, count };
        for function in ["sum_over_time", "avg_over_time", "count_over_time", "min_over_time", "max_over_time", "last_over_time", "changes", "resets", "quantile_over_time"] {
            let level = if function == "quantile_over_time" { "0.3, " } else { "" };
            let text = format!("{function}({level}a[{range}s])");
            let (value, _) = evaluate(&text, &store, grid).expect("it is evaluated");
            let Value::Vector(columns) = value else { panic!("a vector") };
            for (i, time) in grid.times().enumerate() {
                let window: Vec<Sample> = samples.iter().copied()
                    .filter(|sample| sample.at > time - range * 1000 && sample.at <= time).collect();
                let got = columns.first().and_then(|column| column.values[i]);
                let expected = naive(function, &window);
                let near = match (got, expected) {
                    (Some(got), Some(expected)) => (got - expected).abs() < 1e-9,
                    (got, expected) => got == expected,
                };
                prop_assert!(near, "{text} at {time}: {got:?}, {expected:?}");
            }
        }
    }
}

#[test]
fn sum_loses_no_digits_to_values_that_left_the_window() {
    let store = [metric("a", &[(0.0, 1e300), (10.0, 0.1), (20.0, 0.2), (30.0, 0.3)])];
    let (value, _) =
        evaluate("sum_over_time(a[25s])", &store, Grid::range(0, 30_000, 10_000)).expect("it is evaluated");
    let Value::Vector(columns) = value else { panic!("a vector") };
    assert_eq!(columns[0].values, [Some(1e300), Some(1e300), Some(1e300), Some(0.6)]);
}
