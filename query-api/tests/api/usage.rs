//! The usage report, with rows as ingest workers store them.

use crate::support::{Caller, Stack, create_schema, details, refused, shared, start_stack, text, until};
use serde_json::{Value, json};
use uuid::Uuid;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The state of a counter as a worker stores it.
#[derive(Clone)]
struct State<'a> {
    connection: &'a str,
    at: i64,
    outcome: &'a str,
    counter: Uuid,
    requests: u64,
    address: u64,
}

async fn create_table(stack: &Stack) {
    let migration = include_str!("../../../ingest-worker/migrations/usage/0001_usage.sql");
    create_schema(&stack.clickhouse(), migration, &database(stack)).await;
}

fn database(stack: &Stack) -> String {
    format!("tidemark_{}_usage", stack.namespace)
}

async fn store(stack: &Stack, project: &str, states: &[State<'_>]) {
    create_table(stack).await;
    let rows: Vec<String> = states
        .iter()
        .map(|s| {
            format!(
                "('{project}', toDateTime({}, 'UTC'), '{}', '{}', '{}', {}, {}, fromUnixTimestamp64Milli({}, 'UTC'), [{}])",
                s.at / MINUTE * 60, s.connection, s.outcome, s.counter, s.requests, s.requests * 2, s.at, s.address
            )
        })
        .collect();
    let sql = format!("INSERT INTO {}.usage_1m VALUES {}", database(stack), rows.join(", "));
    stack.clickhouse().query_raw(&sql).execute().await.expect("the rows are stored");
}

async fn connection(project: &Caller, name: &str) -> String {
    let (status, created) = project.post("/api/v1/connections", &json!({ "name": name })).await;
    assert_eq!(status, 201, "{created}");
    text(&created, "connectionId")
}

fn kinds(report: &Value) -> Vec<String> {
    report["notices"].as_array().expect("a list").iter().map(|notice| text(notice, "kind")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_summed_by_bucket_without_duplicates() {
    let stack = shared();
    let (project, client) = stack.project().await;
    let id = connection(&client, "Shop").await;
    let hour = service::clock::now_ms() / HOUR * HOUR - 2 * HOUR;
    let state = State {
        connection: &id,
        at: hour + 5,
        outcome: "accepted",
        counter: Uuid::now_v7(),
        requests: 3,
        address: 7,
    };
    let other = State { counter: Uuid::now_v7(), requests: 10, address: 8, ..state.clone() };
    let states = [
        State { requests: 1, ..state.clone() },
        state.clone(),
        State { at: hour + MINUTE, requests: 4, ..state.clone() },
        State { outcome: "invalid_batch", requests: 2, ..state.clone() },
        State { at: hour + HOUR, ..state.clone() },
        State { connection: "", requests: 5, ..state.clone() },
        other.clone(),
    ];
    store(stack, &project, &states).await;
    // A repeated state, and an older state after a newer one.
    store(stack, &project, &states).await;
    store(stack, &project, &states[..1]).await;

    let range = format!("startDate={hour}&endDate={}", hour + 2 * HOUR);
    let report = client.ok(&format!("/api/v1/usage?{range}")).await;
    let item = |timestamp: i64, connection: Option<&str>, outcome: &str, requests: u64| json!({"timestamp": timestamp, "connectionId": connection, "outcome": outcome, "requests": requests, "metrics": requests * 2});
    assert_eq!(
        report["items"],
        json!([
            item(hour, None, "accepted", 5),
            item(hour, Some(&id), "accepted", 17),
            item(hour, Some(&id), "invalid_batch", 2),
            item(hour + HOUR, Some(&id), "accepted", 3),
        ])
    );
    let minutes = client.ok(&format!("/api/v1/usage?{range}&interval=minute")).await;
    assert_eq!(minutes["items"].as_array().map(Vec::len), Some(5));
    let day = client.ok(&format!("/api/v1/usage?{range}&interval=day")).await;
    let total: u64 =
        day["items"].as_array().expect("a list").iter().filter_map(|item| item["requests"].as_u64()).sum();
    assert_eq!(total, 27);

    let connections = report["connections"].as_array().expect("a list");
    let shop = connections
        .iter()
        .find(|connection| connection["connectionId"] == *id)
        .expect("the connection is listed");
    assert_eq!(*shop, json!({"connectionId": id, "name": "Shop", "lastUsedAt": hour + HOUR, "addresses": 2}));
    assert_eq!(report["quota"]["limit"], 1000);
    let (used, reset) = (&report["quota"]["used"], report["quota"]["resetAt"].as_i64().expect("a time"));
    assert_eq!((used, reset % HOUR), (&json!(0), 0));

    let (_, other_project) = stack.project().await;
    let nothing = other_project.ok(&format!("/api/v1/usage?{range}")).await;
    assert_eq!((&nothing["items"], &nothing["connections"]), (&json!([]), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_usage_table_means_no_usage() {
    let stack = start_stack().await;
    let (_, client) = stack.project().await;
    let report = client.ok("/api/v1/usage").await;
    for list in ["items", "connections", "notices"] {
        assert_eq!(report[list], json!([]), "{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_notice_has_its_own_cause() {
    let stack = shared();
    let (project, client) = stack.project().await;
    let now = service::clock::now_ms() / HOUR * HOUR;
    let names = ["quiet", "guessed", "moved", "looping"];
    let mut ids = Vec::new();
    for name in names {
        ids.push(connection(&client, name).await);
    }
    let used = |connection, at, requests| State {
        connection,
        at,
        outcome: "accepted",
        counter: Uuid::from_u128(1),
        requests,
        address: 7,
    };
    let mut states: Vec<State<'_>> = Vec::new();
    for id in &ids {
        states.extend((1..=72).map(|hour| used(id.as_str(), now - hour * HOUR, 20)));
    }
    // Requests with wrong keys, but too few for a notice.
    states.push(State { outcome: "invalid_key", ..used(&ids[0], now - 2 * HOUR, 19) });
    states.extend((0..4).map(|minute| State {
        outcome: "invalid_key",
        address: 0xbad,
        ..used(&ids[1], now - 3 * HOUR + minute * MINUTE, 10)
    }));
    states.push(State { address: 0xbeef, ..used(&ids[2], now - 4 * HOUR, 20) });
    states.push(State { requests: 1000, ..used(&ids[3], now - 5 * HOUR + MINUTE, 1000) });
    store(stack, &project, &states).await;

    let report = client.ok(&format!("/api/v1/usage?startDate={}&endDate={now}", now - DAY)).await;
    assert_eq!(kinds(&report), ["refused_keys", "new_address", "traffic_jump"], "newest first: {report}");
    let notice = |index: usize| &report["notices"][index];
    for (index, id) in ids[1..].iter().enumerate() {
        assert_eq!(text(notice(index), "connectionId"), *id, "{}", notice(index));
        assert!(!text(notice(index), "message").is_empty());
    }
    assert_eq!(notice(0)["evidence"]["requests"], 40);
    assert_eq!(notice(0)["evidence"]["invalidKey"], 40);
    assert_eq!(notice(0)["evidence"]["addresses"], json!(["0000000000000bad"]));
    assert_eq!(notice(1)["evidence"]["addresses"], json!(["000000000000beef"]));
    assert_eq!(notice(1)["at"], now - 4 * HOUR);
    assert_eq!(
        (&notice(2)["at"], &notice(2)["evidence"]["requests"]),
        (&json!(now - 5 * HOUR), &json!(1020))
    );
    assert_eq!(notice(2)["evidence"]["meanPerHour"], 20.0);

    let before = client.ok(&format!("/api/v1/usage?startDate={}&endDate={}", now - 2 * DAY, now - DAY)).await;
    assert_eq!(kinds(&before), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faults_of_parameters_are_reported() {
    let (_, client) = shared().project().await;
    let wrong = client.get("/api/v1/usage?startDate=soon&interval=week").await;
    assert_eq!(
        details(&refused(wrong, 400, "invalid_parameter")),
        ["startDate bad_timestamp", "interval unknown_word"]
    );
    let long = client
        .get(&format!("/api/v1/usage?interval=minute&startDate={}", service::clock::now_ms() - 8 * DAY))
        .await;
    assert_eq!(details(&refused(long, 400, "invalid_parameter")), ["interval too_many_buckets"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_unknown_keys_are_delayed() {
    let stack = start_stack().await;
    let (_, client) = stack.project().await;
    let wrong = || Caller { url: stack.url.clone(), key: Some("nonsense".to_owned()) };
    let delayed = async || {
        let page = reqwest::get(format!("{}/metrics", stack.ops_url)).await.expect("an answer");
        let page = page.text().await.expect("text");
        let line =
            page.lines().find_map(|line| line.strip_prefix("tidemark_query_wrong_keys_delayed_total "));
        line.and_then(|count| count.parse::<u64>().ok()).expect("the metric")
    };
    for _ in 0..service::auth_throttle::FREE_ATTEMPTS {
        refused(wrong().get("/api/v1/metrics").await, 401, "invalid_key");
    }
    assert_eq!(delayed().await, 0, "a few wrong keys are not delayed");
    let many = 2 * service::auth_throttle::FREE_ATTEMPTS;
    let mut waiting: Vec<_> = (0..many)
        .map(|_| {
            let caller = wrong();
            tokio::spawn(async move { caller.get("/api/v1/metrics").await })
        })
        .collect();
    // On a stalled machine, some attempts may have expired meanwhile.
    until("most answers are delayed", async || delayed().await >= u64::from(many / 2)).await;
    client.ok("/api/v1/metrics").await;
    assert!(
        waiting.iter().any(|answer| !answer.is_finished()),
        "the valid key was delayed by the wrong ones"
    );
    let last = waiting.pop().expect("a request").await.expect("an answer");
    refused(last, 401, "invalid_key");
}
