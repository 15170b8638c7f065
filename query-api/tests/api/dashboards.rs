//! Dashboards.

use crate::support::{Caller, OPERATOR, details, read, refused, shared, text};
use reqwest::Method;
use serde_json::{Value, json};

fn dashboard(name: &str) -> Value {
    json!({
        "name": name,
        "widgets": [
            {"id": "a", "type": "line", "title": "Signups", "series": [{"metricId": "daily_signups", "aggregation": "sum"}],
             "range": "7d", "interval": "day", "x": 0, "y": 0, "w": 6, "h": 4},
            {"id": "b", "type": "number", "title": "", "series": [{"metricId": "revenue", "aggregation": "avg"}],
             "range": {"startDate": 1_790_000_000_000i64, "endDate": 1_790_000_360_000i64}, "interval": "auto",
             "x": 6, "y": 0, "w": 2, "h": 2},
        ],
    })
}

async fn change(
    caller: &Caller,
    method: Method,
    path: &str,
    if_match: Option<&str>,
    body: Option<&Value>,
) -> (u16, Value) {
    let mut request = caller.request(method, path);
    if let Some(tag) = if_match {
        request = request.header("if-match", tag);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    read(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboard_changes_require_its_version() {
    let (_, manager) = shared().project().await;
    let (status, created) = manager.post("/api/v1/dashboards", &dashboard("Shop")).await;
    assert_eq!(status, 201, "{created}");
    let path = format!("/api/v1/dashboards/{}", text(&created, "dashboardId"));
    let response = crate::support::send(manager.request(Method::GET, &path)).await;
    assert_eq!(response.headers()["etag"], "\"1\"");
    let read: Value = response.json().await.expect("JSON");
    assert_eq!(read, created);
    assert_eq!(read["widgets"], dashboard("Shop")["widgets"]);

    let other = dashboard("Store");
    refused(change(&manager, Method::PUT, &path, None, Some(&other)).await, 428, "version_required");
    refused(change(&manager, Method::PUT, &path, Some("\"7\""), Some(&other)).await, 412, "version_mismatch");
    let (status, replaced) = change(&manager, Method::PUT, &path, Some("\"1\""), Some(&other)).await;
    assert_eq!((status, &replaced["version"], &replaced["name"]), (200, &json!(2), &json!("Store")));
    assert_eq!(replaced["createdAt"], created["createdAt"]);

    refused(change(&manager, Method::DELETE, &path, None, None).await, 428, "version_required");
    refused(change(&manager, Method::DELETE, &path, Some("\"1\""), None).await, 412, "version_mismatch");
    assert_eq!(change(&manager, Method::DELETE, &path, Some("\"2\""), None).await.0, 204);
    refused(manager.get(&path).await, 404, "not_found");
    refused(change(&manager, Method::PUT, &path, Some("*"), Some(&other)).await, 404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_are_paged_and_visible_to_their_project_only() {
    let (_, manager) = shared().project().await;
    let (_, other_project) = shared().project().await;
    for name in ["one", "two", "three"] {
        assert_eq!(manager.post("/api/v1/dashboards", &dashboard(name)).await.0, 201);
    }
    let first = manager.ok("/api/v1/dashboards?limit=2").await;
    let names = |page: &Value| -> Vec<String> {
        page["items"].as_array().expect("items").iter().map(|item| text(item, "name")).collect()
    };
    assert_eq!(names(&first), ["one", "two"]);
    let second =
        manager.ok(&format!("/api/v1/dashboards?limit=2&cursor={}", text(&first, "nextCursor"))).await;
    assert_eq!((names(&second), &second["nextCursor"]), (vec!["three".to_owned()], &Value::Null));

    assert_eq!(other_project.ok("/api/v1/dashboards").await["items"], json!([]));
    let path = format!("/api/v1/dashboards/{}", text(&first["items"][0], "dashboardId"));
    refused(other_project.get(&path).await, 404, "not_found");
    refused(change(&other_project, Method::DELETE, &path, Some("*"), None).await, 404, "not_found");
    refused(shared().client(OPERATOR).get(&path).await, 403, "insufficient_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faults_of_a_dashboard_are_reported() {
    let (_, manager) = shared().project().await;
    let answer = refused(manager.post("/api/v1/dashboards", &json!({})).await, 400, "invalid_parameter");
    assert_eq!(details(&answer), ["name required", "widgets required"]);
    let widget = json!({"type": "pie", "series": [], "x": -1});
    let body = json!({"name": "x", "widgets": [widget]});
    let answer = refused(manager.post("/api/v1/dashboards", &body).await, 400, "invalid_parameter");
    let mut codes = details(&answer);
    codes.sort();
    assert_eq!(codes, ["widgets bad_length", "widgets not_an_integer", "widgets unknown_word"]);
}
