//! What a project's reads cost while another one asks for as much as it can.

use crate::statistics::quantile;
use e2e::{Client, Installation, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const HEAVY_QUERIES: usize = 32;
const HOUR_MS: i64 = 3_600_000;

/// Prints the light project's p50 and p99, alone and beside the heavy one, and their ratio.
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
    // Quantiles are computed from every point.
    let (asked, dear) = (path("hour", "avg", 24), path("hour", "p99", 240));
    // Caches and connections are warm for both.
    client.get_json(&asked, &light.manage_key).await?;
    let begun = Instant::now();
    client.get_json(&dear, &heavy.manage_key).await?;
    let alone = begun.elapsed().as_secs_f64() * 1e3;
    let mut quiet = measure(&client, &asked, &light.manage_key, seconds).await?;

    let (stop, done, refused) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..HEAVY_QUERIES)
        .map(|_| {
            let (client, path, key) = (client.clone(), dear.clone(), heavy.manage_key.clone());
            let (stop, done, refused) = (stop.clone(), done.clone(), refused.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answered =
                        client.get(&path, &key).await.is_ok_and(|response| response.status() == 200);
                    if answered { &done } else { &refused }.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut loaded = measure(&client, &asked, &light.manage_key, seconds).await?;
    stop.store(true, Ordering::Relaxed);
    let (done, refused) = (done.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    for task in tasks {
        task.abort();
    }

    println!(
        "reads: {HEAVY_QUERIES} queries at once of one project (p99 of {points} points, {alone:.0} ms alone; {done} answered, {refused} refused), and another project's hours of a day"
    );
    println!("| | requests | p50 ms | p99 ms |\n|---|---|---|---|");
    let (alone, beside) = (quantile(&mut quiet, 0.99), quantile(&mut loaded, 0.99));
    println!("| alone | {} | {:.1} | {alone:.1} |", quiet.len(), quantile(&mut quiet, 0.5));
    println!("| beside | {} | {:.1} | {beside:.1} |", loaded.len(), quantile(&mut loaded, 0.5));
    println!(
        "| ratio | | {:.1} | {:.1} |",
        quantile(&mut loaded, 0.5) / quantile(&mut quiet, 0.5),
        beside / alone
    );
    Ok(())
}

/// How long each request took, one after the other, in milliseconds.
async fn measure(client: &Client, path: &str, key: &str, seconds: u64) -> Result<Vec<f64>> {
    let (begun, mut took) = (Instant::now(), Vec::new());
    while begun.elapsed() < Duration::from_secs(seconds) {
        let sent = Instant::now();
        client.get_json(path, key).await?;
        took.push(sent.elapsed().as_secs_f64() * 1e3);
    }
    Ok(took)
}

/// Points of ten days up to `end`, in a partition that no worker looks after.
async fn fill(installation: &Installation, project: &str, points: u64, end: i64) -> Result<()> {
    let sql = format!(
        "INSERT INTO samples (kind, project_id, metric_id, time, value, received_at, partition, offset) \
         SELECT 'sample', '{project}', 'm', \
         fromUnixTimestamp64Milli({end} - 1 - toInt64(number * 864000000 / {points}), 'UTC'), sin(number), \
         now64(3, 'UTC'), 1000, number FROM numbers({points})"
    );
    Ok(installation.clickhouse()?.query(&sql).execute().await?)
}
