//! Bodies, each with the exact status, code and details of its answer. The shorthand of the tables is
//! explained in [`body_rows`](crate::body_rows).

use crate::body_rows as rows;
use crate::support::{Server, ask, lock, post, server};
use std::time::{SystemTime, UNIX_EPOCH};

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970").as_millis() as i64
}

fn expand(shorthand: &str) -> String {
    match shorthand.split_at_checked(1) {
        Some(("~", elements)) => format!(r#"{{"projectId":"prj_a","metrics":[{elements}]}}"#),
        Some(("+", members)) => format!(r#"{{"projectId":"prj_a",{members}}}"#),
        _ => shorthand.to_owned(),
    }
}

async fn expect_all(server: &Server, rows: &[(&str, &str)]) {
    for (shorthand, expected) in rows {
        let body = expand(shorthand);
        let answer = ask(server, post("", &body)).await;
        assert_eq!(answer.summary(), *expected, "{body}");
    }
}

#[tokio::test]
async fn malformed_json_is_rejected_with_its_location() {
    let server = server().await;
    for body in rows::NOT_JSON {
        let answer = ask(&server, post("", body)).await;
        assert_eq!(answer.summary(), "400 invalid_json", "{}", String::from_utf8_lossy(body));
        let json = answer.json();
        let message = json["message"].as_str().expect("a string");
        assert!(message.contains("line ") && message.contains("column "), "{message}");
    }
}

#[tokio::test]
async fn each_envelope_rule_is_enforced() {
    expect_all(&server().await, rows::ENVELOPE).await;
}

#[tokio::test]
async fn each_metric_rule_is_enforced() {
    expect_all(&server().await, rows::METRIC).await;
}

#[tokio::test]
async fn each_flat_form_rule_is_enforced() {
    expect_all(&server().await, rows::FLAT).await;
}

#[tokio::test]
async fn json_errors_name_line_and_column() {
    let server = server().await;
    for (body, location) in [
        ("", "line 1, column 1"),
        ("{\n  \"a\": 1,\n}", "line 3, column 1"),
        ("{\"ä\": x}", "line 1, column 7"),
        ("{} x", "line 1, column 4"),
    ] {
        let json = ask(&server, post("", body)).await.json();
        assert!(json["message"].as_str().is_some_and(|message| message.contains(location)), "{json}");
    }
}

#[tokio::test]
async fn nesting_is_limited_to_64_levels() {
    let server = server().await;
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        for (depth, expected) in
            [(62, "200 1"), (63, "200 1"), (64, "400 invalid_json"), (100_000, "400 invalid_json")]
        {
            // The envelope adds one level.
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let body = expand(&format!(r#"+"metricId":"a","value":1,"extra":{deep}"#));
            assert_eq!(ask(&server, post("", &body)).await.summary(), expected, "{depth} levels of {open}");
        }
    }
    // Inside a metric, the envelope, the array and the metric add three levels.
    for (depth, expected) in [(61, "200 1"), (62, "400 invalid_json")] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let body = expand(&format!(r#"~{{"metricId":"a","value":1,"extra":{deep}}}"#));
        assert_eq!(ask(&server, post("", &body)).await.summary(), expected);
    }
}

#[tokio::test]
async fn batches_are_limited_to_100_metrics() {
    let server = server().await;
    for (count, expected) in [
        (1, "200 1"),
        (99, "200 99"),
        (100, "200 100"),
        (101, "400 invalid_batch metrics:too_many"),
        (10_000, "400 invalid_batch metrics:too_many"),
    ] {
        let metrics = vec![r#"{"metricId":"a","value":1}"#; count].join(",");
        let answer = ask(&server, post("", expand(&format!("~{metrics}")))).await;
        assert_eq!(answer.summary(), expected);
    }
    // The elements of a too long array are not checked, but the envelope is.
    let body = format!(r#"{{"projectId":1,"metrics":[{}]}}"#, vec!["0"; 101].join(","));
    let expected = "400 invalid_batch projectId:not_a_string metrics:too_many";
    assert_eq!(ask(&server, post("", &body)).await.summary(), expected);
}

#[tokio::test]
async fn all_faults_of_all_metrics_are_listed_in_order() {
    let server = server().await;
    let metrics =
        vec![r#"{"timestamp":"t","unit":1,"value":"1","metricName":2,"metricId":3}"#; 100].join(",");
    let answer = ask(&server, post("", format!(r#"{{"metrics":[{metrics}]}}"#))).await;
    let mut expected = "400 invalid_batch projectId:required".to_owned();
    for index in 0..100 {
        for fault in [
            "metricId:not_a_string",
            "metricName:not_a_string",
            "value:not_a_number",
            "unit:not_a_string",
            "timestamp:not_an_integer",
        ] {
            expected += &format!(" {index}.{fault}");
        }
    }
    assert_eq!(answer.summary(), expected);
}

#[tokio::test]
async fn timestamps_are_limited_by_the_clock_and_the_year_2000() {
    let server = server().await;
    let (far, near) = (now_ms() + 120_000, now_ms() + 30_000);
    for (timestamp, expected) in [
        (far.to_string(), "400 invalid_batch 0.timestamp:in_the_future"),
        (format!("{far}.0"), "400 invalid_batch 0.timestamp:in_the_future"),
        (near.to_string(), "200 1"),
        (format!("{near}.0"), "200 1"),
        ((near / 1000).to_string(), "400 invalid_batch 0.timestamp:too_old"),
        ((near * 1000).to_string(), "400 invalid_batch 0.timestamp:in_the_future"),
        ((near * 1_000_000).to_string(), "400 invalid_batch 0.timestamp:in_the_future"),
    ] {
        let body = expand(&format!(r#"~{{"metricId":"a","value":1,"timestamp":{timestamp}}}"#));
        let answer = ask(&server, post("", &body)).await;
        assert_eq!(answer.summary(), expected, "{timestamp}");
    }
    for (timestamp, unit) in
        [(near / 1000, "seconds"), (near * 1000, "microseconds"), (near * 1_000_000, "nanoseconds")]
    {
        let body = expand(&format!(r#"~{{"metricId":"a","value":1,"timestamp":{timestamp}}}"#));
        let json = ask(&server, post("", &body)).await.json();
        assert!(json["details"][0]["message"].as_str().is_some_and(|m| m.contains(unit)), "{json}");
    }
}

#[tokio::test]
async fn published_batch_equals_the_sent_batch() {
    let server = server().await;
    let before = now_ms();
    let body = expand(
        r#"~{"metricId":"a","metricName":"A \"b\" \u00e9\ud83d\ude00","value":-0.0,"unit":"","timestamp":1.79e12},
           {"metricId":"b","value":0.1},{"metricId":"c","value":123456789012345678901234567890},
           {"metricId":"d","value":5e-324,"unit":"%","metricName":null}"#,
    );
    let answer = ask(&server, post("", &body)).await;
    assert_eq!(answer.summary(), "200 4");
    let after = now_ms();
    let json = answer.json();
    let records = lock(&server.kafka.records);
    let [(key, batch)] = records.as_slice() else { panic!("not exactly one record") };
    assert_eq!(*key, None);
    assert_eq!(batch.connection_id, "con_a");
    assert_eq!((batch.idempotency_key.as_str(), batch.body_hash.as_slice()), ("", &[][..]));
    let id = proto::batch_id(&batch.batch_id).expect("16 bytes");
    assert_eq!((json["batchId"].as_str(), id.get_version_num()), (Some(id.to_string().as_str()), 7));
    assert_eq!(json["receivedAt"], batch.received_at_ms);
    assert!((before..=after).contains(&batch.received_at_ms));
    let samples: Vec<_> = batch
        .samples
        .iter()
        .map(|s| {
            (&*s.metric_id, s.metric_name.as_deref(), s.value.to_bits(), s.unit.as_deref(), s.timestamp_ms)
        })
        .collect();
    let now = batch.received_at_ms;
    let expected = [
        ("a", Some("A \"b\" é😀"), (-0.0f64).to_bits(), Some(""), 1_790_000_000_000),
        ("b", None, 0.1f64.to_bits(), None, now),
        ("c", None, 123_456_789_012_345_678_901_234_567_890f64.to_bits(), None, now),
        ("d", None, 5e-324f64.to_bits(), Some("%"), now),
    ];
    assert_eq!(samples, expected);
}
