//! PromQL answers, compared with Prometheus 3: `promtool` evaluates the same expressions over the same samples.
//!
//! The clock of `promtool test rules` starts at zero. The samples start at [`T`], a full day, so that steps
//! and subqueries are aligned in the same way.

use crate::prometheus::{data, post};
use crate::support::{Caller, Sample, shared};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Time of the first sample, Unix seconds: midnight.
const T: i64 = 1_790_035_200;
/// Seconds between two samples of a series.
const INTERVAL: i64 = 60;
/// Times at which each expression is evaluated, in seconds from the first sample: at samples, between them,
/// at both ends of the lookback of an instant selector, before the first sample and after the last.
const INSTANTS: [i64; 8] = [0, 299, 300, 301, 605, 1_230, 2_399, 2_800];
/// Start, end and step of a range: the step divides neither the range nor the interval of the samples.
const RANGE: (i64, i64, i64) = (30, 2_700, 217);

/// A number in braces is a time of the test, in seconds from the first sample.
const EXPRESSIONS: &[&str] = &[
    "1 + 2 * 3 ^ 2 % 5",
    "-2 ^ 2",
    "7 / 2 > bool 3",
    "scalar(requests) + 1",
    "vector(time() - {0})",
    "requests",
    "requests offset 5m",
    "requests offset -3m",
    "requests @ {600}",
    "requests @ start()",
    "requests @ end() offset 2m",
    "{metric_id=\"queue.length\"}",
    "{__name__=~\"http.*\"}",
    "{__name__=~\"http.*\", metric_id!=\"http_requests_total\"}",
    "{__name__!~\"(big|sparse|requests)\", metric_id=~\".+\"}",
    "{metric_id=~\"e.*s\"}",
    "no_such_metric",
    "absent(no_such_metric)",
    "absent(requests)",
    "absent_over_time(sparse[4m])",
    "avg_over_time(queue_length[10m])",
    "sum_over_time(queue_length[5m])",
    "min_over_time(queue_length[7m30s])",
    "max_over_time(queue_length[7m30s])",
    "count_over_time(errors[6m])",
    "last_over_time(sparse[15m])",
    "first_over_time(requests[10m])",
    "present_over_time(sparse[5m])",
    "stddev_over_time(temperature[10m])",
    "stdvar_over_time(temperature[10m])",
    "quantile_over_time(0.9, temperature[20m])",
    "quantile_over_time(0.25, queue_length[20m])",
    "rate(requests[5m])",
    "rate(errors[10m])",
    "rate(sparse[30m])",
    "irate(requests[5m])",
    "increase(requests[10m])",
    "increase(errors[3m])",
    "increase(http_requests_total[15m])",
    "delta(queue_length[8m])",
    "idelta(queue_length[8m])",
    "deriv(temperature[10m])",
    "predict_linear(temperature[10m], 600)",
    "changes(queue_length[10m])",
    "resets(requests[20m])",
    "rate(requests[5m] offset 10m)",
    "sum(requests)",
    "sum by (metric_id) ({__name__=~\".*requests.*\"})",
    "sum without (metric_id) ({__name__=~\".*requests.*\"})",
    "avg(rate({__name__=~\".*requests.*\"}[5m]))",
    "min by (__name__) ({__name__=~\"http.*\"})",
    "max({__name__=~\".+\"})",
    "count({__name__=~\".+\"})",
    "count by (__name__) ({__name__=~\".+\"})",
    "group({__name__=~\".+\"})",
    "stddev({__name__=~\"temperature|queue_length\"})",
    "stdvar({__name__=~\"temperature|queue_length\"})",
    "quantile(0.5, {__name__=~\".*requests.*|errors\"})",
    "topk(2, {__name__=~\".*requests.*\"})",
    "bottomk(1, {__name__=~\".*requests.*\"})",
    "topk(1, {__name__=~\".*requests.*\"}) by (__name__)",
    "requests + 5",
    "2 * requests - 1",
    "requests % 7",
    "10 - queue_length",
    "requests > 40",
    "requests > bool 40",
    "requests <= 40 and requests >= 10",
    "queue_length < 0 or queue_length > 5",
    "requests unless requests > 40",
    "queue_length != 3",
    "errors / on() requests",
    "errors / ignoring(metric_id) requests",
    "requests > on() errors",
    "requests and on() (errors > 5)",
    "requests or on() errors",
    "sum(errors) / sum(requests)",
    "rate(errors[10m]) / on() rate(requests[10m])",
    "abs(queue_length)",
    "ceil(temperature)",
    "floor(-temperature)",
    "round(temperature, 0.5)",
    "round(queue_length)",
    "clamp(queue_length, -1, 4)",
    "clamp_min(queue_length, 0)",
    "clamp_max(queue_length, 3)",
    "exp(temperature / 10)",
    "ln(requests + 1)",
    "log2(requests + 1)",
    "log10(requests + 1)",
    "sqrt(abs(queue_length))",
    "sgn(queue_length)",
    "sin(rad(temperature))",
    "timestamp(requests) - {0}",
    "timestamp(sparse offset 1m) - {0}",
    "hour(vector(time() - {0}))",
    "minute(vector(time() - {0}))",
    "sort(queue_length)",
    "scalar(sum(requests)) * 2",
    "label_replace(requests, \"kind\", \"$1-x\", \"metric_id\", \"(re).*\")",
    "label_join(requests, \"both\", \"/\", \"metric_id\", \"__name__\")",
    "max_over_time(rate(requests[5m])[15m:1m])",
    "avg_over_time(sum(requests)[10m:90s])",
    "sum_over_time(queue_length[10m:2m] offset 5m)",
    "min_over_time((queue_length * 2)[5m:])",
    "big + 1",
    "big * big",
];

