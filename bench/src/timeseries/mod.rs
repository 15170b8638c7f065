//! Time series over a month, compared with VictoriaMetrics: the same points in both stores, and the same
//! queries over HTTP, in alternation. The benchmark fails if the answers differ.

mod data;
mod victoria_metrics;

use crate::statistics::quantile;
use data::{Data, GROUP, HOUR_MS, MINUTE_MS, POINTS_PER_DAY, Question, Range, STEP_MS, metric_id};
use e2e::{Client, Installation, Project, Result, client, wait};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use victoria_metrics::VictoriaMetrics;

/// Maximum time for ClickHouse to merge the inserted parts.
const MAX_MERGE_TIME: Duration = Duration::from_secs(600);

/// Prints p50 and p99 of each question for both stores, cold and warm.
pub async fn run(series: usize, days: i64, warm: usize) -> Result<()> {
    let installation = Installation::start("bench", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let data = Data { series, days, end_ms: service::clock::now_ms() / HOUR_MS * HOUR_MS };
    fill(&installation, &project, data).await?;
    start_chain(&client, &project).await?;
    let mut victoria = VictoriaMetrics::start(&installation.directory).await?;
    victoria.fill(data).await?;
    let parts: u64 = installation
        .clickhouse()?
        .query("SELECT count() FROM system.parts WHERE active AND database = currentDatabase() AND table = 'samples'")
        .fetch_one()
        .await?;

    println!(
        "timeseries: {series} series, a point every 30 s for {days} days, {} points; {parts} parts in ClickHouse",
        data.days * POINTS_PER_DAY * i64::try_from(series)?
    );
    println!("| query | | requests | p50 ms | p99 ms | VictoriaMetrics p50 ms | p99 ms | ratio of p50 |");
    println!("|---|---|---|---|---|---|---|---|");
    for question in &data::questions(data.days) {
        let comparison =
            Comparison { client: &client, project: &project, victoria: &victoria, data, question };
        // Cold: series that were not yet queried in this way.
        let mut cold = Latencies::default();
        for first in (0..data.series).step_by(question.series).take(100) {
            let (ours, theirs) = comparison.query_both(first, &mut cold).await?;
            comparison.check_equal(first, &ours, &theirs)?;
        }
        cold.print(question.name, "cold");
        let mut warm_latencies = Latencies::default();
        for _ in 0..warm {
            comparison.query_both(0, &mut warm_latencies).await?;
        }
        warm_latencies.print("", "warm");
    }
    println!(
        "total CPU s: query API {:.1}, VictoriaMetrics {:.1}",
        installation.query.cpu()?.as_secs_f64(),
        victoria.cpu_since_filled()?.as_secs_f64()
    );
    Ok(())
}

/// Inserts the points as a worker stores them, in a partition that no worker owns: one insert per day, with
/// all series.
async fn fill(installation: &Installation, project: &Project, data: Data) -> Result<()> {
    let clickhouse = installation.clickhouse()?;
    let (series, start, half) = (data.series, data.start_ms(), STEP_MS / 2);
    for day in 0..data.days {
        eprint!("\rClickHouse: day {} of {}", day + 1, data.days);
        let sql = format!(
            "INSERT INTO samples (kind, project_id, metric_id, time, value, received_at, partition, offset) \
             WITH number % {series} AS series, {day} * {POINTS_PER_DAY} + intDiv(number, {series}) AS step, \
             fromUnixTimestamp64Milli(toInt64({start} + step * {STEP_MS} + {half}), 'UTC') AS at \
             SELECT 'sample', '{}', concat('m', toString(series)), at, \
             ((series * 7919 + step * 104729) % 10007) / 10, at, 1000, {day} * {POINTS_PER_DAY} * {series} + number \
             FROM numbers({POINTS_PER_DAY} * {series})",
            project.project_id
        );
        clickhouse.query(&sql).execute().await?;
    }
    eprintln!();
    let started = Instant::now();
    loop {
        let merges: u64 = clickhouse.query("SELECT count() FROM system.merges").fetch_one().await?;
        if merges == 0 {
            return Ok(());
        }
        if started.elapsed() > MAX_MERGE_TIME {
            return Err("ClickHouse did not finish its merges within ten minutes".into());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Sends a metric through the gateway and waits until it is queryable. The query API caches nothing of a
/// store without chains.
async fn start_chain(client: &Client, project: &Project) -> Result<()> {
    let body = json!({"projectId": project.project_id, "metrics": [{"metricId": "first", "value": 1}]});
    client::expect(client.send(0, &project.api_key, body.to_string()).await?, StatusCode::OK).await?;
    wait::until("the first metric is queryable", async || {
        let path = "/api/v1/metrics/first/timeseries";
        Ok((client.get(path, &project.manage_key).await?.status() == StatusCode::OK).then_some(()))
    })
    .await
}

/// Latencies in milliseconds of the query API (`ours`) and VictoriaMetrics (`theirs`).
#[derive(Default)]
struct Latencies {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Latencies {
    fn print(&mut self, name: &str, state: &str) {
        let (ours, theirs) = (quantile(&mut self.ours, 0.5), quantile(&mut self.theirs, 0.5));
        println!(
            "| {name} | {state} | {} | {ours:.1} | {:.1} | {theirs:.1} | {:.1} | {:.2} |",
            self.ours.len(),
            quantile(&mut self.ours, 0.99),
            quantile(&mut self.theirs, 0.99),
            ours / theirs
        );
    }
}

/// Points of one series: start and value of each bucket.
type Points = Vec<(i64, f64)>;

/// Sends one question to both stores and compares the answers.
struct Comparison<'a> {
    client: &'a Client,
    project: &'a Project,
    victoria: &'a VictoriaMetrics,
    data: Data,
    question: &'a Question,
}

impl Comparison<'_> {
    /// Queries the series from `first` on in both stores. Returns the responses of the query API and of
    /// VictoriaMetrics.
    async fn query_both(&self, first: usize, latencies: &mut Latencies) -> Result<(String, Vec<String>)> {
        let started = Instant::now();
        let ours = self.query_ours(first).await?;
        latencies.ours.push(started.elapsed().as_secs_f64() * 1e3);
        let started = Instant::now();
        let theirs = self.victoria.query(&self.expressions(first), self.data.end_ms).await?;
        latencies.theirs.push(started.elapsed().as_secs_f64() * 1e3);
        Ok((ours, theirs))
    }

    /// Returns the queried series from `first` on, each with its range.
    fn series(&self, first: usize) -> impl Iterator<Item = (usize, Range)> {
        let all = first..(first + self.question.series).min(self.data.series);
        all.zip(self.question.ranges.iter().copied().cycle())
    }

    async fn query_ours(&self, first: usize) -> Result<String> {
        let queries: Vec<Value> =
            self.series(first).map(|(series, range)| range.query(series, self.data.end_ms)).collect();
        let body = json!({"queries": queries});
        let response = self.client.post("/api/v1/query", &self.project.manage_key, &body).await?;
        match response.status() {
            StatusCode::OK => Ok(response.text().await?),
            status => Err(format!("status {status} for {body}: {}", response.text().await?).into()),
        }
    }

    /// Returns the PromQL expressions of the question.
    fn expressions(&self, first: usize) -> Vec<(String, Range)> {
        let expression = |selector: String, range: Range| {
            let minutes = range.bucket_ms / MINUTE_MS;
            (format!("{}_over_time(m{{{selector}}}[{minutes}m])", range.aggregation), range)
        };
        if self.question.together {
            return vec![expression(format!("group=\"{}\"", first / GROUP), self.question.ranges[0])];
        }
        self.series(first).map(|(series, range)| expression(format!("series=\"{series}\""), range)).collect()
    }

    /// Fails unless both answers contain the same points for all queried series.
    fn check_equal(&self, first: usize, ours: &str, theirs: &[String]) -> Result<()> {
        let ours: Value = serde_json::from_str(ours)?;
        let ours = ours["results"].as_array().ok_or("the query API's response has no results")?;
        let theirs = victoria_metrics::points(theirs, &self.expressions(first))?;
        for ((series, range), result) in self.series(first).zip(ours) {
            let points: Points = result["points"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|point| Some((point["timestamp"].as_i64()?, point["value"].as_f64()?)))
                .collect();
            let theirs = theirs
                .get(&series)
                .ok_or_else(|| format!("{} is missing in VictoriaMetrics' response", metric_id(series)))?;
            let expected = usize::try_from(range.length_ms / range.bucket_ms)?;
            let same = |&(at, value): &(i64, f64)| {
                theirs.get(&at).is_some_and(|other| (other - value).abs() <= 1e-9 * value.abs())
            };
            if points.len() != expected || !points.iter().all(same) {
                return Err(format!(
                    "{} {range:?}: the answers differ ({} of {expected} points)",
                    metric_id(series),
                    points.len()
                )
                .into());
            }
        }
        Ok(())
    }
}
