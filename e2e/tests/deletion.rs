//! Deletion of a metric and of a project, on the whole pipeline.
//!
//! What may never happen: a point whose 200 came before the DELETE is shown once that was answered, or comes back by a
//! retry, a killed worker, a rebuild; a point that was sent after the answer, or belongs to another metric or project, is
//! lost; rollups, catalogue or `last` say anything else than the points.

use e2e::installation::OPERATOR_TOKEN;
use e2e::{Client, Installation, Project, Result, client, wait};
use reqwest::StatusCode;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

const DOOMED: &str = "/api/v1/metrics/doomed";

fn batch(project: &Project, value: u64) -> String {
    let metric = |id: &str| json!({"metricId": id, "value": value});
    json!({"projectId": project.project_id, "metrics": [metric("doomed"), metric("kept")]}).to_string()
}

async fn send(client: &Client, project: &Project, values: std::ops::Range<u64>) -> Result<()> {
    for value in values {
        client::expect(client.send(0, &project.api_key, batch(project, value)).await?, StatusCode::OK)
            .await?;
    }
    Ok(())
}

async fn delete(client: &Client, path: &str, key: &str) -> Result<StatusCode> {
    Ok(client.delete(path, key).await?.status())
}

/// What the API shows of a metric, up to a page; nothing if there is no such metric.
async fn shown(client: &Client, project: &Project, metric: &str) -> Result<Vec<u64>> {
    let path = format!("/api/v1/metrics/{metric}/points?limit=1000");
    let answer = client.get(&path, &project.manage_key).await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(Vec::new());
    }
    let page = client::expect(answer, StatusCode::OK).await?;
    let items = page["items"].as_array().ok_or("no items")?;
    Ok(items.iter().filter_map(|item| item["value"].as_f64()).map(|value| value as u64).collect())
}

async fn shows(client: &Client, project: &Project, values: impl IntoIterator<Item = u64>) -> Result<()> {
    let wanted: BTreeSet<u64> = values.into_iter().collect();
    wait::until(&format!("{wanted:?} are shown"), async || {
        let shown = shown(client, project, "doomed").await?;
        Ok((shown.len() == wanted.len() && shown.iter().all(|value| wanted.contains(value))).then_some(()))
    })
    .await
}

fn store(installation: &Installation, generation: u32) -> Result<clickhouse::Client> {
    let database = format!("tidemark_{}_g{generation}", installation.namespace);
    Ok(installation.clickhouse()?.with_database(database))
}

/// The values that a generation holds of a metric, as they lie in the table.
async fn stored(
    installation: &Installation,
    generation: u32,
    project: &Project,
    metric: &str,
) -> Result<Vec<u64>> {
    let values: Vec<f64> = store(installation, generation)?
        .query("SELECT value FROM points WHERE project_id = ? AND metric_id = ? ORDER BY value")
        .bind(&project.project_id)
        .bind(metric)
        .fetch_all()
        .await?;
    Ok(values.into_iter().map(|value| value as u64).collect())
}

/// The projections say what the rows say.
async fn agrees(installation: &Installation, generation: u32) -> Result<()> {
    const PLACE: &str = "(time, received_at, partition, offset, index)";
    let rollup = format!(
        "SELECT toString(groupArray(row)) FROM (SELECT (project_id, metric_id, toStartOfHour(time), count(), sum(value), \
         min(value), max(value), argMax(value, {PLACE})) AS row FROM samples WHERE kind = 'sample' \
         GROUP BY kind, project_id, metric_id, toStartOfHour(time) ORDER BY row)"
    );
    let catalogue = format!(
        "SELECT toString(groupArray(row)) FROM (SELECT (project_id, metric_id, count(), min(received_at), \
         argMax(value, {PLACE})) AS row FROM samples WHERE kind = 'sample' \
         GROUP BY kind, project_id, metric_id ORDER BY row)"
    );
    let chain = "SELECT toString(groupArray(row)) FROM (SELECT (partition, count(), min(first_offset), max(last_offset)) \
                 AS row FROM samples WHERE kind = 'marker' GROUP BY kind, partition ORDER BY row)"
        .to_owned();
    let store = store(installation, generation)?;
    for sql in [rollup, catalogue, chain] {
        let by_projection: String =
            store.query(&sql).with_setting("force_optimize_projection", "1").fetch_one().await?;
        let by_row: String =
            store.query(&sql).with_setting("optimize_use_projections", "0").fetch_one().await?;
        assert_eq!(by_projection, by_row, "{sql}");
    }
    Ok(())
}