/// The samples of each series; `None` is a missing sample.
fn series() -> Vec<(&'static str, Vec<Option<f64>>)> {
    let each = |value: fn(i64) -> Option<f64>| (0..40).map(value).collect::<Vec<_>>();
    vec![
        // A counter that is reset twice.
        (
            "requests",
            each(|n| {
                Some(
                    [3 * n + 1, 2 * (n - 13) + 1, 5 * (n - 27) + 1]
                        [usize::from(n >= 13) + usize::from(n >= 27)] as f64,
                )
            }),
        ),
        ("errors", each(|n| (!(8..=11).contains(&n)).then_some((n / 3) as f64))),
        ("queue.length", each(|n| Some(((n * 7) % 13 - 5) as f64))),
        ("temperature", each(|n| Some(20.0 + ((n * n) % 17) as f64 / 8.0))),
        ("sparse", each(|n| [0, 7, 20, 33].contains(&n).then_some((n * n) as f64))),
        ("http.requests-total", each(|n| Some((10 * n) as f64))),
        ("http_requests_total", each(|n| Some((n + 4) as f64))),
        ("big", each(|n| (n > 2).then_some(1e153 * n as f64))),
    ]
}

async fn filled() -> Caller {
    let (project, manager) = shared().project().await;
    let mut samples = Vec::new();
    for (metric, values) in series() {
        for (value, n) in values.into_iter().zip(0..) {
            let time = (T + n * INTERVAL) * 1000;
            let offset = samples.len() as i64;
            let sample =
                |value| Sample { metric, time, value, received_at: T * 1000, offset, ..Sample::default() };
            samples.extend(value.map(sample));
        }
    }
    shared().store(&project, &samples).await;
    manager
}

/// Returns the expression for an evaluator whose first sample is at `zero`.
fn at(expression: &str, zero: i64) -> String {
    let instants = regex::Regex::new(r"\{(\d+)\}").expect("a valid pattern");
    let instant = |found: &regex::Captures<'_>| (zero + found[1].parse::<i64>().expect("digits")).to_string();
    instants.replace_all(expression, instant).into_owned()
}

/// An expectation of `promtool`: the expression, its evaluation time and the expected samples.
fn expectation(expression: &str, seconds: i64, samples: &[Value]) -> Value {
    json!({"expr": at(expression, 0), "eval_time": format!("{seconds}s"), "exp_samples": samples})
}

/// Formats a sample as in `promtool`'s expectations.
fn expected(labels: &Value, value: &Value) -> Value {
    let labels = labels.as_object().expect("labels");
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let value: f64 = value.as_str().expect("a string").parse().expect("a number");
    let value = if value.is_finite() { json!(value) } else { json!(format!("<{value}>")) };
    json!({"labels": format!("{{{}}}", labels.join(", ")), "value": value})
}

fn seconds(time: &Value) -> i64 {
    (time.as_f64().expect("a time") - T as f64) as i64
}

/// Returns the answers of the service as expectations of `promtool`.
async fn answers(caller: &Caller, expression: &str) -> Vec<Value> {
    let query = at(expression, T);
    let mut expectations = Vec::new();
    // These two have different meanings in instant and range queries, and `promtool` evaluates instant queries.
    let of_range = expression.contains("start()") || expression.contains("end()");
    for instant in INSTANTS {
        let answer = data(caller, "query", &[("query", &query), ("time", &(T + instant).to_string())]).await;
        let samples: Vec<Value> = match answer["resultType"].as_str() {
            Some("scalar") => vec![expected(&json!({}), &answer["result"][1])],
            Some("vector") => {
                let result = answer["result"].as_array().expect("a vector");
                result.iter().map(|sample| expected(&sample["metric"], &sample["value"][1])).collect()
            }
            other => panic!("{expression} is {other:?}"),
        };
        expectations.push(expectation(expression, instant, &samples));
    }
    if of_range {
        return expectations;
    }
    let (start, end, step) = RANGE;
    let [begin, until, step_text] = [T + start, T + end, step].map(|number| number.to_string());
    let parameters = [("query", query.as_str()), ("start", &begin), ("end", &until), ("step", &step_text)];
    let (status, answer) = post(caller, "query_range", &parameters).await;
    assert_eq!(status, 200, "{expression}: {answer}");
    let mut steps: BTreeMap<i64, Vec<Value>> =
        (start..=end).step_by(step as usize).map(|instant| (instant, Vec::new())).collect();
    for series in answer["data"]["result"].as_array().expect("a matrix") {
        for point in series["values"].as_array().expect("points") {
            let samples = steps.get_mut(&seconds(&point[0])).expect("each point is at a step");
            samples.push(expected(&series["metric"], &point[1]));
        }
    }
    expectations.extend(steps.iter().map(|(instant, samples)| expectation(expression, *instant, samples)));
    expectations
}

