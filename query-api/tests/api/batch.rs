//! Batches of time series, compared with single requests for the same series.

use crate::support::{Caller, Sample, Stack, details, refused, shared, start_stack};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

const START: i64 = 1_767_571_200_000;
const HOUR: i64 = 3_600_000;
/// A metric id that no gateway accepts but a store may contain; it must not be interpreted as SQL.
const QUOTED: &str = r"it's \ it";

async fn fill(stack: &Stack, project: &str) {
    let metrics = ["a", "b", r"it\'s \\ it"];
    let samples: Vec<Sample> = (0..900)
        .map(|i| Sample {
            metric: metrics[i % 3],
            time: START + (i as i64 * 7_919_993) % (240 * HOUR),
            value: (i as f64) - 400.0,
            received_at: START + i as i64,
            offset: i as i64,
            ..Sample::default()
        })
        .collect();
    stack.store(project, &samples).await;
}

/// Returns the answer of `GET …/timeseries` to a query of a batch.
async fn single(caller: &Caller, query: &Value) -> Value {
    let fields = query.as_object().expect("an object");
    let mut parameters = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields.iter().filter(|(name, _)| *name != "metricId") {
        parameters.append_pair(name, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    let id = query["metricId"].as_str().unwrap_or_default().replace(' ', "%20").replace('\\', "%5C");
    let path = format!("/api/v1/metrics/{id}/timeseries?{}", parameters.finish());
    let (status, mut answer) = caller.get(&path).await;
    if status == 200 {
        answer["watermark"] = json!(0);
        return answer;
    }
    json!({"error": answer["error"], "message": answer["message"]})
}

fn random_query(random: &mut StdRng) -> Value {
    let mut pick = |from: &[&str]| from[random.random_range(0..from.len())].to_owned();
    let mut query = json!({
        "metricId": pick(&["a", "a", "b", QUOTED, "nothing"]),
        "interval": pick(&["hour", "day", "week", "month", "auto", "second"]),
        "aggregation": pick(&["avg", "sum", "min", "max", "count", "last", "p50", "p90", "p99"]),
        "timezone": pick(&["UTC", "Europe/Berlin", "Asia/Kolkata", "Mars/Base"]),
        "fill": pick(&["none", "null", "zero", "previous"]),
        "startDate": pick(&["2026-01-05", "2026-01-05T03:07:11+01:00", "2026-02-01"]),
    });
    query["endDate"] = if random.random() { json!("2026-01-12") } else { json!(START + 150 * HOUR + 1) };
    query
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_equals_single_queries() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    fill(stack, &project).await;
    let mut random = StdRng::seed_from_u64(3);
    let mut answered = 0;
    for size in [1, 7, 30, 50] {
        let queries: Vec<Value> = (0..size).map(|_| random_query(&mut random)).collect();
        let (status, answer) = manager.post("/api/v1/query", &json!({"queries": queries})).await;
        assert_eq!(status, 200, "{answer}");
        let results = answer["results"].as_array().expect("results");
        assert_eq!(results.len(), queries.len());
        for (query, result) in queries.iter().zip(results) {
            let mut result = result.clone();
            if result.get("error").is_none() {
                answered += 1;
                result["watermark"] = json!(0);
            }
            assert_eq!(result, single(&manager, query).await, "{query}");
        }
    }
    assert!((20..80).contains(&answered), "both answers and errors: {answered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn error_of_one_query_takes_its_place() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    fill(stack, &project).await;
    let queries = json!({"queries": [
        {"metricId": "a", "startDate": START, "endDate": START + HOUR},
        {"metricId": "nothing"},
        {"metricId": "a", "interval": "minute", "startDate": "2020-01-01"},
        {"aggregation": "avg"},
        {"metricId": 5},
        {"metricId": "a", "fill": []},
        "a",
    ]});
    let (status, answer) = manager.post("/api/v1/query", &queries).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["results"][0]["metricId"], "a");
    let codes: Vec<&str> =
        (1..7).map(|index| answer["results"][index]["error"].as_str().unwrap_or_default()).collect();
    let wrong = "invalid_parameter";
    assert_eq!(codes, ["not_found", wrong, wrong, wrong, wrong, wrong]);
    assert_eq!(answer["results"][3]["message"], "`metricId` is required.");
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_batch_is_refused() {
    let stack = shared();
    let (_, manager) = stack.project().await;
    let many: Vec<Value> = (0..51).map(|_| json!({"metricId": "a"})).collect();
    for (body, expected) in [
        (json!({}), "queries required"),
        (json!({"queries": {"metricId": "a"}}), "queries not_an_array"),
        (json!({"queries": []}), "queries bad_length"),
        (json!({"queries": many}), "queries bad_length"),
        (json!([]), " not_an_object"),
    ] {
        let answer = refused(manager.post("/api/v1/query", &body).await, 400, "invalid_parameter");
        assert_eq!(details(&answer), [expected]);
    }
}

/// Returns the number of queries that the service has sent to ClickHouse.
async fn query_count(stack: &Stack) -> u64 {
    let text = reqwest::get(format!("{}/metrics", stack.ops_url)).await.expect("an answer");
    let text = text.text().await.expect("text");
    let counts =
        text.lines().filter(|line| line.starts_with("tidemark_query_clickhouse_duration_seconds_count"));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_widgets_cost_few_clickhouse_queries() {
    let stack = start_stack().await;
    let (project, manager) = stack.project().await;
    fill(&stack, &project).await;
    let widget = |i: usize| {
        let aggregation = ["avg", "sum", "last", "p99"][i % 4];
        let metric = ["a", "b"][i % 2];
        json!({"metricId": metric, "aggregation": aggregation, "startDate": START, "interval": "day"})
    };
    let queries: Vec<Value> = (0..20).map(widget).collect();
    let before = query_count(&stack).await;
    let (status, answer) = manager.post("/api/v1/query", &json!({"queries": queries})).await;
    assert_eq!(status, 200, "{answer}");
    for result in answer["results"].as_array().expect("results") {
        assert!(!result["points"].as_array().expect("points").is_empty(), "{result}");
    }
    // Heads, names, sums, last points, quantiles.
    assert_eq!(query_count(&stack).await - before, 5);
}
