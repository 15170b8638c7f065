//! The catalogue of metrics.

use crate::support::{Sample, details, refused, shared};
use serde_json::{Value, json};

fn sample(
    metric: &'static str,
    time: i64,
    value: f64,
    offset: i64,
    name: &'static str,
    unit: &'static str,
) -> Sample {
    Sample { metric, time, value, received_at: 1_790_000_000_000 + offset, offset, index: 0, name, unit }
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().expect("items").iter().filter_map(|item| item["metricId"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn metric_has_newest_name_and_unit_and_latest_value() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    let first = sample("daily_signups", 1_790_000_000_000, 1.0, 0, "Old name", "count");
    let second = sample("daily_signups", 1_790_000_060_000, -2.5, 1, "Tägliche \\\\ \\'Signups\\'", "");
    let late = sample("daily_signups", 1_780_000_000_000, 7.0, 2, "", "");
    stack.store(&project, &[first, late]).await;
    stack.store(&project, &[second, sample("api.response-time", 1_790_000_000_000, 0.1, 3, "", "")]).await;
    let expected = json!({
        "metricId": "daily_signups", "metricName": "Tägliche \\ 'Signups'", "unit": "count",
        "firstSeenAt": 1_790_000_000_000i64, "lastSeenAt": 1_790_000_000_002i64, "lastValue": -2.5, "points": 3,
    });
    assert_eq!(manager.ok("/api/v1/metrics/daily_signups").await, expected);
    let list = manager.ok("/api/v1/metrics").await;
    assert_eq!(ids(&list), ["api.response-time", "daily_signups"]);
    assert_eq!(list["items"][0]["metricName"], "Api Response Time");
    assert_eq!(list["items"][0]["unit"], Value::Null);
    assert_eq!(list["items"][1], expected);

    for (search, found) in [
        ("SIGNUPS", vec!["daily_signups"]),
        ("response%20time", vec!["api.response-time"]),
        ("e-t", vec!["api.response-time"]),
        ("T%C3%84GLICHE", vec!["daily_signups"]),
        ("old", vec![]),
        ("%25", vec![]),
        ("%5C%20'", vec!["daily_signups"]),
        ("'%20OR%201%3D1%20--", vec![]),
        ("%09", vec![]),
        ("", vec!["api.response-time", "daily_signups"]),
    ] {
        let answer = manager.ok(&format!("/api/v1/metrics?search={search}")).await;
        assert_eq!(ids(&answer), found, "{search}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_contain_every_metric_once_in_order() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    let metrics = ["A", "a", "a.b", "a:c", "b-1", "b_1", "c"];
    let samples: Vec<Sample> =
        (0..).zip(metrics).map(|(i, metric)| sample(metric, 1_790_000_000_000, 1.0, i, "", "")).collect();
    stack.store(&project, &samples).await;
    for limit in [1, 3, 7, 1000] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = manager.ok(&format!("/api/v1/metrics?limit={limit}&cursor={cursor}")).await;
            assert!(ids(&page).len() <= limit);
            seen.extend(ids(&page).into_iter().map(str::to_owned));
            match page["nextCursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        let mut expected = metrics;
        expected.sort_unstable();
        assert_eq!(seen, expected, "limit {limit}");
    }
    let answer = manager.get("/api/v1/metrics?limit=1001&cursor=%21").await;
    let answer = refused(answer, 400, "invalid_parameter");
    assert_eq!(details(&answer), ["limit out_of_range", "cursor bad_cursor"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cursor_is_valid_only_for_its_own_list() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    let points: Vec<Sample> = (0..4)
        .map(|i| sample(["a", "b"][i % 2], 1_790_000_000_000 + i as i64, 1.0, i as i64, "", ""))
        .collect();
    stack.store(&project, &points).await;
    for name in ["one", "two"] {
        for (list, body) in [
            ("dashboards", json!({"name": name, "widgets": []})),
            ("channels", json!({"name": name, "kind": "in_app"})),
            ("connections", json!({"name": name})),
            ("keys", json!({"name": name, "scopes": ["read"]})),
            (
                "alerts",
                json!({"name": name, "metricId": "a", "operator": ">", "threshold": 5, "range": "1h"}),
            ),
        ] {
            assert_eq!(manager.post(&format!("/api/v1/{list}"), &body).await.0, 201, "{list}");
        }
    }
    let range = "startDate=1780000000000&endDate=1800000000000&";
    let mut lists = vec!["metrics/a/points".to_owned(), "metrics/b/points".to_owned()];
    lists.extend(
        ["metrics", "dashboards", "channels", "connections", "keys", "alerts", "plans"].map(str::to_owned),
    );
    let mut cursors = Vec::new();
    for list in &lists {
        let page = manager.ok(&format!("/api/v1/{list}?{range}limit=1")).await;
        cursors.push((list, page["nextCursor"].as_str().expect("a next page").to_owned()));
    }
    for list in lists.iter().map(String::as_str).chain(["projects", "inbox"]) {
        for (own_list, cursor) in &cursors {
            let (status, answer) = manager.get(&format!("/api/v1/{list}?{range}cursor={cursor}")).await;
            if list == own_list.as_str() {
                assert_eq!(status, 200, "{list}: {answer}");
                continue;
            }
            let answer = refused((status, answer), 400, "invalid_parameter");
            assert_eq!(details(&answer), ["cursor bad_cursor"], "{own_list} on {list}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metric_of_another_project_is_not_found() {
    let stack = shared();
    let (project, _) = stack.project().await;
    let (_, other_project) = stack.project().await;
    stack.store(&project, &[sample("secret", 1_790_000_000_000, 1.0, 0, "", "")]).await;
    for path in ["", "/points", "/timeseries"] {
        refused(other_project.get(&format!("/api/v1/metrics/secret{path}")).await, 404, "not_found");
    }
    for id in ["%27", "a%2Fb", "%ff", "..%2f", "%00"] {
        refused(other_project.get(&format!("/api/v1/metrics/{id}")).await, 404, "not_found");
    }
    assert_eq!(other_project.ok("/api/v1/metrics").await["items"], json!([]));
}
