//! Latency of one project's reads while another project sends as many expensive queries as possible.

use crate::statistics::quantile;
use e2e::{Client, Installation, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Number of concurrent queries of the heavy project.
const HEAVY_QUERIES: usize = 32;
const HOUR_MS: i64 = 3_600_000;

/// Prints p50 and p99 of the light project's reads, without and with the load of the heavy project, and their
/// ratios.
pub async fn run(seconds: u64, points: u64) -> Result<()> {
    let installation = Installation::start("bench", 0, 1).await?;
    let client = installation.client();
    let (heavy, light) = (client.project("unlimited").await?, client.project("unlimited").await?);
    let end = service::clock::now_ms() / HOUR_MS * HOUR_MS;
    fill(&installation, &heavy.project_id, points, end).await?;
    fill(&installation, &light.project_id, 100_000, end).await?;
    let path = |interval: &str, aggregation: &str, hours: i64| {
        format!(
            "/api/v1/metrics/m/timeseries?startDate={}&endDate={end}&interval={interval}&aggregation={aggregation}",
            end - hours * HOUR_MS
        )
    };
    // A quantile is expensive because it is computed from all points.
    let (cheap, expensive) = (path("hour", "avg", 24), path("hour", "p99", 240));
    // Warm up caches and connections for both projects.
    client.get_json(&cheap, &light.manage_key).await?;
    let started = Instant::now();
    client.get_json(&expensive, &heavy.manage_key).await?;
    let expensive_ms = started.elapsed().as_secs_f64() * 1e3;
    let mut unloaded = measure(&client, &cheap, &light.manage_key, seconds).await?;

    let (stop, answered, rejected) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..HEAVY_QUERIES)
        .map(|_| {
            let (client, path, key) = (client.clone(), expensive.clone(), heavy.manage_key.clone());
            let (stop, answered, rejected) = (stop.clone(), answered.clone(), rejected.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let ok = client.get(&path, &key).await.is_ok_and(|response| response.status() == 200);
                    if ok { &answered } else { &rejected }.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut loaded = measure(&client, &cheap, &light.manage_key, seconds).await?;
    stop.store(true, Ordering::Relaxed);
    let (answered, rejected) = (answered.load(Ordering::Relaxed), rejected.load(Ordering::Relaxed));
    for task in tasks {
        task.abort();
    }

    println!(
        "reads: {HEAVY_QUERIES} concurrent queries of one project (p99 of {points} points, {expensive_ms:.0} ms without load; {answered} answered, {rejected} rejected), and another project's day by hour"
    );
    println!("| load | requests | p50 ms | p99 ms |\n|---|---|---|---|");
    let p50 = (quantile(&mut unloaded, 0.5), quantile(&mut loaded, 0.5));
    let p99 = (quantile(&mut unloaded, 0.99), quantile(&mut loaded, 0.99));
    println!("| none | {} | {:.1} | {:.1} |", unloaded.len(), p50.0, p99.0);
    println!("| heavy | {} | {:.1} | {:.1} |", loaded.len(), p50.1, p99.1);
    println!("| ratio | | {:.1} | {:.1} |", p50.1 / p50.0, p99.1 / p99.0);
    Ok(())
}

/// Sends requests one after the other and returns their latencies in milliseconds.
async fn measure(client: &Client, path: &str, key: &str, seconds: u64) -> Result<Vec<f64>> {
    let (started, mut latencies) = (Instant::now(), Vec::new());
    while started.elapsed() < Duration::from_secs(seconds) {
        let sent = Instant::now();
        client.get_json(path, key).await?;
        latencies.push(sent.elapsed().as_secs_f64() * 1e3);
    }
    Ok(latencies)
}

/// Inserts points of the ten days before `end`, in a partition that no worker owns.
async fn fill(installation: &Installation, project: &str, points: u64, end: i64) -> Result<()> {
    let sql = format!(
        "INSERT INTO samples (kind, project_id, metric_id, time, value, received_at, partition, offset) \
         SELECT 'sample', '{project}', 'm', \
         fromUnixTimestamp64Milli({end} - 1 - toInt64(number * 864000000 / {points}), 'UTC'), sin(number), \
         now64(3, 'UTC'), 1000, number FROM numbers({points})"
    );
    Ok(installation.clickhouse()?.query(&sql).execute().await?)
}
