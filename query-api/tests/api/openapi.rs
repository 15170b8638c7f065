//! The OpenAPI document, compared with the service's answers.

use crate::support::{Caller, OPERATOR, Sample, shared, text};
use serde_json::{Value, json};

/// Validates `answer` against its schema in the document.
fn check(document: &Value, (method, path, status): (&str, &str, &str), answer: &Value) {
    let pointer = format!(
        "/paths/{}/{method}/responses/{status}/content/application~1json/schema",
        path.replace('~', "~0").replace('/', "~1")
    );
    let schema = document.pointer(&pointer).unwrap_or_else(|| panic!("{pointer} is not described"));
    let mut schema = schema.clone();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["components"] = document["components"].clone();
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let faults: Vec<String> = validator.iter_errors(answer).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{method} {path} {status}: {faults:?} in {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_match_the_document() {
    let stack = shared();
    let anonymous = Caller { url: stack.url.clone(), key: None };
    let document = anonymous.ok("/api/v1/openapi.json").await;
    assert!(text(&document, "openapi").starts_with("3.1."));

    let operator = stack.client(OPERATOR);
    let (_, project) = operator.post("/api/v1/projects", &json!({"name": "x", "plan": "pro"})).await;
    check(&document, ("post", "/api/v1/projects", "201"), &project);
    let (_, refused) = operator.post("/api/v1/projects", &json!({"name": 5})).await;
    check(&document, ("post", "/api/v1/projects", "4XX"), &refused);
    let manager = stack.client(&text(&project, "manageKey"));
    let (_, connection) = manager.post("/api/v1/connections", &json!({"name": "x"})).await;
    check(&document, ("post", "/api/v1/connections", "201"), &connection);

    let now = service::clock::now_ms();
    let at = |metric, offset| Sample {
        metric,
        time: now - 1000,
        value: 0.5,
        received_at: now,
        offset,
        unit: if offset == 0 { "ms" } else { "" },
        ..Sample::default()
    };
    stack.store(&text(&project, "projectId"), &[at("a", 0), at("a", 1), at("b", 2)]).await;
    let calls = [
        ("/api/v1/metrics", "?limit=1"),
        ("/api/v1/metrics", ""),
        ("/api/v1/metrics/{metricId}", ""),
        ("/api/v1/metrics/{metricId}/points", "?limit=1"),
        ("/api/v1/metrics/{metricId}/points", ""),
        ("/api/v1/metrics/{metricId}/timeseries", "?fill=null&interval=minute"),
        ("/api/v1/metrics/{metricId}/timeseries", "?aggregation=p99&timezone=Asia/Tokyo"),
        ("/api/v1/usage", "?interval=day"),
    ];
    for (path, query) in calls {
        for metric in ["a", "b"] {
            let answer = manager.ok(&format!("{}{query}", path.replace("{metricId}", metric))).await;
            check(&document, ("get", path, "200"), &answer);
        }
        let (_, refused) = anonymous.get(path).await;
        check(&document, ("get", path, "4XX"), &refused);
    }
    let queries = json!({"queries": [{"metricId": "a", "fill": "null"}, {"metricId": "nothing"}, 5]});
    let (_, results) = manager.post("/api/v1/query", &queries).await;
    check(&document, ("post", "/api/v1/query", "200"), &results);
    let (_, refused) = manager.post("/api/v1/query", &json!({})).await;
    check(&document, ("post", "/api/v1/query", "4XX"), &refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn management_answers_match_the_document() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    let operator = stack.client(OPERATOR);
    let document = manager.ok("/api/v1/openapi.json").await;
    let (_, connection) = manager.post("/api/v1/connections", &json!({"name": "x"})).await;
    let connection = text(&connection, "connectionId");
    let fill = |path: &str| path.replace("{projectId}", &project).replace("{connectionId}", &connection);
    for path in [
        "/api/v1/projects",
        "/api/v1/projects/{projectId}",
        "/api/v1/plans",
        "/api/v1/connections",
        "/api/v1/connections/{connectionId}",
        "/api/v1/keys",
        "/api/v1/session",
    ] {
        check(&document, ("get", path, "200"), &manager.ok(&fill(path)).await);
        let anonymous = Caller { url: stack.url.clone(), key: None };
        check(&document, ("get", path, "4XX"), &anonymous.get(&fill(path)).await.1);
    }
    for path in ["/api/v1/projects/{projectId}", "/api/v1/connections/{connectionId}"] {
        let (_, changed) = manager.patch(&fill(path), &json!({"name": "y"})).await;
        check(&document, ("patch", path, "200"), &changed);
    }
    let rotate = "/api/v1/connections/{connectionId}/rotate";
    let (_, rotated) = manager.post(&fill(rotate), &json!({})).await;
    check(&document, ("post", rotate, "200"), &rotated);
    let (_, key) = manager.post("/api/v1/keys", &json!({"name": "x", "scopes": ["read"]})).await;
    check(&document, ("post", "/api/v1/keys", "201"), &key);
    let (_, session) = manager.post("/api/v1/session", &json!({"key": manager.key.as_deref()})).await;
    check(&document, ("post", "/api/v1/session", "200"), &session);
    let endless = json!({"requestsPerHour": null, "alerts": true});
    let (_, plan) = operator.put("/api/v1/plans/endless", &endless).await;
    check(&document, ("put", "/api/v1/plans/{name}", "200"), &plan);
}

/// Returns whether `body` matches the document's schema for the call's body.
fn schema_accepts(document: &Value, path: &str, body: &Value) -> bool {
    let body_of = &document["paths"][path]["post"]["requestBody"];
    let mut schema = body_of["content"]["application/json"]["schema"].clone();
    schema["components"] = document["components"].clone();
    jsonschema::validator_for(&schema).expect("a schema").is_valid(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_bodies_match_the_document() {
    let stack = shared();
    let (_, manager) = stack.project().await;
    let document = manager.ok("/api/v1/openapi.json").await;
    let widgets = |widget: Value| json!({"name": "x", "widgets": [widget]});
    let queries = |start: Value| json!({"queries": [{"metricId": "m", "startDate": start, "endDate": null}]});
    let least = json!({"type": "line", "series": [{"metricId": "m"}]});
    let whole = json!({
        "id": "a", "type": "line", "title": "", "series": [{"metricId": "m", "aggregation": "p99"}],
        "range": {"startDate": 0, "endDate": 1}, "interval": "day", "x": 0, "y": 0, "w": 1, "h": 1,
    });
    for (path, body, good) in [
        ("/api/v1/dashboards", widgets(least), true),
        ("/api/v1/dashboards", widgets(whole), true),
        ("/api/v1/dashboards", widgets(json!({"type": "line"})), false),
        ("/api/v1/dashboards", widgets(json!({"type": "pie", "series": [{"metricId": "m"}]})), false),
        ("/api/v1/query", queries(json!(1_790_000_000_000i64)), true),
        ("/api/v1/query", queries(json!("2026-11-01")), true),
        ("/api/v1/query", queries(json!("1790000000000")), true),
        ("/api/v1/query", queries(Value::Null), true),
    ] {
        assert_eq!(schema_accepts(&document, path, &body), good, "{path} {body}");
        let (status, answer) = manager.post(path, &body).await;
        assert_eq!(status < 300, good, "{path} {body}: {answer}");
    }
    assert!(document["paths"]["/api/v1/openapi.json"]["get"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_refuse_wrong_answers() {
    let anonymous = Caller { url: shared().url.clone(), key: None };
    let document = anonymous.ok("/api/v1/openapi.json").await;
    let wrong = std::panic::catch_unwind(|| {
        check(&document, ("get", "/api/v1/metrics", "200"), &json!({"items": [{}], "nextCursor": null}));
    });
    assert!(wrong.is_err());
}
