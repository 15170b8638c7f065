//! Deletion of a metric and of a project.
//!
//! Invariants: once a DELETE is answered, no point whose 200 came before the DELETE is returned, and none comes
//! back through a retry, a killed worker or a rebuild; no point is lost that was sent after the answer or
//! belongs to another metric or project; rollups, catalogue and `last` agree with the points.

use e2e::client::OPERATOR_TOKEN;
use e2e::{Client, Installation, Project, Result, client, wait};
use reqwest::StatusCode;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

const DOOMED: &str = "/api/v1/metrics/doomed";

/// Body of a batch with the same value for two metrics, one of which is deleted.
fn batch(project: &Project, value: u64) -> String {
    let metric = |id: &str| json!({"metricId": id, "value": value});
    json!({"projectId": project.project_id, "metrics": [metric("doomed"), metric("kept")]}).to_string()
}

async fn send(client: &Client, project: &Project, values: std::ops::Range<u64>) -> Result<()> {
    for value in values {
        let response = client.send(0, &project.api_key, batch(project, value)).await?;
        client::expect(response, StatusCode::OK).await?;
    }
    Ok(())
}

async fn delete(client: &Client, path: &str, key: &str) -> Result<StatusCode> {
    Ok(client.delete(path, key).await?.status())
}

/// Returns up to 1000 values of a metric, as the query API returns them; none if there is no such metric.
async fn read(client: &Client, project: &Project, metric: &str) -> Result<Vec<u64>> {
    let path = format!("/api/v1/metrics/{metric}/points?limit=1000");
    let response = client.get(&path, &project.manage_key).await?;
    if response.status() == StatusCode::NOT_FOUND {
        return Ok(Vec::new());
    }
    let page = client::expect(response, StatusCode::OK).await?;
    let items = page["items"].as_array().ok_or("no items")?;
    Ok(items.iter().filter_map(|item| item["value"].as_f64()).map(|value| value as u64).collect())
}

/// Waits until the query API returns exactly these values of the metric `doomed`.
async fn wait_for_values(
    client: &Client,
    project: &Project,
    values: impl IntoIterator<Item = u64>,
) -> Result<()> {
    let expected: BTreeSet<u64> = values.into_iter().collect();
    wait::until(&format!("the points of the metric are {expected:?}"), async || {
        let values = read(client, project, "doomed").await?;
        let equal = values.len() == expected.len() && values.iter().all(|value| expected.contains(value));
        Ok(equal.then_some(()))
    })
    .await
}

/// Returns the values of a metric in the table of a generation.
async fn stored(
    installation: &Installation,
    generation: u32,
    project: &Project,
    metric: &str,
) -> Result<Vec<u64>> {
    let values: Vec<f64> = installation
        .clickhouse_generation(generation)?
        .query("SELECT value FROM points WHERE project_id = ? AND metric_id = ? ORDER BY value")
        .bind(&project.project_id)
        .bind(metric)
        .fetch_all()
        .await?;
    Ok(values.into_iter().map(|value| value as u64).collect())
}

/// Checks that the ClickHouse projections of a generation agree with its rows.
async fn check_projections(installation: &Installation, generation: u32) -> Result<()> {
    const POSITION: &str = "(time, received_at, partition, offset, index)";
    let rollup = format!(
        "SELECT toString(groupArray(row)) FROM (SELECT (project_id, metric_id, toStartOfHour(time), count(), sum(value), \
         min(value), max(value), argMax(value, {POSITION})) AS row FROM samples WHERE kind = 'sample' \
         GROUP BY kind, project_id, metric_id, toStartOfHour(time) ORDER BY row)"
    );
    let catalogue = format!(
        "SELECT toString(groupArray(row)) FROM (SELECT (project_id, metric_id, count(), min(received_at), \
         argMax(value, {POSITION})) AS row FROM samples WHERE kind = 'sample' \
         GROUP BY kind, project_id, metric_id ORDER BY row)"
    );
    let chain = "SELECT toString(groupArray(row)) FROM (SELECT (partition, count(), min(first_offset), max(last_offset)) \
                 AS row FROM samples WHERE kind = 'marker' GROUP BY kind, partition ORDER BY row)"
        .to_owned();
    let clickhouse = installation.clickhouse_generation(generation)?;
    for sql in [rollup, catalogue, chain] {
        let by_projection: String =
            clickhouse.query(&sql).with_setting("force_optimize_projection", "1").fetch_one().await?;
        let by_row: String =
            clickhouse.query(&sql).with_setting("optimize_use_projections", "0").fetch_one().await?;
        assert_eq!(by_projection, by_row, "{sql}");
    }
    Ok(())
}