/// What senders sent of one metric, by what was known of the deletion.
#[derive(Default, Debug)]
struct Sent {
    /// Answered before the DELETE was sent.
    before: BTreeSet<u64>,
    /// Answered, and neither surely before nor surely after.
    meanwhile: BTreeSet<u64>,
    /// Sent after the DELETE was answered.
    after: BTreeSet<u64>,
}

const BEFORE: u8 = 0;
const DELETING: u8 = 1;
const DELETED: u8 = 2;
const OVER: u8 = 3;

/// Sends numbers until it is over.
async fn keep_sending(
    client: Client,
    gateway: usize,
    project: Project,
    phase: Arc<AtomicU8>,
    next: Arc<AtomicU64>,
) -> Result<Sent> {
    let mut sent = Sent::default();
    loop {
        let begun = phase.load(Ordering::SeqCst);
        if begun == OVER {
            return Ok(sent);
        }
        let value = next.fetch_add(1, Ordering::SeqCst);
        let answer = client.send(gateway, &project.api_key, batch(&project, value)).await?;
        client::expect(answer, StatusCode::OK).await?;
        let values = match (begun, phase.load(Ordering::SeqCst)) {
            (BEFORE, BEFORE) => &mut sent.before,
            (DELETED.., _) => &mut sent.after,
            _ => &mut sent.meanwhile,
        };
        values.insert(value);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metric_deleted_under_writes_is_gone_for_good_and_its_successor_is_whole() -> Result<()> {
    let installation = Installation::start("deletion", 2, 2).await?;
    let client = installation.client();
    let (project, other) = (client.project("unlimited").await?, client.project("unlimited").await?);
    send(&client, &other, 0..20).await?;
    let (phase, next) = (Arc::new(AtomicU8::new(BEFORE)), Arc::new(AtomicU64::new(1)));
    let senders: Vec<_> = (0..3)
        .map(|gateway| keep_sending(client.clone(), gateway, project.clone(), phase.clone(), next.clone()))
        .map(tokio::spawn)
        .collect();
    wait::until("some hundred points are stored", async || {
        Ok((stored(&installation, 1, &project, "doomed").await?.len() > 300).then_some(()))
    })
    .await?;

    phase.store(DELETING, Ordering::SeqCst);
    assert_eq!(delete(&client, DOOMED, &project.manage_key).await?, StatusCode::NO_CONTENT);
    let first_after = next.load(Ordering::SeqCst);
    phase.store(DELETED, Ordering::SeqCst);
    let mut looks = Vec::new();
    wait::until("the deletion is applied, and successors are shown", async || {
        let shown = shown(&client, &project, "doomed").await?;
        let newest = shown.iter().max().copied().unwrap_or(0);
        looks.extend(shown);
        let logs: String = installation.workers.iter().map(e2e::Process::log).collect();
        Ok((newest >= first_after + 200 && logs.contains("applied deletions")).then_some(()))
    })
    .await?;
    phase.store(OVER, Ordering::SeqCst);
    let mut sent = Sent::default();
    for sender in senders {
        let part = sender.await??;
        sent.before.extend(part.before);
        sent.meanwhile.extend(part.meanwhile);
        sent.after.extend(part.after);
    }
    let shown_old: Vec<&u64> = looks.iter().filter(|value| sent.before.contains(value)).collect();
    assert!(shown_old.is_empty(), "deleted points were shown: {shown_old:?}");
    assert!(!sent.before.is_empty() && !sent.after.is_empty());

    let all: Vec<u64> = sent.before.iter().chain(&sent.meanwhile).chain(&sent.after).copied().collect();
    let kept: BTreeSet<u64> = all.iter().copied().collect();
    wait::until("everything is stored", async || {
        Ok((stored(&installation, 1, &project, "kept").await?.len() == all.len()).then_some(()))
    })
    .await?;
    let left = stored(&installation, 1, &project, "doomed").await?;
    check_successor(&sent, &left);
    let said = installation.commanded(&["verify"]).await?;
    assert!(said.contains("is what the log says"), "{said}");
    let said = installation.commanded(&["rebuild", "clickhouse", "--drop-old"]).await?;
    assert!(said.contains("the generations are equal") && said.contains("generation 1 is gone"), "{said}");
    assert_eq!(stored(&installation, 2, &project, "doomed").await?, left);
    let kept_values: Vec<u64> = kept.into_iter().collect();
    assert_eq!(stored(&installation, 2, &project, "kept").await?, kept_values);
    assert_eq!(stored(&installation, 2, &other, "doomed").await?, (0..20).collect::<Vec<_>>());
    agrees(&installation, 2).await?;
    let said = installation.commanded(&["verify"]).await?;
    assert!(said.contains("generation 2 is what the log says"), "{said}");

    // What the API says follows from what is stored.
    let metric = client.read(DOOMED, &project.manage_key).await?;
    assert_eq!(metric["points"], left.len());
    let path = format!("{DOOMED}/timeseries?aggregation=sum&interval=day");
    let days = client.read(&path, &project.manage_key).await?;
    let days = days["points"].as_array().ok_or("no points")?;
    let sum: f64 = days.iter().filter_map(|point| point["value"].as_f64()).sum();
    assert_eq!(sum as u64, left.iter().sum::<u64>());
    Ok(())
}

#[track_caller]
fn check_successor(sent: &Sent, left: &[u64]) {
    let set: BTreeSet<u64> = left.iter().copied().collect();
    assert_eq!(set.len(), left.len(), "stored twice");
    assert!(sent.after.is_subset(&set), "lost: {:?}", sent.after.difference(&set).collect::<Vec<_>>());
    let back: Vec<&u64> = sent.before.intersection(&set).collect();
    assert!(back.is_empty(), "not deleted: {back:?}");
    let known = |value: &u64| sent.after.contains(value) || sent.meanwhile.contains(value);
    assert!(set.iter().all(known), "never sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_outlives_the_worker_that_was_killed_over_it() -> Result<()> {
    let mut installation = Installation::start("deletion_killed", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    send(&client, &project, 0..20).await?;
    let keyed = batch(&project, 20);
    let first = client.send_once(0, &project.api_key, "once", keyed.clone()).await?;
    client::expect(first, StatusCode::OK).await?;
    shows(&client, &project, 0..21).await?;

    // Some are stored, some lie in Kafka alone; all are below the cut.
    installation.workers[0].kill()?;
    send(&client, &project, 21..40).await?;
    assert_eq!(delete(&client, DOOMED, &project.manage_key).await?, StatusCode::NO_CONTENT);
    assert_eq!(delete(&client, DOOMED, &project.manage_key).await?, StatusCode::NOT_FOUND);
    shows(&client, &project, []).await?;
    let again = client.send_once(0, &project.api_key, "once", keyed).await?;
    client::expect(again, StatusCode::OK).await?;
    send(&client, &project, 100..110).await?;

    // The engine is held up, so that the worker is killed in the middle of the deleting.
    let engine = installation.clickhouse()?;
    engine.query("SYSTEM STOP MERGES samples").execute().await?;
    installation.workers[0].restart()?;
    wait::until("deleting has begun", async || {
        let shown = shown(&client, &project, "doomed").await?;
        assert!(shown.iter().all(|value| *value >= 100), "deleted points were shown: {shown:?}");
        let begun: u64 = engine
            .query("SELECT count() FROM system.mutations WHERE database = ? AND NOT is_done")
            .bind(installation.database())
            .fetch_one()
            .await?;
        Ok((begun > 0).then_some(()))
    })
    .await?;
    shows(&client, &project, 100..110).await?;
    installation.workers[0].kill()?;
    shows(&client, &project, 100..110).await?;
    engine.query("SYSTEM START MERGES samples").execute().await?;
    installation.workers[0].restart()?;
    wait::until("the deleted points are gone", async || {
        Ok((stored(&installation, 1, &project, "doomed").await? == (100..110).collect::<Vec<_>>())
            .then_some(()))
    })
    .await?;
    shows(&client, &project, 100..110).await?;
    assert_eq!(stored(&installation, 1, &project, "kept").await?.len(), 50);
    agrees(&installation, 1).await?;
    let metric = client.read(DOOMED, &project.manage_key).await?;
    assert_eq!((&metric["points"], &metric["lastValue"]), (&json!(10), &json!(109.0)));

    // Once more: the successor is deleted, and has one too.
    assert_eq!(delete(&client, DOOMED, &project.manage_key).await?, StatusCode::NO_CONTENT);
    send(&client, &project, 200..203).await?;
    shows(&client, &project, 200..203).await?;
    wait::until("the successor's points are gone too", async || {
        Ok((stored(&installation, 1, &project, "doomed").await? == [200, 201, 202]).then_some(()))
    })
    .await?;
    let said = installation.commanded(&["rebuild", "clickhouse", "--drop-old"]).await?;
    assert!(said.contains("the generations are equal"), "{said}");
    assert_eq!(stored(&installation, 2, &project, "doomed").await?, [200, 201, 202]);
    shows(&client, &project, 200..203).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_project_leaves_nothing_but_what_keeps_the_chain_and_no_other_project_loses() -> Result<()>
{
    let installation = Installation::start("project_removed", 1, 1).await?;
    let client = installation.client();
    let (project, other) = (client.project("unlimited").await?, client.project("unlimited").await?);
    send(&client, &project, 0..20).await?;
    send(&client, &other, 0..20).await?;
    let keyed = client.send_once(0, &project.api_key, "once", batch(&project, 20)).await?;
    client::expect(keyed, StatusCode::OK).await?;
    shows(&client, &project, 0..21).await?;
    let receipts = async |generation| -> Result<u64> {
        let receipts = "SELECT count() FROM samples WHERE kind = 'receipt'";
        Ok(store(&installation, generation)?.query(receipts).fetch_one().await?)
    };
    assert_eq!(receipts(1).await?, 1);

    let path = format!("/api/v1/projects/{}", project.project_id);
    assert_eq!(delete(&client, &path, OPERATOR_TOKEN).await?, StatusCode::NO_CONTENT);
    assert_eq!(delete(&client, &path, OPERATOR_TOKEN).await?, StatusCode::NOT_FOUND);
    wait::until("its points are gone", async || {
        let left = [
            stored(&installation, 1, &project, "doomed").await?,
            stored(&installation, 1, &project, "kept").await?,
        ];
        Ok(left.iter().all(Vec::is_empty).then_some(()))
    })
    .await?;
    wait::until("its key is refused", async || {
        let answer = client.get("/api/v1/metrics", &project.manage_key).await?;
        Ok((answer.status() == StatusCode::UNAUTHORIZED).then_some(()))
    })
    .await?;
    let said = installation.commanded(&["verify"]).await?;
    assert!(said.contains("is what the log says: 40 metrics of 1 projects"), "{said}");
    let said = installation.commanded(&["rebuild", "clickhouse", "--drop-old"]).await?;
    assert!(said.contains("the generations are equal"), "{said}");
    assert_eq!(stored(&installation, 2, &project, "kept").await?, [0u64; 0]);
    assert_eq!(stored(&installation, 2, &other, "kept").await?, (0..20).collect::<Vec<_>>());
    assert_eq!(receipts(2).await?, 1);
    agrees(&installation, 2).await?;
    shows(&client, &other, 0..20).await
}
