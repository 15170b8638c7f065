//! Time series over a month, beside VictoriaMetrics: the same points in both stores, the same questions over HTTP, asked
//! in turn. Both must give the same answer, or the benchmark fails.

mod victoria_metrics;

use crate::statistics::quantile;
use e2e::{Client, Installation, Project, Result, client, wait};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use victoria_metrics::VictoriaMetrics;

/// Between two points of a series.
const STEP_MS: i64 = 30_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Points of one series in a day.
const POINTS_A_DAY: i64 = DAY_MS / STEP_MS;
/// So many series are asked for together.
const GROUP: usize = 50;
const WIDGETS: usize = 20;
/// How long the store may take to put together what was inserted.
const MERGE: Duration = Duration::from_secs(600);

/// What both stores are filled with: `series` series with a point every 30 seconds, `days` days up to `end_ms`.
#[derive(Debug, Clone, Copy)]
struct Data {
    series: usize,
    days: i64,
    end_ms: i64,
}

impl Data {
    fn start_ms(self) -> i64 {
        self.end_ms - self.days * DAY_MS
    }

    /// In the middle of its step, so that it makes no difference which end of a range belongs to it.
    fn time_ms(self, index: i64) -> i64 {
        self.start_ms() + index * STEP_MS + STEP_MS / 2
    }

    /// The same as in the SQL of [`fill`].
    fn value(series: usize, index: i64) -> f64 {
        ((i64::try_from(series).unwrap_or_default() * 7919 + index * 104_729) % 10_007) as f64 / 10.0
    }
}

/// A series over a range up to the data's end, in buckets.
#[derive(Debug, Clone, Copy)]
struct Range {
    length_ms: i64,
    bucket_ms: i64,
    aggregation: &'static str,
}

impl Range {
    const fn of(length_ms: i64, bucket_ms: i64, aggregation: &'static str) -> Self {
        Self { length_ms, bucket_ms, aggregation }
    }

    fn query(self, series: usize, end_ms: i64) -> Value {
        json!({
            "metricId": metric_id(series), "aggregation": self.aggregation,
            "interval": if self.bucket_ms == HOUR_MS { "hour" } else { "minute" },
            "startDate": end_ms - self.length_ms, "endDate": end_ms,
        })
    }
}

/// One thing to ask for.
struct Question {
    name: &'static str,
    /// The ranges of the first and each further series, counted around.
    ranges: Vec<Range>,
    /// How many series.
    series: usize,
    /// VictoriaMetrics is asked once for all of them, rather than once for each.
    together: bool,
}

/// Prints p50 and p99 of each question, cold and warm, of both.
pub async fn run(series: usize, days: i64, warm: usize) -> Result<()> {
    let installation = Installation::start("bench", 1, 1).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let data = Data { series, days, end_ms: service::clock::now_ms() / HOUR_MS * HOUR_MS };
    fill(&installation, &project, data).await?;
    begin_chains(&client, &project).await?;
    let mut other = VictoriaMetrics::start(&installation.directory).await?;
    other.fill(data).await?;
    let parts: u64 = installation
        .clickhouse()?
        .query("SELECT count() FROM system.parts WHERE active AND database = currentDatabase() AND table = 'samples'")
        .fetch_one()
        .await?;

    let month = data.days * DAY_MS;
    let mixed = [
        Range::of(HOUR_MS, MINUTE_MS, "avg"),
        Range::of(DAY_MS, MINUTE_MS, "max"),
        Range::of(DAY_MS.max(month / 4), HOUR_MS, "sum"),
        Range::of(month, HOUR_MS, "min"),
    ];
    let questions = [
        Question {
            name: "one series, all days by hour",
            ranges: vec![Range::of(month, HOUR_MS, "avg")],
            series: 1,
            together: false,
        },
        Question {
            name: "one series, a day by minute",
            ranges: vec![Range::of(DAY_MS, MINUTE_MS, "avg")],
            series: 1,
            together: false,
        },
        Question {
            name: "50 series, all days by hour",
            ranges: vec![Range::of(month, HOUR_MS, "avg")],
            series: GROUP,
            together: true,
        },
        Question {
            name: "a dashboard of 20 widgets",
            ranges: mixed.to_vec(),
            series: WIDGETS,
            together: false,
        },
    ];
    println!(
        "timeseries: {series} series, a point every 30 s for {days} days, {} points; {parts} parts in ClickHouse",
        data.days * POINTS_A_DAY * i64::try_from(series)?
    );
    println!("| asked for | | asked | p50 ms | p99 ms | VictoriaMetrics p50 ms | p99 ms | ratio of p50 |");
    println!("|---|---|---|---|---|---|---|---|");
    for question in &questions {
        let asker = Asker { client: &client, project: &project, other: &other, data, question };
        // Series that nobody has asked this for.
        let mut cold = Times::default();
        for first in (0..data.series).step_by(question.series).take(100) {
            let (ours, theirs) = asker.ask(first, &mut cold).await?;
            asker.compare(first, &ours, &theirs)?;
        }
        cold.print(question.name, "cold");
        let mut again = Times::default();
        for _ in 0..warm {
            asker.ask(0, &mut again).await?;
        }
        again.print("", "warm");
    }
    println!(
        "CPU s of all this: query API {:.1}, VictoriaMetrics {:.1}",
        installation.query.cpu()?.as_secs_f64(),
        other.cpu_since_filled()?.as_secs_f64()
    );
    Ok(())
}

