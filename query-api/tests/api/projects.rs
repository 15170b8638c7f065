//! Projects as seen by the operator and by a key.

use crate::support::{OPERATOR, details, refused, shared, start_stack, text};
use serde_json::{Value, json};

const PROJECTS: &str = "/api/v1/projects";
const HOUR_MS: i64 = 3_600_000;

#[tokio::test(flavor = "multi_thread")]
async fn project_shows_quota_usage_and_reset_time() {
    let stack = shared();
    let (id, manager) = stack.project().await;
    let path = format!("{PROJECTS}/{id}");
    let project = manager.ok(&path).await;
    let expected = json!({
        "projectId": id, "name": "Test", "plan": "pro",
        "quota": {"limit": 1000, "used": 0, "resetAt": project["quota"]["resetAt"]},
        "createdAt": project["createdAt"], "updatedAt": project["createdAt"], "version": 1,
    });
    assert_eq!(project, expected);
    let reset = project["quota"]["resetAt"].as_i64().expect("a time");
    assert!(reset % HOUR_MS == 0 && reset > project["createdAt"].as_i64().expect("a time"));
    assert_eq!(stack.client(OPERATOR).ok(&path).await["projectId"], id);
    assert_eq!(manager.ok(PROJECTS).await["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn project_shows_the_gateways_quota_count() {
    use quota::{Event, Observer, OutagePolicy, Quotas, Verdict};
    struct NoObserver;
    impl Observer for NoObserver {
        fn observe(&self, _: Event) {}
    }
    let stack = shared();
    let (id, manager) = stack.project().await;
    let redis = service::connections::RedisEndpoint::new(&crate::support::store_address("REDIS_URL"));
    let quotas = Quotas::new(&redis, &stack.namespace, OutagePolicy::Closed, NoObserver).expect("an address");
    // The hour may change between the two reads.
    crate::support::until("both counts are of the same hour", || async {
        let Verdict::Counted(charge) = quotas.count(&id, 1000).await else { panic!("it is counted") };
        let shown = manager.ok(&format!("{PROJECTS}/{id}")).await["quota"].take();
        let reset = i64::try_from(charge.hour + 1).expect("fits in i64") * HOUR_MS;
        if shown["resetAt"] != reset {
            return false;
        }
        assert_eq!(shown["used"], charge.number);
        charge.number == 3
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_lists_all_projects_in_pages() {
    let stack = start_stack().await;
    let operator = stack.client(OPERATOR);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(stack.project().await.0);
    }
    let mut seen = Vec::new();
    let mut query = "limit=2".to_owned();
    loop {
        let page = operator.ok(&format!("{PROJECTS}?{query}")).await;
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| (item["createdAt"].as_i64(), text(item, "projectId"))));
        match page["nextCursor"].as_str() {
            Some(cursor) => query = format!("limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert!(seen.is_sorted());
    let mut seen: Vec<String> = seen.into_iter().map(|(_, id)| id).collect();
    seen.sort();
    ids.sort();
    assert_eq!(seen, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn manager_renames_project_but_only_operator_sets_plan() {
    let stack = shared();
    let (id, manager) = stack.project().await;
    let (path, operator) = (format!("{PROJECTS}/{id}"), stack.client(OPERATOR));
    let (status, named) = manager.patch(&path, &json!({"name": " Shop ", "plan": null})).await;
    assert_eq!((status, &named["name"], &named["version"]), (200, &json!("Shop"), &json!(2)));
    for body in [json!({"plan": "scale"}), json!({"name": "x", "plan": "scale"}), json!({"plan": 5})] {
        refused(manager.patch(&path, &body).await, 403, "insufficient_scope");
    }
    let (status, moved) = operator.patch(&path, &json!({"plan": "scale"})).await;
    assert_eq!((status, &moved["plan"], &moved["name"]), (200, &json!("scale"), &json!("Shop")));
    assert_eq!((&moved["quota"]["limit"], &moved["version"]), (&json!(10_000), &json!(3)));
    let (_, both) = operator.patch(&path, &json!({"name": "Store", "plan": "unlimited"})).await;
    assert_eq!((&both["name"], &both["quota"]["limit"]), (&json!("Store"), &Value::Null));
    // A later rename does not undo the change of the plan.
    assert_eq!(manager.patch(&path, &json!({"name": "Last"})).await.1["plan"], "unlimited");

    let wrong = operator.patch(&path, &json!({"name": " ", "plan": "gold"})).await;
    assert_eq!(details(&refused(wrong, 400, "invalid_parameter")), ["name bad_name", "plan unknown_plan"]);
    for nothing in [json!({}), json!({"name": null}), json!({"title": "x"})] {
        let answer = refused(manager.patch(&path, &nothing).await, 400, "invalid_parameter");
        assert_eq!(details(&answer), [" required"]);
    }
    let stale = manager.request(reqwest::Method::PATCH, &path).header("If-Match", "\"1\"");
    refused(crate::support::read(stale.json(&json!({"name": "x"}))).await, 412, "version_mismatch");
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_project_is_gone_and_its_keys_are_refused() {
    let stack = shared();
    let (id, manager) = stack.project().await;
    let (_, created) = manager.post("/api/v1/connections", &json!({"name": "Cron"})).await;
    let connection = stack.client(&text(&created, "apiKey"));
    assert!(connection.is_valid().await);
    let (path, operator) = (format!("{PROJECTS}/{id}"), stack.client(OPERATOR));
    refused(manager.delete(&path).await, 403, "insufficient_scope");
    assert_eq!(operator.delete(&path).await, (204, Value::Null));
    manager.await_revocation().await;
    connection.await_revocation().await;
    refused(operator.get(&path).await, 404, "not_found");
    refused(operator.delete(&path).await, 404, "not_found");
    refused(operator.patch(&path, &json!({"plan": "pro"})).await, 404, "not_found");
    let mut query = "limit=1000".to_owned();
    loop {
        let page = operator.ok(&format!("{PROJECTS}?{query}")).await;
        assert!(page["items"].as_array().expect("items").iter().all(|item| item["projectId"] != id));
        match page["nextCursor"].as_str() {
            Some(cursor) => query = format!("limit=1000&cursor={cursor}"),
            None => break,
        }
    }
}