/// Values that were sent and answered 200, relative to the DELETE.
#[derive(Default, Debug)]
struct Sent {
    /// Answered before the DELETE was sent.
    before: BTreeSet<u64>,
    /// Neither surely before nor surely after.
    during: BTreeSet<u64>,
    /// Sent after the DELETE was answered.
    after: BTreeSet<u64>,
}

const BEFORE: u8 = 0;
const DELETING: u8 = 1;
const DELETED: u8 = 2;
const FINISHED: u8 = 3;

/// Sends consecutive values until the phase is [`FINISHED`].
async fn keep_sending(
    client: Client,
    gateway: usize,
    project: Project,
    phase: Arc<AtomicU8>,
    next: Arc<AtomicU64>,
) -> Result<Sent> {
    let mut sent = Sent::default();
    loop {
        let phase_at_start = phase.load(Ordering::SeqCst);
        if phase_at_start == FINISHED {
            return Ok(sent);
        }
        let value = next.fetch_add(1, Ordering::SeqCst);
        let response = client.send(gateway, &project.api_key, batch(&project, value)).await?;
        client::expect(response, StatusCode::OK).await?;
        let values = match (phase_at_start, phase.load(Ordering::SeqCst)) {
            (BEFORE, BEFORE) => &mut sent.before,
            (DELETED.., _) => &mut sent.after,
            _ => &mut sent.during,
        };
        values.insert(value);
    }
}