fn metric_id(series: usize) -> String {
    format!("m{series}")
}

/// Points as a worker stores them, in a partition that none looks after: a day at a time, all series together.
async fn fill(installation: &Installation, project: &Project, data: Data) -> Result<()> {
    let clickhouse = installation.clickhouse()?;
    let (series, start, half) = (data.series, data.start_ms(), STEP_MS / 2);
    for day in 0..data.days {
        eprint!("\rClickHouse: day {} of {}", day + 1, data.days);
        let sql = format!(
            "INSERT INTO samples (kind, project_id, metric_id, time, value, received_at, partition, offset) \
             WITH number % {series} AS series, {day} * {POINTS_A_DAY} + intDiv(number, {series}) AS step, \
             fromUnixTimestamp64Milli(toInt64({start} + step * {STEP_MS} + {half}), 'UTC') AS at \
             SELECT 'sample', '{}', concat('m', toString(series)), at, \
             ((series * 7919 + step * 104729) % 10007) / 10, at, 1000, {day} * {POINTS_A_DAY} * {series} + number \
             FROM numbers({POINTS_A_DAY} * {series})",
            project.project_id
        );
        clickhouse.query(&sql).execute().await?;
    }
    eprintln!();
    let begun = Instant::now();
    loop {
        let merges: u64 = clickhouse.query("SELECT count() FROM system.merges").fetch_one().await?;
        if merges == 0 {
            return Ok(());
        }
        if begun.elapsed() > MERGE {
            return Err("ClickHouse was not done with its merges in ten minutes".into());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Sends a metric the usual way and waits until it is read: of a store without chains the query API keeps nothing.
async fn begin_chains(client: &Client, project: &Project) -> Result<()> {
    let body = json!({"projectId": project.project_id, "metrics": [{"metricId": "first", "value": 1}]});
    client::expect(client.send(0, &project.api_key, body.to_string()).await?, StatusCode::OK).await?;
    wait::until("the first metric is read", async || {
        let path = "/api/v1/metrics/first/timeseries";
        Ok((client.get(path, &project.manage_key).await?.status() == StatusCode::OK).then_some(()))
    })
    .await
}

#[derive(Default)]
struct Times {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Times {
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

/// Points of one series: the bucket's start and its value.
type Points = Vec<(i64, f64)>;

struct Asker<'a> {
    client: &'a Client,
    project: &'a Project,
    other: &'a VictoriaMetrics,
    data: Data,
    question: &'a Question,
}

impl Asker<'_> {
    /// Asks both for the series from `first` on; gives what they answered.
    async fn ask(&self, first: usize, times: &mut Times) -> Result<(String, Vec<String>)> {
        let begun = Instant::now();
        let ours = self.ask_us(first).await?;
        times.ours.push(begun.elapsed().as_secs_f64() * 1e3);
        let begun = Instant::now();
        let theirs = self.other.ask(&self.expressions(first), self.data.end_ms).await?;
        times.theirs.push(begun.elapsed().as_secs_f64() * 1e3);
        Ok((ours, theirs))
    }

    fn asked(&self, first: usize) -> impl Iterator<Item = (usize, Range)> {
        let all = first..(first + self.question.series).min(self.data.series);
        all.zip(self.question.ranges.iter().copied().cycle())
    }

    async fn ask_us(&self, first: usize) -> Result<String> {
        let queries: Vec<Value> =
            self.asked(first).map(|(series, range)| range.query(series, self.data.end_ms)).collect();
        let body = json!({"queries": queries});
        let answer = self.client.post("/api/v1/query", &self.project.manage_key, &body).await?;
        match answer.status() {
            StatusCode::OK => Ok(answer.text().await?),
            status => Err(format!("{status} came for {body}: {}", answer.text().await?).into()),
        }
    }

    fn expressions(&self, first: usize) -> Vec<(String, Range)> {
        let of = |selector: String, range: Range| {
            let minutes = range.bucket_ms / MINUTE_MS;
            (format!("{}_over_time(m{{{selector}}}[{minutes}m])", range.aggregation), range)
        };
        if self.question.together {
            return vec![of(format!("group=\"{}\"", first / GROUP), self.question.ranges[0])];
        }
        self.asked(first).map(|(series, range)| of(format!("series=\"{series}\""), range)).collect()
    }

    /// Both must say the same, for as many series as were asked for.
    fn compare(&self, first: usize, ours: &str, theirs: &[String]) -> Result<()> {
        let ours: Value = serde_json::from_str(ours)?;
        let ours = ours["results"].as_array().ok_or("an answer without results")?;
        let theirs = victoria_metrics::points(theirs, &self.expressions(first))?;
        for ((series, range), result) in self.asked(first).zip(ours) {
            let points: Points = result["points"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|point| Some((point["timestamp"].as_i64()?, point["value"].as_f64()?)))
                .collect();
            let theirs = theirs.get(&series).ok_or_else(|| format!("{} is not there", metric_id(series)))?;
            let expected = usize::try_from(range.length_ms / range.bucket_ms)?;
            let same = |&(at, value): &(i64, f64)| {
                theirs.get(&at).is_some_and(|other| (other - value).abs() <= 1e-9 * value.abs())
            };
            if points.len() != expected || !points.iter().all(same) {
                return Err(format!(
                    "{} {range:?}: the answers differ, {} of {expected} points",
                    metric_id(series),
                    points.len()
                )
                .into());
            }
        }
        Ok(())
    }
}
