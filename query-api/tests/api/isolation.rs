//! Entities of other projects are not found, and a missing scope is reported first.

use crate::support::{OPERATOR, read, refused, shared, text};
use reqwest::Method;
use serde_json::{Value, json};

/// Every call on one entity: method, path with `{}` for the id, a valid body, and whether it requires `manage`.
fn calls() -> Vec<(Method, &'static str, Option<Value>, bool)> {
    let name = Some(json!({"name": "mine"}));
    vec![
        (Method::GET, "/api/v1/projects/{project}", None, false),
        (Method::PATCH, "/api/v1/projects/{project}", name.clone(), true),
        (Method::GET, "/api/v1/connections/{connection}", None, false),
        (Method::PATCH, "/api/v1/connections/{connection}", name, true),
        (Method::DELETE, "/api/v1/connections/{connection}", None, true),
        (Method::POST, "/api/v1/connections/{connection}/rotate", Some(json!({})), true),
        (Method::POST, "/api/v1/connections/{connection}/revoke", None, true),
        (Method::DELETE, "/api/v1/keys/{key}", None, true),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_of_other_projects_are_404_and_unchanged() {
    let stack = shared();
    let (project, owner) = stack.project().await;
    let (_, other_project) = stack.project().await;
    let (_, connection) = owner.post("/api/v1/connections", &json!({"name": "Cron"})).await;
    let (_, key) = owner.post("/api/v1/keys", &json!({"name": "x", "scopes": ["read"]})).await;
    let (connection_id, key_id) = (text(&connection, "connectionId"), text(&key, "keyId"));
    let read_entities = async || {
        let mut seen = Vec::new();
        for path in [format!("/api/v1/projects/{project}"), format!("/api/v1/connections/{connection_id}")] {
            let mut entity = owner.ok(&path).await;
            entity["quota"] = Value::Null;
            seen.push(entity);
        }
        seen
    };
    let before = read_entities().await;
    for (method, path, body, _) in calls() {
        let theirs = path
            .replace("{project}", &project)
            .replace("{connection}", &connection_id)
            .replace("{key}", &key_id);
        // Ids of other kinds of entities and malformed ids are not found.
        let crossed = path
            .replace("{project}", &key_id)
            .replace("{connection}", &project)
            .replace("{key}", &connection_id);
        let odd = path.replace("{project}", "%00").replace("{connection}", "%7B%7D").replace("{key}", "%ff");
        for path in [theirs, crossed, odd] {
            let request = other_project.request(method.clone(), &path);
            let request = match &body {
                Some(body) => request.json(body),
                None => request,
            };
            let answer = refused(read(request).await, 404, "not_found");
            assert!(!answer.to_string().contains(&project), "{method} {path}");
        }
    }
    assert_eq!(read_entities().await, before);
    // The entity is looked up before the version of a change is checked.
    let widgets = json!({"name": "x", "widgets": []});
    let rule = json!({"name": "x", "metricId": "m", "operator": ">", "threshold": 5, "range": "1h"});
    for (list, id, body) in
        [("/api/v1/dashboards", "dashboardId", &widgets), ("/api/v1/alerts", "alertId", &rule)]
    {
        let (_, created) = owner.post(list, body).await;
        for id in [text(&created, id), "none".to_owned()] {
            let path = format!("{list}/{id}");
            refused(other_project.put(&path, body).await, 404, "not_found");
            refused(other_project.put(&path, &json!({})).await, 404, "not_found");
            refused(other_project.delete(&path).await, 404, "not_found");
        }
        refused(owner.delete(&format!("{list}/{}", text(&created, id))).await, 428, "version_required");
    }
    for key in [text(&connection, "apiKey"), text(&key, "key")] {
        assert!(stack.client(&key).is_valid().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_scope_is_403_before_any_other_error() {
    let stack = shared();
    let (_, manager) = stack.project().await;
    let key = async |scope: &str| {
        let (_, created) = manager.post("/api/v1/keys", &json!({"name": scope, "scopes": [scope]})).await;
        stack.client(&text(&created, "key"))
    };
    let (ingest, reader) = (key("ingest").await, key("read").await);
    let lists = [
        ("/api/v1/projects", false),
        ("/api/v1/connections", false),
        ("/api/v1/keys", true),
        ("/api/v1/session", false),
    ];
    for (path, manages) in lists {
        refused(ingest.get(path).await, 403, "insufficient_scope");
        let (status, answer) = reader.get(path).await;
        assert_eq!(status, if manages { 403 } else { 200 }, "{path}: {answer}");
    }
    for (method, path, _, manages) in calls() {
        // The body is invalid too, but the scope is checked first.
        let call = |caller: &crate::support::Caller| read(caller.request(method.clone(), path).body("{"));
        refused(call(&ingest).await, 403, "insufficient_scope");
        if manages {
            refused(call(&reader).await, 403, "insufficient_scope");
        }
        if !path.contains("projects") {
            refused(call(&stack.client(OPERATOR)).await, 403, "insufficient_scope");
        }
    }
    for path in ["/api/v1/keys", "/api/v1/connections"] {
        refused(reader.post(path, &json!({})).await, 403, "insufficient_scope");
        refused(stack.client(OPERATOR).get(path).await, 403, "insufficient_scope");
    }
    refused(manager.delete("/api/v1/projects/nobody").await, 403, "insufficient_scope");
}