fn promtool(arguments: &[&str]) -> Output {
    let program = std::env::var("PROMTOOL")
        .expect("PROMTOOL is not set: run these tests with `deploy/local/test -p query-api`");
    Command::new(program).args(arguments).output().expect("promtool starts")
}

/// Returns whether two lists of samples, as `promtool` prints them, are equal apart from rounding.
fn nearly_equal(one: &str, other: &str) -> bool {
    let near = |one: &str, other: &str| {
        let (Ok(one), Ok(other)) = (one.parse::<f64>(), other.parse::<f64>()) else { return one == other };
        one == other
            || one.is_nan() && other.is_nan()
            || (one - other).abs() <= 1e-9 * one.abs().max(other.abs())
    };
    let words = |text: &str| text.split([' ', ',']).map(str::to_owned).collect::<Vec<_>>();
    let (one, other) = (words(one), words(other));
    one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| near(one, other))
}

/// Returns the expectations that `promtool` does not confirm.
fn differences(directory: &Path, expectations: &[Value]) -> Vec<String> {
    let name = |id: &str| id.replace(['.', '-'], "_");
    let written = |value: &Option<f64>| value.map_or_else(|| "_".to_owned(), |value| value.to_string());
    let input: Vec<Value> = series()
        .iter()
        .map(|(id, values)| {
            let values: Vec<String> = values.iter().map(written).collect();
            json!({"series": format!("{}{{metric_id=\"{id}\"}}", name(id)), "values": values.join(" ")})
        })
        .collect();
    let test = json!({"interval": "1m", "input_series": input, "promql_expr_test": expectations});
    let file = json!({"evaluation_interval": "1m", "fuzzy_compare": true, "tests": [test]}).to_string();
    // JSON is valid YAML, but has no literals for these values.
    let file = file.replace("\"<inf>\"", ".inf").replace("\"<-inf>\"", "-.inf").replace("\"<NaN>\"", ".nan");
    let path = directory.join("expectations.yml");
    std::fs::write(&path, file).expect("writable");
    let output = promtool(&["test", "rules", &path.to_string_lossy()]);
    let text = output_text(&output);
    let found = regex::Regex::new(r"expr: (.*)\n +exp: (.*)\n +got: (.*)").expect("a valid pattern");
    let all: Vec<_> = found.captures_iter(&text).collect();
    assert_eq!(output.status.success(), all.is_empty(), "{text}");
    assert_eq!(text.matches("expr: ").count(), all.len(), "{text}");
    let different = all.iter().filter(|found| !nearly_equal(&found[2], &found[3]));
    different.map(|found| found[0].to_owned()).collect()
}

fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&path).expect("a directory");
    path
}

fn output_text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_evaluate_as_in_prometheus() {
    let caller = filled().await;
    let mut expectations = Vec::new();
    for expression in EXPRESSIONS {
        expectations.extend(answers(&caller, expression).await);
    }
    let directory = directory("promql");
    let found = differences(&directory, &expectations);
    assert!(found.is_empty(), "{}", found.join("\n"));

    // Check that `promtool` detects a wrong expectation.
    let (mut wrong, right) = (expectations, "exp_samples");
    let is_number = |one: &&mut Value| one[right][0]["value"].is_f64();
    let one = wrong.iter_mut().find(is_number).expect("a sample");
    one[right][0]["value"] = json!(one[right][0]["value"].as_f64().expect("a number") + 0.001);
    assert_eq!(differences(&directory, &wrong).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_can_query_the_service() {
    let caller = filled().await;
    let config = directory("promtool").join("http.yml");
    let key = caller.key.clone().expect("a key");
    let config_text = json!({"authorization": {"type": "Bearer", "credentials": key}}).to_string();
    std::fs::write(&config, config_text).expect("writable");
    let config = format!("--http.config.file={}", config.to_string_lossy());
    let url = format!("{}/prometheus", caller.url);
    let (start, end, time) =
        (format!("--start={T}"), format!("--end={}", T + 600), format!("--time={}", T + 600));
    let cases: [(&[&str], &str); 4] = [
        (&["instant", &time, &url, "requests"], "requests{metric_id=\"requests\"} => 31 @"),
        (&["range", &start, &end, "--step=5m", &url, "sum(requests)"], "16 @"),
        (&["series", &start, &end, "--match=errors", &url], "metric_id=\"errors\""),
        (&["labels", &start, &end, &url, "metric_id"], "queue.length"),
    ];
    for (arguments, part) in cases {
        let (kind, others) = arguments.split_first().expect("a kind of query");
        let output = promtool(&[&["query", kind, &config], others].concat());
        assert!(output.status.success(), "{arguments:?}: {}", output_text(&output));
        assert!(output_text(&output).contains(part), "{arguments:?}: {}", output_text(&output));
    }
}
