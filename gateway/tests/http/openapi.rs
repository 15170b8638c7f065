//! Real requests and answers against the gateway's own description of them.

use crate::support::{Answer, LIMIT, ask, limited, post, server};
use gateway::publish::NotPublished;
use serde_json::{Value, json};

fn document() -> Value {
    serde_json::from_str(&gateway::openapi::text()).expect("it is JSON")
}

/// A validator for the schema at `pointer` of the description.
fn validator(pointer: &str) -> jsonschema::Validator {
    let mut schema = document();
    assert!(schema.pointer(pointer).is_some(), "{pointer} is described");
    schema["$ref"] = json!(format!("#{pointer}"));
    jsonschema::validator_for(&schema).expect("the schema is one")
}

const OPERATION: &str = "/paths/~1api~1webhooks~1custom/post";

fn check_answer(answer: &Answer) {
    let pointer = format!("{OPERATION}/responses/{}/content/application~1json/schema", answer.status);
    let json = answer.json();
    let faults: Vec<_> = validator(&pointer).iter_errors(&json).map(|error| error.to_string()).collect();
    assert!(faults.is_empty(), "{json}: {faults:?}");
    // Names of headers know no case.
    let described: Value =
        serde_json::from_str(&gateway::openapi::text().replace("Idempotent-Replayed", "idempotent-replayed"))
            .expect("it is JSON");
    let described_too = |name: &str| name.starts_with("x-ratelimit-") || name == "idempotent-replayed";
    for (name, _) in answer.headers.iter().filter(|(name, _)| described_too(name)) {
        let pointer = format!("{OPERATION}/responses/{}/headers/{name}", answer.status);
        assert!(described.pointer(&pointer).is_some(), "{name} of {} is described", answer.status);
    }
}

#[tokio::test]
async fn every_answer_is_as_described() {
    let server = server().await;
    let metric = r#"{"metricId":"a","value":1}"#;
    let batch = |metric: &str| format!(r#"{{"projectId":"prj_a","metrics":[{metric}]}}"#);
    let with_token =
        |token| String::from_utf8(post("", batch(metric))).expect("it is text").replace("good", token);
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
        with_token("away").into_bytes(),
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
    *server.kafka.failure.lock().expect("no test panics while holding it") = Some(NotPublished::TimedOut);
    check_answer(&ask(&server, post("", batch(metric))).await);
}

#[tokio::test]
async fn what_the_description_of_a_body_allows_is_what_is_accepted() {
    let server = server().await;
    let validator = validator(&format!("{OPERATION}/requestBody/content/application~1json/schema"));
    for (body, good) in [
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
        assert_eq!(validator.is_valid(&body), good, "{body}");
        assert_eq!(ask(&server, post("", body.to_string())).await.status == 200, good, "{body}");
    }
}

#[test]
fn the_examples_are_as_described() {
    let document = document();
    let responses = document.pointer(&format!("{OPERATION}/responses")).and_then(Value::as_object);
    for (status, response) in responses.expect("there are answers") {
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
