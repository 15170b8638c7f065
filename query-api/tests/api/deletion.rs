//! Deletion of a metric as readers see it. No worker runs here, so a deletion stays pending until the test
//! applies it.
//!
//! Invariants: after the answer to a deletion, no call of any replica returns a deleted point; points of
//! other metrics, and points that are sent later, stay visible.

use crate::stream::Gateway;
use crate::support::{Caller, Sample, Stack, refused, serve, settings, shared, start_stack, text, until};
use proto::v1::entity::Kind;
use proto::v1::{Deletion, DeletionApplied};
use serde_json::{Value, json};

const PATH: &str = "/api/v1/metrics/doomed";
const RANGE: &str = "startDate=1789999200000&endDate=1790006400000";
const HOUR: i64 = 1_789_999_200_000;

fn sample(metric: &'static str, offset: i64, value: f64) -> Sample {
    let time = HOUR + (offset + 1) * 60_000;
    Sample { metric, time, value, received_at: time, offset, ..Sample::default() }
}

/// Returns the answers of all calls that read a project's metrics.
async fn everything(caller: &Caller) -> Value {
    let series = format!("{PATH}/timeseries?{RANGE}&interval=hour&aggregation=sum");
    let query = |aggregation: &str| {
        json!({"metricId": "doomed", "startDate": HOUR, "endDate": HOUR + 7_200_000, "interval": "hour",
               "aggregation": aggregation})
    };
    let queries = ["count", "last", "p50"].map(query);
    let queries = json!({"queries": queries});
    let (_, mut query) = caller.post("/api/v1/query", &queries).await;
    for result in query["results"].as_array_mut().expect("results") {
        result.as_object_mut().expect("an object").remove("watermark");
    }
    let (_, series) = caller.get(&series).await;
    let (_, points) = caller.get(&format!("{PATH}/points?{RANGE}")).await;
    let (_, metric) = caller.get(PATH).await;
    let list = caller.ok("/api/v1/metrics").await;
    let found = caller.ok("/api/v1/metrics?search=oome").await;
    let names = caller.ok("/prometheus/api/v1/label/metric_id/values").await;
    let path =
        format!("/prometheus/api/v1/query?query=sum_over_time(doomed[2h])&time={}", HOUR / 1000 + 7200);
    let sum = caller.ok(&path).await;
    let described = caller.ok("/prometheus/api/v1/metadata?metric=doomed").await;
    json!({
        "series": series["points"], "query": query, "points": points["items"], "found": found,
        "metric": [metric["points"], metric["lastValue"], metric["metricName"]],
        "list": list, "names": names["data"], "sum": sum["data"]["result"], "described": described["data"],
    })
}

