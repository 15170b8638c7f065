//! The Prometheus API, called as Grafana's data source calls it.

use crate::support::{Caller, OPERATOR, Sample, Stack, send, serve, shared, text};
use control::token::Token;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

const PREFIX: &str = "/prometheus/api/v1";
/// Time of the first sample, Unix seconds: a full hour.
const T: i64 = 1_790_002_800;

/// Returns status and body, and checks the properties of all answers.
async fn read(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = send(request).await;
    let status = response.status().as_u16();
    assert!(response.headers().contains_key("x-request-id"));
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    let challenge = response.headers().contains_key("www-authenticate");
    assert_eq!(challenge, status == 401);
    assert_eq!(status == 405, response.headers().contains_key("allow"));
    let body: Value = response.json().await.expect("every answer is JSON");
    assert_eq!(body["status"], if status == 200 { "success" } else { "error" });
    (status, body)
}

async fn get(caller: &Caller, call: &str, parameters: &[(&str, &str)]) -> (u16, Value) {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    read(caller.request(Method::GET, &format!("{PREFIX}/{call}?{query}"))).await
}

pub async fn post(caller: &Caller, call: &str, parameters: &[(&str, &str)]) -> (u16, Value) {
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let request = caller.request(Method::POST, &format!("{PREFIX}/{call}"));
    read(request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)).await
}

/// Sends a GET request that must succeed, and returns the `data` of the answer.
pub async fn data(caller: &Caller, call: &str, parameters: &[(&str, &str)]) -> Value {
    let (status, body) = get(caller, call, parameters).await;
    assert_eq!(status, 200, "{call} {parameters:?}: {body}");
    body["data"].clone()
}

#[track_caller]
fn assert_failed((status, body): (u16, Value), expected: u16, kind: &str, part: &str) {
    let error = text(&body, "error");
    assert_eq!((status, body["errorType"].as_str()), (expected, Some(kind)), "{body}");
    assert!(error.contains(part), "{error}");
}

fn sample(metric: &'static str, second: i64, value: f64, offset: i64) -> Sample {
    let (time, received_at) = ((T + second) * 1000, 1_790_000_000_000 + offset);
    Sample { metric, time, value, received_at, offset, ..Sample::default() }
}

/// Creates a project with some metrics: a sample each minute for ten minutes.
async fn filled(stack: &Stack) -> Caller {
    let (project, manager) = stack.project().await;
    let mut samples = Vec::new();
    for (minute, offset) in (0..10).zip(0..) {
        samples.push(sample("http.requests-total", minute * 60, 10.0 * minute as f64, 3 * offset));
        samples.push(sample("http_requests_total", minute * 60, 1.0, 3 * offset + 1));
        samples.push(sample("signups", minute * 60, minute as f64, 3 * offset + 2));
    }
    samples[0].name = "Requests";
    samples[0].unit = "count";
    stack.store(&project, &samples).await;
    // The later received of two samples with the same time counts, in whatever order they are stored.
    stack.store(&project, &[sample("signups", 540, 42.0, 100)]).await;
    stack.store(&project, &[sample("signups", 540, 41.0, 99)]).await;
    manager
}