/// Checks what is left of the deleted metric.
#[track_caller]
fn check_left(sent: &Sent, left: &[u64]) {
    let set: BTreeSet<u64> = left.iter().copied().collect();
    assert_eq!(set.len(), left.len(), "points are stored twice");
    assert!(sent.after.is_subset(&set), "lost: {:?}", sent.after.difference(&set).collect::<Vec<_>>());
    let undeleted: Vec<&u64> = sent.before.intersection(&set).collect();
    assert!(undeleted.is_empty(), "not deleted: {undeleted:?}");
    let was_sent = |value: &u64| sent.after.contains(value) || sent.during.contains(value);
    assert!(set.iter().all(was_sent), "points are stored that were not sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn metric_deleted_under_load_stays_deleted() -> Result<()> {
    let installation = Installation::start("deletion", 2, 2).await?;
    let client = installation.client();
    let (project, other) = (client.project("unlimited").await?, client.project("unlimited").await?);
    send(&client, &other, 0..20).await?;
    let (phase, next) = (Arc::new(AtomicU8::new(BEFORE)), Arc::new(AtomicU64::new(1)));
    let senders: Vec<_> = (0..3)
        .map(|gateway| keep_sending(client.clone(), gateway, project.clone(), phase.clone(), next.clone()))
        .map(tokio::spawn)
        .collect();
    wait::until("more than 300 points are stored", async || {
        Ok((stored(&installation, 1, &project, "doomed").await?.len() > 300).then_some(()))
    })
    .await?;

    phase.store(DELETING, Ordering::SeqCst);
    assert_eq!(delete(&client, DOOMED, &project.manage_key).await?, StatusCode::NO_CONTENT);
    let first_after = next.load(Ordering::SeqCst);
    phase.store(DELETED, Ordering::SeqCst);
    let mut returned = Vec::new();
    wait::until("the deletion is applied, and later points are returned", async || {
        let values = read(&client, &project, "doomed").await?;
        let newest = values.iter().max().copied().unwrap_or(0);
        returned.extend(values);
        let logs: String = installation.workers.iter().map(e2e::Process::log).collect();
        Ok((newest >= first_after + 200 && logs.contains("applied deletions")).then_some(()))
    })
    .await?;
    phase.store(FINISHED, Ordering::SeqCst);
    let mut sent = Sent::default();
    for sender in senders {
        let part = sender.await??;
        sent.before.extend(part.before);
        sent.during.extend(part.during);
        sent.after.extend(part.after);
    }
    let deleted: Vec<&u64> = returned.iter().filter(|value| sent.before.contains(value)).collect();
    assert!(deleted.is_empty(), "deleted points were returned: {deleted:?}");
    assert!(!sent.before.is_empty() && !sent.after.is_empty());

    let kept: BTreeSet<u64> = sent.before.iter().chain(&sent.during).chain(&sent.after).copied().collect();
    wait::until("everything is stored", async || {
        Ok((stored(&installation, 1, &project, "kept").await?.len() == kept.len()).then_some(()))
    })
    .await?;
    let left = stored(&installation, 1, &project, "doomed").await?;
    check_left(&sent, &left);
    let output = installation.run_command_ok(&["verify"]).await?;
    assert!(output.contains("matches the log"), "{output}");
    let output = installation.run_command_ok(&["rebuild", "clickhouse", "--drop-old"]).await?;
    assert!(
        output.contains("the generations are equal") && output.contains("generation 1 dropped"),
        "{output}"
    );
    assert_eq!(stored(&installation, 2, &project, "doomed").await?, left);
    let kept: Vec<u64> = kept.into_iter().collect();
    assert_eq!(stored(&installation, 2, &project, "kept").await?, kept);
    assert_eq!(stored(&installation, 2, &other, "doomed").await?, (0..20).collect::<Vec<_>>());
    check_projections(&installation, 2).await?;
    let output = installation.run_command_ok(&["verify"]).await?;
    assert!(output.contains("generation 2 matches the log"), "{output}");
    check_reads(&client, &project, &left).await
}

/// Checks that catalogue and time series of the metric `doomed` agree with the stored values.
async fn check_reads(client: &Client, project: &Project, stored: &[u64]) -> Result<()> {
    let metric = client.get_json(DOOMED, &project.manage_key).await?;
    assert_eq!(metric["points"], stored.len());
    let path = format!("{DOOMED}/timeseries?aggregation=sum&interval=day");
    let days = client.get_json(&path, &project.manage_key).await?;
    let days = days["points"].as_array().ok_or("no points")?;
    let sum: f64 = days.iter().filter_map(|point| point["value"].as_f64()).sum();
    assert_eq!(sum as u64, stored.iter().sum::<u64>());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_survives_a_killed_worker() -> Result<()> {
    let mut installation = Installation::start("deletion_killed", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    send(&client, &project, 0..20).await?;
    let keyed = batch(&project, 20);
    let first = client.send_idempotent(0, &project.api_key, "once", keyed.clone()).await?;
    client::expect(first, StatusCode::OK).await?;
    wait_for_values(&client, &project, 0..21).await?;

    // Some points are stored, some are only in Kafka; all are below the cut-off offsets.
    installation.workers[0].kill()?;
    send(&client, &project, 21..40).await?;
    assert_eq!(delete(&client, DOOMED, &project.manage_key).await?, StatusCode::NO_CONTENT);
    assert_eq!(delete(&client, DOOMED, &project.manage_key).await?, StatusCode::NOT_FOUND);
    wait_for_values(&client, &project, []).await?;
    let repeat = client.send_idempotent(0, &project.api_key, "once", keyed).await?;
    client::expect(repeat, StatusCode::OK).await?;
    send(&client, &project, 100..110).await?;

    // The engine cannot finish its mutation, so that the worker is killed while it applies the deletion.
    let engine = installation.clickhouse()?;
    engine.query("SYSTEM STOP MERGES samples").execute().await?;
    installation.workers[0].restart()?;
    wait::until("the deletion is being applied", async || {
        let values = read(&client, &project, "doomed").await?;
        assert!(values.iter().all(|value| *value >= 100), "deleted points were returned: {values:?}");
        let mutations: u64 = engine
            .query("SELECT count() FROM system.mutations WHERE database = ? AND NOT is_done")
            .bind(installation.database(1))
            .fetch_one()
            .await?;
        Ok((mutations > 0).then_some(()))
    })
    .await?;
    wait_for_values(&client, &project, 100..110).await?;
    installation.workers[0].kill()?;
    wait_for_values(&client, &project, 100..110).await?;
    engine.query("SYSTEM START MERGES samples").execute().await?;
    installation.workers[0].restart()?;
    wait::until("the deleted points are removed from the table", async || {
        let left = stored(&installation, 1, &project, "doomed").await?;
        Ok((left == (100..110).collect::<Vec<_>>()).then_some(()))
    })
    .await?;
    wait_for_values(&client, &project, 100..110).await?;
    assert_eq!(stored(&installation, 1, &project, "kept").await?.len(), 50);
    check_projections(&installation, 1).await?;
    let metric = client.get_json(DOOMED, &project.manage_key).await?;
    assert_eq!((&metric["points"], &metric["lastValue"]), (&json!(10), &json!(109.0)));

    // The metric is deleted and recreated a second time.
    assert_eq!(delete(&client, DOOMED, &project.manage_key).await?, StatusCode::NO_CONTENT);
    send(&client, &project, 200..203).await?;
    wait_for_values(&client, &project, 200..203).await?;
    wait::until("the points deleted second are removed from the table", async || {
        Ok((stored(&installation, 1, &project, "doomed").await? == [200, 201, 202]).then_some(()))
    })
    .await?;
    let output = installation.run_command_ok(&["rebuild", "clickhouse", "--drop-old"]).await?;
    assert!(output.contains("the generations are equal"), "{output}");
    assert_eq!(stored(&installation, 2, &project, "doomed").await?, [200, 201, 202]);
    wait_for_values(&client, &project, 200..203).await
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_project_is_removed_and_others_keep_their_data() -> Result<()> {
    let installation = Installation::start("project_removed", 1, 1).await?;
    let client = installation.client();
    let (project, other) = (client.project("unlimited").await?, client.project("unlimited").await?);
    send(&client, &project, 0..20).await?;
    send(&client, &other, 0..20).await?;
    let keyed = client.send_idempotent(0, &project.api_key, "once", batch(&project, 20)).await?;
    client::expect(keyed, StatusCode::OK).await?;
    wait_for_values(&client, &project, 0..21).await?;
    // Receipts of idempotency keys stay after a deletion.
    let receipts = async |generation| -> Result<u64> {
        let receipts = "SELECT count() FROM samples WHERE kind = 'receipt'";
        Ok(installation.clickhouse_generation(generation)?.query(receipts).fetch_one().await?)
    };
    assert_eq!(receipts(1).await?, 1);

    let path = format!("/api/v1/projects/{}", project.project_id);
    assert_eq!(delete(&client, &path, OPERATOR_TOKEN).await?, StatusCode::NO_CONTENT);
    assert_eq!(delete(&client, &path, OPERATOR_TOKEN).await?, StatusCode::NOT_FOUND);
    wait::until("the project's points are removed from the table", async || {
        let left = [
            stored(&installation, 1, &project, "doomed").await?,
            stored(&installation, 1, &project, "kept").await?,
        ];
        Ok(left.iter().all(Vec::is_empty).then_some(()))
    })
    .await?;
    wait::until("the project's key is refused", async || {
        let response = client.get("/api/v1/metrics", &project.manage_key).await?;
        Ok((response.status() == StatusCode::UNAUTHORIZED).then_some(()))
    })
    .await?;
    let output = installation.run_command_ok(&["verify"]).await?;
    assert!(output.contains("matches the log: 40 metrics of 1 projects"), "{output}");
    let output = installation.run_command_ok(&["rebuild", "clickhouse", "--drop-old"]).await?;
    assert!(output.contains("the generations are equal"), "{output}");
    assert_eq!(stored(&installation, 2, &project, "kept").await?, [0u64; 0]);
    assert_eq!(stored(&installation, 2, &other, "kept").await?, (0..20).collect::<Vec<_>>());
    assert_eq!(receipts(2).await?, 1);
    check_projections(&installation, 2).await?;
    wait_for_values(&client, &other, 0..20).await
}