/// Creates a project with the metrics `kept` and `doomed`, whose offsets are in the log too.
async fn filled(stack: &Stack, gateway: &Gateway) -> (String, Caller) {
    let (project, manager) = stack.project().await;
    for value in [1.0, 2.0, 3.0] {
        gateway.send(&project, 0, "", &[("doomed", value), ("kept", value)]).await;
    }
    for (offset, value) in [(0, 1.0), (1, 2.0), (2, 3.0)] {
        stack.store(&project, &[sample("doomed", offset, value), sample("kept", offset, value)]).await;
    }
    (project, manager)
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_metric_disappears_at_once_and_its_id_is_reusable() {
    let stack = start_stack().await;
    let gateway = Gateway::new(&stack);
    let (project, manager) = filled(&stack, &gateway).await;
    let (other_project, _) = stack.project().await;
    stack.store(&other_project, &[sample("doomed", 0, 7.0)]).await;
    let (url, _) = serve(&settings(&stack.namespace)).await;
    let replica = Caller { url, key: manager.key.clone() };
    until("the replica is ready", async || replica.get("/api/v1/metrics").await.0 == 200).await;
    let before = everything(&manager).await;
    assert_eq!(before, everything(&replica).await);
    assert_eq!(before["metric"], json!([3, 3.0, "Doomed"]));
    assert_eq!(before["sum"][0]["value"][1], "6");

    assert_eq!(manager.delete(PATH).await, (204, Value::Null));
    for reader in [&replica, &manager] {
        refused(reader.get(PATH).await, 404, "not_found");
        refused(reader.get(&format!("{PATH}/points")).await, 404, "not_found");
        let now = everything(reader).await;
        assert_eq!(now["names"], json!(["kept"]));
        assert_eq!(now["list"]["items"].as_array().map(Vec::len), Some(1));
        assert_eq!((&now["found"]["items"], &now["sum"]), (&json!([]), &json!([])));
        assert_eq!(now["described"], json!({}));
        assert!(
            now["query"]["results"].as_array().expect("results").iter().all(|r| r["error"] == "not_found")
        );
    }
    refused(manager.delete(PATH).await, 404, "not_found");

    // At the cut-off offset and above it, with times between those of the old points.
    let new = Sample { time: HOUR + 90_000, name: "Risen", ..sample("doomed", 3, 10.0) };
    stack.store(&project, &[new, sample("doomed", 4, 20.0)]).await;
    let open = everything(&manager).await;
    assert_eq!(open["metric"], json!([2, 20.0, "Risen"]));
    assert_eq!(open["series"], json!([{"timestamp": HOUR, "value": 30.0, "count": 2}]));
    assert_eq!(open["sum"][0]["value"][1], "30");
    let values: Vec<&Value> = open["query"]["results"]
        .as_array()
        .expect("results")
        .iter()
        .map(|r| &r["points"][0]["value"])
        .collect();
    assert_eq!(values, [2.0, 20.0, 15.0]);
    assert_eq!(open, everything(&replica).await);

    // The worker deletes the old rows and records it: nothing changes for readers.
    let erase =
        format!("DELETE FROM samples WHERE project_id = '{project}' AND metric_id = 'doomed' AND offset < 3");
    stack.clickhouse().query_raw(&erase).execute().await.expect("deleted");
    assert_eq!(open, everything(&manager).await);
    stack.publish(Kind::DeletionApplied(applied(&stack, &project).await)).await;
    assert_eq!(open, everything(&manager).await);
    assert_eq!(open, everything(&replica).await);
    let other_rows =
        stack.clickhouse().query("SELECT count() FROM points WHERE project_id = ?").bind(other_project);
    assert_eq!(other_rows.fetch_one::<u64>().await.expect("a count"), 1);
}

/// Returns the record that the deletion of `doomed` was applied.
async fn applied(stack: &Stack, project: &str) -> DeletionApplied {
    let deletions = control::deletions::Deletions::new(&stack.namespace, stack.redis.clone());
    let (statuses, complete) = deletions.of_project(project, 1).await.expect("Redis runs");
    assert!(complete);
    let Deletion { project_id, metric_id, deleted_at_ms, cuts } = statuses[0].deletion.clone();
    assert_eq!((metric_id.as_str(), cuts.get(&0)), ("doomed", Some(&3)), "the end offset of partition 0");
    DeletionApplied { project_id, metric_id, generation: 1, deleted_at_ms }
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_requires_manage_scope_and_an_own_metric() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    stack.store(&project, &[sample("mine", 0, 1.0)]).await;
    let (_, other_project) = stack.project().await;
    let (_, created) =
        manager.post("/api/v1/keys", &json!({"name": "x", "scopes": ["read", "ingest"]})).await;
    let reader = stack.client(&text(&created, "key"));
    refused(reader.delete("/api/v1/metrics/mine").await, 403, "insufficient_scope");
    refused(other_project.delete("/api/v1/metrics/mine").await, 404, "not_found");
    refused(manager.delete("/api/v1/metrics/never").await, 404, "not_found");
    refused(manager.delete("/api/v1/metrics/not%20an%20id").await, 404, "not_found");
    assert_eq!(manager.ok("/api/v1/metrics/mine").await["points"], 1);
}
