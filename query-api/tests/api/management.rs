//! Projects and connections.

use crate::support::{OPERATOR, details, refused, shared, text};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn new_project_and_connection_keys_work_at_once() {
    let stack = shared();
    let body = json!({"name": "  Shop ", "plan": "free", "unknown": [1]});
    let (status, project) = stack.client(OPERATOR).post("/api/v1/projects", &body).await;
    assert_eq!(status, 201, "{project}");
    assert_eq!((text(&project, "name"), text(&project, "plan")), ("Shop".to_owned(), "free".to_owned()));
    assert!(text(&project, "projectId").starts_with("prj_"));

    let manager = stack.client(&text(&project, "manageKey"));
    let (status, connection) =
        manager.post("/api/v1/connections", &json!({"name": "Cron Job Metrics"})).await;
    assert_eq!(status, 201, "{connection}");
    assert_eq!(connection["name"], "Cron Job Metrics");
    assert_eq!(connection["projectId"], project["projectId"]);
    assert_eq!(connection["webhookUrl"], "http://127.0.0.1:8080/api/webhooks/custom");
    assert!(text(&connection, "apiKey").starts_with("tm_"));
    assert!(text(&connection, "connectionId").starts_with("con_"));
    for (created, path) in [(&project, "projects"), (&connection, "connections")] {
        let id = if path == "projects" { "projectId" } else { "connectionId" };
        let read = manager.ok(&format!("/api/v1/{path}/{}", text(created, id))).await;
        for field in ["createdAt", "updatedAt", "version"] {
            assert!(
                read[field].is_number() && read[field] == created[field],
                "{path} {field}: {created} {read}"
            );
        }
    }
    assert_eq!(manager.ok("/api/v1/metrics").await, json!({"items": [], "nextCursor": null}));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faults_of_a_body_are_reported_at_once() {
    let stack = shared();
    let operator = stack.client(OPERATOR);
    let long = "x".repeat(101);
    for (body, expected) in [
        (json!({}), vec!["name required", "plan required"]),
        (json!({"name": null, "plan": 5}), vec!["name required", "plan not_a_string"]),
        (json!({"name": " ", "plan": "gold"}), vec!["name bad_name", "plan unknown_plan"]),
        (json!({"name": long, "plan": "pro"}), vec!["name bad_name"]),
        (json!({"name": "a\nb", "plan": ""}), vec!["name bad_name", "plan unknown_plan"]),
        (json!([]), vec![" not_an_object"]),
    ] {
        let answer = refused(operator.post("/api/v1/projects", &body).await, 400, "invalid_parameter");
        assert_eq!(details(&answer), expected, "{body}");
    }
    let (_, manager) = stack.project().await;
    let answer =
        refused(manager.post("/api/v1/connections", &json!({"name": 1})).await, 400, "invalid_parameter");
    assert_eq!(details(&answer), ["name not_a_string"]);
}
