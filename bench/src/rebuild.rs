//! A rebuild of the store beside running ingestion and reads: how long it takes, and that nothing is different afterwards.

use crate::backlog;
use e2e::{Client, Installation, Project, Result, client, wait};
use reqwest::StatusCode;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Between two reads.
const READ_EVERY: Duration = Duration::from_millis(50);
/// Metrics of a batch that is sent meanwhile.
const BATCH: u64 = 100;
/// How long the worker may take to store what is rebuilt.
const STORE: Duration = Duration::from_secs(300);

/// Prints rows a second. Fails if a read failed meanwhile, or the two generations differ afterwards.
pub async fn run(metrics: u64) -> Result<()> {
    let installation = Installation::start("bench", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    eprintln!("writing {metrics} metrics");
    let (topic, owner) = (installation.topics().metrics, project.project_id.clone());
    tokio::task::spawn_blocking(move || backlog::fill(&topic, &owner, metrics)).await??;
    let begun = Instant::now();
    while count(&installation, 1).await? < metrics {
        if begun.elapsed() > STORE {
            return Err("the worker did not store them in five minutes".into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    let stop = Arc::new(AtomicBool::new(false));
    let sender = send(client.clone(), project.clone(), stop.clone());
    let reader = read(client, project, stop.clone());
    let begun = Instant::now();
    let said = installation.run_command_ok(&["rebuild", "clickhouse"]).await?;
    let took = begun.elapsed().as_secs_f64();
    if !said.contains("queries read generation 2") {
        return Err(format!("the rebuild said: {said}").into());
    }
    stop.store(true, Ordering::Relaxed);
    let (sent, reads) = (sender.await??, reader.await??);
    let all = metrics + sent;
    wait::until("both generations have all", async || {
        let both = (count(&installation, 1).await?, count(&installation, 2).await?);
        Ok((both == (all, all)).then_some(()))
    })
    .await?;
    let (series, different) = compare(&installation).await?;
    if different > 0 {
        return Err(format!("{different} of {series} series differ").into());
    }
    println!(
        "rebuild: {metrics} metrics, {sent} more accepted and {reads} reads answered meanwhile, none failed"
    );
    println!("| rows/s | seconds | series equal in count, least, greatest and sum |\n|---|---|---|");
    println!("| {:.0} | {took:.1} | {series} |", metrics as f64 / took);
    Ok(())
}

fn database(installation: &Installation, generation: u32) -> String {
    format!("tidemark_{}_g{generation}", installation.namespace)
}

async fn count(installation: &Installation, generation: u32) -> Result<u64> {
    let sql = format!("SELECT count() FROM {}.points", database(installation, generation));
    Ok(installation.clickhouse()?.query(&sql).fetch_one().await?)
}

/// How many series there are, and how many of them the generations know differently; sums within rounding.
async fn compare(installation: &Installation) -> Result<(u64, u64)> {
    let known = |generation| {
        format!(
            "SELECT project_id, metric_id, count() AS n, min(value) AS low, max(value) AS high, sum(value) AS total \
             FROM {}.points GROUP BY project_id, metric_id",
            database(installation, generation)
        )
    };
    let sql = format!(
        "SELECT count(), countIf(a.n != b.n OR a.low != b.low OR a.high != b.high \
         OR abs(a.total - b.total) > 1e-9 * abs(a.total)) \
         FROM ({}) AS a FULL OUTER JOIN ({}) AS b USING (project_id, metric_id)",
        known(1),
        known(2)
    );
    Ok(installation.clickhouse()?.query(&sql).fetch_one().await?)
}

/// Sends batches until `stop`; gives how many metrics were accepted. One that is not accepted is a failure.
fn send(client: Client, project: Project, stop: Arc<AtomicBool>) -> JoinHandle<Result<u64>> {
    tokio::spawn(async move {
        let metrics: Vec<_> =
            (0..BATCH).map(|index| json!({"metricId": format!("live_{index}"), "value": index})).collect();
        let body = json!({"projectId": project.project_id, "metrics": metrics}).to_string();
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            let answer = client.send(0, &project.api_key, body.clone()).await?;
            client::expect(answer, StatusCode::OK).await?;
            sent += BATCH;
        }
        Ok(sent)
    })
}

/// Reads until `stop`; gives how many reads were answered. One that is not is a failure.
fn read(client: Client, project: Project, stop: Arc<AtomicBool>) -> JoinHandle<Result<u64>> {
    tokio::spawn(async move {
        let mut reads = 0;
        while !stop.load(Ordering::Relaxed) {
            let path = format!("/api/v1/metrics/metric_{}/timeseries?interval=hour", reads % backlog::SERIES);
            let series = client.get_json(&path, &project.manage_key).await?;
            if series["points"].as_array().is_none_or(Vec::is_empty) {
                return Err(format!("a read found nothing: {series}").into());
            }
            reads += 1;
            tokio::time::sleep(READ_EVERY).await;
        }
        Ok(reads)
    })
}
