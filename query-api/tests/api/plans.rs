//! Plans.

use crate::support::{OPERATOR, details, refused, shared, start_stack, text};
use serde_json::{Value, json};

const PLANS: &str = "/api/v1/plans";

#[tokio::test(flavor = "multi_thread")]
async fn operator_sets_plans_and_every_key_can_list_them() {
    let stack = start_stack().await;
    let (operator, (_, manager)) = (stack.client(OPERATOR), stack.project().await);
    let names = |page: &Value| -> Vec<String> {
        page["items"].as_array().expect("items").iter().map(|item| text(item, "name")).collect()
    };
    assert_eq!(names(&manager.ok(PLANS).await), ["free", "pro", "scale", "unlimited"]);
    let plan = |name: &str, limit: Option<u64>, alerts: bool, times: &Value| {
        json!({
            "name": name, "requestsPerHour": limit, "alerts": alerts,
            "createdAt": times["createdAt"].as_i64(), "updatedAt": times["updatedAt"].as_i64(),
            "version": times["version"],
        })
    };
    let first = &operator.ok(PLANS).await["items"][0];
    assert_eq!(first, &plan("free", Some(100), false, first));
    assert_eq!((&first["updatedAt"], &first["version"]), (&first["createdAt"], &json!(1)));

    let start = service::clock::now_ms();
    let put = async |name: &str, wanted: &Value| {
        let (status, put) = operator.put(&format!("{PLANS}/{name}"), wanted).await;
        assert_eq!(status, 200, "{put}");
        assert!(put["updatedAt"].as_i64() >= Some(start), "{put}");
        put
    };
    let gold = json!({"requestsPerHour": 50_000, "alerts": true});
    let created = put("gold", &gold).await;
    assert_eq!(created, plan("gold", Some(50_000), true, &created));
    assert_eq!((&created["createdAt"], &created["version"]), (&created["updatedAt"], &json!(1)));
    let changed = put("gold", &gold).await;
    assert_eq!((&changed["createdAt"], &changed["version"]), (&created["createdAt"], &json!(2)));
    let endless = put("pro", &json!({"requestsPerHour": null, "alerts": false})).await;
    assert_eq!((&endless["createdAt"], &endless["version"]), (&first["createdAt"], &json!(2)));
    let page = manager.ok(&format!("{PLANS}?limit=3")).await;
    assert_eq!(names(&page), ["free", "gold", "pro"]);
    assert_eq!(page["items"][1], changed);
    assert_eq!(page["items"][2], plan("pro", None, false, &endless));
    let rest = manager.ok(&format!("{PLANS}?cursor={}", text(&page, "nextCursor"))).await;
    assert_eq!(
        (names(&rest), &rest["nextCursor"]),
        (vec!["scale".to_owned(), "unlimited".to_owned()], &Value::Null)
    );

    // A new plan can be assigned, and a change of a plan applies to its projects.
    let (status, _) = operator.post("/api/v1/projects", &json!({"name": "x", "plan": "gold"})).await;
    assert_eq!(status, 201);
    assert_eq!(manager.ok("/api/v1/projects").await["items"][0]["quota"]["limit"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_requires_an_explicit_limit_or_null() {
    let operator = shared().client(OPERATOR);
    for (name, body, expected) in [
        ("gold", json!({}), vec!["requestsPerHour required", "alerts required"]),
        (
            "gold",
            json!({"requestsPerHour": 0, "alerts": 1}),
            vec!["requestsPerHour out_of_range", "alerts not_a_boolean"],
        ),
        (
            "gold",
            json!({"requestsPerHour": 1_000_000_001, "alerts": true}),
            vec!["requestsPerHour out_of_range"],
        ),
        ("gold", json!({"requestsPerHour": 1.5, "alerts": true}), vec!["requestsPerHour not_an_integer"]),
        ("Gold", json!({"requestsPerHour": null, "alerts": true}), vec!["name bad_name"]),
    ] {
        let answer = refused(operator.put(&format!("{PLANS}/{name}"), &body).await, 400, "invalid_parameter");
        assert_eq!(details(&answer), expected, "{name} {body}");
    }
    let (_, manager) = shared().project().await;
    refused(manager.put(&format!("{PLANS}/gold"), &json!({})).await, 403, "insufficient_scope");
}