#[tokio::test(flavor = "multi_thread")]
async fn grafana_save_and_test_succeeds() {
    let (_, caller) = shared().project().await;
    let (status, body) = post(&caller, "query", &[("query", "1+1"), ("time", "4")]).await;
    assert_eq!(
        (status, body),
        (200, json!({"status": "success", "data": {"resultType": "scalar", "result": [4, "2"]}}))
    );
    let build = data(&caller, "status/buildinfo", &[]).await;
    for field in ["version", "revision", "branch", "buildUser", "buildDate", "goVersion"] {
        assert!(build[field].is_string(), "{field}");
    }
    assert_eq!(build.get("features"), None);
    assert_eq!(data(&caller, "rules", &[]).await, json!({"groups": []}));
    assert_eq!(data(&caller, "alerts", &[]).await, json!({"alerts": []}));
    assert_eq!(
        data(&caller, "query_exemplars", &[("query", "test"), ("start", "1"), ("end", "2")]).await,
        json!([])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn query_builder_lists_metrics_labels_and_values() {
    let caller = filled(shared()).await;
    let (start, end) = (T.to_string(), (T + 600).to_string());
    let range = [("start", start.as_str()), ("end", end.as_str())];
    let with = |more: &[(&'static str, &'static str)]| -> Vec<(&str, &str)> {
        range.iter().chain(more).copied().collect()
    };

    assert_eq!(data(&caller, "labels", &with(&[])).await, json!(["__name__", "metric_id"]));
    assert_eq!(data(&caller, "labels", &with(&[("match[]", "nothing")])).await, json!([]));
    let (_, labels) = post(&caller, "labels", &with(&[("match[]", "{__name__=\"signups\"}")])).await;
    assert_eq!(labels["data"], json!(["__name__", "metric_id"]));
    let names = json!(["http_requests_total", "signups"]);
    assert_eq!(data(&caller, "label/__name__/values", &with(&[("limit", "40000")])).await, names);
    assert_eq!(data(&caller, "label/__name__/values", &[]).await, names);
    assert_eq!(
        data(&caller, "label/metric_id/values", &with(&[("match[]", "http_requests_total")])).await,
        json!(["http.requests-total", "http_requests_total"])
    );
    assert_eq!(data(&caller, "label/job/values", &with(&[])).await, json!([]));
    let (_, limited) = get(&caller, "label/metric_id/values", &with(&[("limit", "1")])).await;
    assert_eq!(limited["data"], json!(["http.requests-total"]));
    assert_eq!(limited["warnings"], json!(["results truncated due to limit"]));
    let earlier = [("start", "1780000000"), ("end", "1780003600")];
    assert_eq!(data(&caller, "label/metric_id/values", &earlier).await, json!([]));

    let (_, series) =
        post(&caller, "series", &with(&[("match[]", "signups"), ("match[]", "{metric_id=~\"http[.].*\"}")]))
            .await;
    assert_eq!(
        series["data"],
        json!([
            {"__name__": "http_requests_total", "metric_id": "http.requests-total"},
            {"__name__": "signups", "metric_id": "signups"},
        ])
    );
    let metadata = data(&caller, "metadata", &[]).await;
    assert_eq!(
        metadata["http_requests_total"][0],
        json!({"type": "unknown", "help": "Requests", "unit": "count"})
    );
    assert_eq!(metadata["signups"], json!([{"type": "unknown", "help": "Signups", "unit": ""}]));
    let one =
        data(&caller, "metadata", &[("metric", "http_requests_total"), ("limit_per_metric", "1")]).await;
    assert_eq!(one.as_object().map(serde_json::Map::len), Some(1));
    assert_eq!(one["http_requests_total"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn range_query_returns_series_of_the_range() {
    let caller = filled(shared()).await;
    let (start, end) = (T.to_string(), (T + 600).to_string());
    let parameters = |query: &'static str, step: &'static str| {
        vec![("query", query), ("start", start.as_str()), ("end", end.as_str()), ("step", step)]
    };
    let (status, body) = post(&caller, "query_range", &parameters("sum_over_time(signups[2m])", "300")).await;
    assert_eq!(status, 200, "{body}");
    // The window that ends at 5 minutes contains minutes 4 and 5, the one that ends at 10 minutes contains
    // minute 9.
    let expected = json!({"resultType": "matrix", "result": [
        {"metric": {"metric_id": "signups"}, "values": [[T, "0"], [T + 300, "9"], [T + 600, "42"]]},
    ]});
    assert_eq!(body["data"], expected);
    assert_eq!(data(&caller, "query_range", &parameters("sum_over_time(signups[2m])", "5m")).await, expected);
    // 6 in each minute from minute 4.
    let rate = data(
        &caller,
        "query_range",
        &parameters("sum by (metric_id) (rate({metric_id=\"http.requests-total\"}[5m])) * 60 >= 10", "60s"),
    )
    .await;
    let values = rate["result"][0]["values"].as_array().expect("values");
    assert_eq!(values.first(), Some(&json!([T + 300, "10"])), "{rate}");
    assert_eq!(
        data(&caller, "query_range", &parameters("time()", "600")).await["result"],
        json!([
            {"metric": {}, "values": [[T, T.to_string()], [T + 600, (T + 600).to_string()]]},
        ])
    );
    let empty = json!({"resultType": "matrix", "result": []});
    assert_eq!(data(&caller, "query_range", &parameters("nothing / 0", "60")).await, empty);
}

#[tokio::test(flavor = "multi_thread")]
async fn instant_query_returns_every_result_type() {
    let caller = filled(shared()).await;
    let instant = async |query: &str| {
        data(&caller, "query", &[("query", query), ("time", &format!("{}.5", T + 540))]).await
    };
    let at = T as f64 + 540.5;
    assert_eq!(
        instant("signups").await,
        json!({"resultType": "vector", "result": [{"metric": {"__name__": "signups", "metric_id": "signups"}, "value": [at, "42"]}]})
    );
    assert_eq!(
        instant("signups[61s] offset 60s").await["result"][0]["values"],
        json!([[T + 420, "7"], [T + 480, "8"]])
    );
    assert_eq!(instant("\"x\"").await, json!({"resultType": "string", "result": [at, "x"]}));
    assert_eq!(instant("vector(1) / 0").await["result"], json!([{"metric": {}, "value": [at, "+Inf"]}]));
    assert_eq!(instant("scalar(nothing)").await, json!({"resultType": "scalar", "result": [at, "NaN"]}));
    assert_eq!(
        instant("topk(1, http_requests_total)").await["result"],
        json!([{"metric": {"__name__": "http_requests_total", "metric_id": "http.requests-total"}, "value": [at, "90"]}])
    );
    let (_, body) = get(
        &caller,
        "query",
        &[("query", "signups / http_requests_total"), ("time", "2026-09-21T15:09:00Z")],
    )
    .await;
    assert_eq!(body["data"]["result"], json!([]));
    assert!(
        body["warnings"][0].as_str().is_some_and(|warning| warning.contains("ignoring(metric_id)")),
        "{body}"
    );
    // The current time is far from the times of the samples.
    assert_eq!(data(&caller, "query", &[("query", "signups")]).await["result"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn key_reads_its_own_project_only() {
    let stack = shared();
    let _other = filled(stack).await;
    let (_, caller) = stack.project().await;
    let all = ("match[]", "{__name__=~\".+\"}");
    assert_eq!(data(&caller, "series", &[all]).await, json!([]));
    assert_eq!(data(&caller, "labels", &[]).await, json!([]));
    assert_eq!(data(&caller, "metadata", &[]).await, json!({}));
    let query = [("query", "{__name__=~\".+\"}"), ("time", "1790003340")];
    assert_eq!(data(&caller, "query", &query).await["result"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_prometheus_shape() {
    let stack = shared();
    let (_, caller) = stack.project().await;
    let query = async |text: &str| get(&caller, "query", &[("query", text)]).await;
    assert_failed(query("").await, 400, "bad_data", "invalid parameter \"query\"");
    assert_failed(query("sum(").await, 400, "bad_data", "parse error");
    assert_failed(query("a[1e300]").await, 400, "bad_data", "out of range");
    assert_failed(query("histogram_quantile(0.9, a)").await, 422, "execution", "`histogram_quantile`");
    assert_failed(query("a * on() group_left b").await, 422, "execution", "`group_left`");
    assert_failed(
        get(&caller, "query", &[("query", "1"), ("time", "now")]).await,
        400,
        "bad_data",
        "\"time\"",
    );
    assert_failed(
        get(&caller, "query", &[("query", "1"), ("limit", "-1")]).await,
        400,
        "bad_data",
        "\"limit\"",
    );
    assert_failed(
        get(&caller, "query", &[("query", "a"), ("timeout", "0")]).await,
        503,
        "timeout",
        "too long",
    );

    let range = async |start: &str, end: &str, step: &str, text: &str| {
        get(&caller, "query_range", &[("query", text), ("start", start), ("end", end), ("step", step)]).await
    };
    assert_failed(
        range("0", "11001", "1", "1").await,
        400,
        "bad_data",
        "exceeded maximum resolution of 11,000 points per timeseries",
    );
    assert_failed(
        range("1", "0", "1", "1").await,
        400,
        "bad_data",
        "end timestamp must not be before start time",
    );
    assert_failed(range("0", "1", "0", "1").await, 400, "bad_data", "zero or negative");
    assert_failed(range("0", "1", "", "1").await, 400, "bad_data", "\"step\"");
    assert_failed(range("", "1", "1", "1").await, 400, "bad_data", "\"start\"");
    assert_failed(range("0", "1", "1", "a[1m]").await, 400, "bad_data", "range vector");
    assert_failed(get(&caller, "series", &[]).await, 400, "bad_data", "no match[] parameter provided");
    assert_failed(get(&caller, "series", &[("match[]", "1+1")]).await, 400, "bad_data", "not a selector");
    assert_failed(
        get(&caller, "labels", &[("start", "2"), ("end", "1")]).await,
        400,
        "bad_data",
        "before start",
    );
    assert_failed(get(&caller, "label/%ff/values", &[]).await, 400, "bad_data", "label name");

    let body = caller.request(Method::POST, &format!("{PREFIX}/query")).json(&json!({"query": "1"}));
    assert_failed(read(body).await, 400, "bad_data", "x-www-form-urlencoded");
    assert_failed(
        post(&caller, "query", &[("query", &"1+".repeat(40_000))]).await,
        413,
        "bad_data",
        "64 KiB",
    );
    assert_failed(get(&caller, "rules/test/test", &[]).await, 404, "not_found", "does not exist");
    assert_failed(post(&caller, "metadata", &[]).await, 405, "bad_data", "does not support the method");

    let anonymous = Caller { url: stack.url.clone(), key: None };
    assert_failed(get(&anonymous, "query", &[("query", "1+1")]).await, 401, "unauthorized", "API key");
    assert_failed(get(&stack.client("nonsense"), "labels", &[]).await, 401, "unauthorized", "is unknown");
    assert_failed(
        get(&stack.client(OPERATOR), "query", &[("query", "1")]).await,
        403,
        "forbidden",
        "lacks the scope `read`",
    );
    let (_, connection) = caller.post("/api/v1/connections", &json!({"name": "Cron"})).await;
    let ingest = stack.client(&text(&connection, "apiKey"));
    assert_failed(get(&ingest, "metadata", &[]).await, 403, "forbidden", "lacks the scope `read`");
}

#[tokio::test(flavor = "multi_thread")]
async fn outage_is_503_in_prometheus_shape() {
    // Nothing listens on port 1.
    let nowhere = [
        "--kafka-brokers=127.0.0.1:1",
        "--redis-url=redis://127.0.0.1:1",
        "--clickhouse-url=http://127.0.0.1:1",
    ];
    let (url, _) = serve(&nowhere.map(str::to_owned)).await;
    let caller = Caller { url, key: Some(Token::generate().reveal()) };
    assert_failed(get(&caller, "query", &[("query", "1+1")]).await, 503, "unavailable", "at the moment");
}
