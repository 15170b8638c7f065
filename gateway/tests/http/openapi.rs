//! Checks real requests and answers against the gateway's OpenAPI document.

use crate::support::{Answer, LIMIT, ask, limited, lock, post, server};
use gateway::publish::PublishError;
use serde_json::{Value, json};

fn document() -> Value {
    serde_json::from_str(&gateway::openapi::text()).expect("valid JSON")
}

/// Returns a validator for the schema at `pointer` of the document.
fn validator(pointer: &str) -> jsonschema::Validator {
    let mut schema = document();
    assert!(schema.pointer(pointer).is_some(), "{pointer} is not described");
    schema["$ref"] = json!(format!("#{pointer}"));
    jsonschema::validator_for(&schema).expect("a valid schema")
}

const OPERATION: &str = "/paths/~1api~1webhooks~1custom/post";

fn check_answer(answer: &Answer) {
    let pointer = format!("{OPERATION}/responses/{}/content/application~1json/schema", answer.status);
    let json = answer.json();
    let faults: Vec<_> = validator(&pointer).iter_errors(&json).map(|error| error.to_string()).collect();
    assert!(faults.is_empty(), "{json}: {faults:?}");
    // Header names are case-insensitive.
    let lower_case: Value =
        serde_json::from_str(&gateway::openapi::text().replace("Idempotent-Replayed", "idempotent-replayed"))
            .expect("valid JSON");
    let must_be_described = |name: &str| name.starts_with("x-ratelimit-") || name == "idempotent-replayed";
    for (name, _) in answer.headers.iter().filter(|(name, _)| must_be_described(name)) {
        let pointer = format!("{OPERATION}/responses/{}/headers/{name}", answer.status);
        assert!(lower_case.pointer(&pointer).is_some(), "{name} of {} is not described", answer.status);
    }
}

#[tokio::test]
async fn answers_match_the_document() {
    let server = server().await;
    let metric = r#"{"metricId":"a","value":1}"#;
    let batch = |metric: &str| format!(r#"{{"projectId":"prj_a","metrics":[{metric}]}}"#);
    let with_token =
        |token| String::from_utf8(post("", batch(metric))).expect("valid UTF-8").replace("good", token);
    for request in [
        post("", batch(metric)),
        post("Idempotency-Key: a\r\n", batch(metric)),
        post("Idempotency-Key: a\r\n", batch(metric)),
        post("Idempotency-Key: a\r\n", batch("")),
        post("", "{"),
        post("", "[]"),
        post("", batch("1,{}")),
        post("", batch(r#"{"metricId":"","metricName":"","value":1e999,"unit":"\n","timestamp":1}"#)),
        post("", batch(metric).replace("prj_a", "prj_b")),
        post("Idempotency-Key: a b\r\n", batch(metric)),
        post("Content-Type: text/plain\r\n", batch(metric)),
        post("Content-Encoding: br\r\n", batch(metric)),
        post("", " ".repeat((1 << 20) + 1)),
        with_token("nobody").into_bytes(),
        with_token("revoked").into_bytes(),
        with_token("reader").into_bytes(),
        with_token("unavailable").into_bytes(),
        with_token("two words").into_bytes(),
        b"GET / HTTP/1.1\r\nHost: t\r\n\r\n".to_vec(),
        b"GET /api/webhooks/custom HTTP/1.1\r\nHost: t\r\n\r\n".to_vec(),
        b"POST /api/webhooks/custom HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ] {
        check_answer(&ask(&server, request).await);
    }
    for _ in 0..=LIMIT {
        check_answer(&ask(&server, limited("", batch(metric))).await);
    }
    *lock(&server.kafka.failure) = Some(PublishError::TimedOut);
    check_answer(&ask(&server, post("", batch(metric))).await);
}

#[tokio::test]
async fn body_schema_allows_exactly_the_accepted_bodies() {
    let server = server().await;
    let validator = validator(&format!("{OPERATION}/requestBody/content/application~1json/schema"));
    for (body, valid) in [
        (json!({"projectId": "prj_a", "metrics": [{"metricId": "a", "value": 1}]}), true),
        (
            json!({"projectId": "prj_a", "metrics": [{"metricId": "a", "value": 1.5, "unit": null, "x": {}}]}),
            true,
        ),
        (json!({"projectId": "prj_a", "metricId": "a", "value": 1, "timestamp": 1_700_000_000_000.0}), true),
        (json!({"projectId": "prj_a", "metrics": []}), false),
        (json!({"projectId": "prj_a", "metrics": vec![json!({"metricId": "a", "value": 1}); 101]}), false),
        (json!({"projectId": 1, "metricId": "a", "value": 1}), false),
        (json!({"projectId": "prj_a", "metricId": "a b", "value": 1}), false),
        (json!({"projectId": "prj_a", "metricId": "a", "value": "1"}), false),
        (json!({"projectId": "prj_a", "metricId": "a", "value": 1, "metricName": ""}), false),
        (json!({"projectId": "prj_a", "metricId": "a", "value": 1, "unit": "x".repeat(33)}), false),
        (json!({"projectId": "prj_a", "metricId": "a", "value": 1, "timestamp": 1}), false),
    ] {
        assert_eq!(validator.is_valid(&body), valid, "{body}");
        assert_eq!(ask(&server, post("", body.to_string())).await.status == 200, valid, "{body}");
    }
}

#[test]
fn examples_match_their_schemas() {
    let document = document();
    let responses = document.pointer(&format!("{OPERATION}/responses")).and_then(Value::as_object);
    for (status, response) in responses.expect("described answers") {
        let pointer = format!("{OPERATION}/responses/{status}/content/application~1json/schema");
        let content = &response["content"]["application/json"];
        let many =
            content["examples"].as_object().into_iter().flatten().map(|(_, example)| &example["value"]);
        for example in many.chain(content.get("example")) {
            assert!(validator(&pointer).is_valid(example), "{example}");
        }
    }
    assert_eq!(document["openapi"], "3.1.0");
}
