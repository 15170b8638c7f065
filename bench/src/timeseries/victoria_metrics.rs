//! Debian's VictoriaMetrics, as a child process.

use super::data::{Data, GROUP, POINTS_PER_DAY, Range};
use e2e::{Result, wait};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::task::JoinSet;

/// A running VictoriaMetrics. Dropping it ends the process and deletes its data.
pub struct VictoriaMetrics {
    child: Child,
    data: PathBuf,
    url: String,
    http: reqwest::Client,
    /// CPU time used until it was filled.
    cpu_when_filled: Duration,
}

impl VictoriaMetrics {
    /// Starts VictoriaMetrics with its data and log in `directory`.
    pub async fn start(directory: &Path) -> Result<Self> {
        let (data, listen) =
            (directory.join("victoria-metrics"), format!("127.0.0.1:{}", e2e::ports::free_port()?));
        let log = File::create(directory.join("victoria-metrics.log"))?;
        let child = Command::new("victoria-metrics")
            .arg("-storageDataPath")
            .arg(&data)
            .args(["-httpListenAddr", &listen, "-retentionPeriod", "12"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("victoria-metrics: {error}"))?;
        let url = format!("http://{listen}");
        let victoria =
            Self { child, data, url, http: reqwest::Client::new(), cpu_when_filled: Duration::ZERO };
        wait::until("VictoriaMetrics is healthy", async || {
            let response = victoria.http.get(format!("{}/health", victoria.url)).send().await?;
            Ok(response.status().is_success().then_some(()))
        })
        .await?;
        Ok(victoria)
    }

    /// Imports the points, one series after the other.
    pub async fn fill(&mut self, data: Data) -> Result<()> {
        let points = data.days * POINTS_PER_DAY;
        for series in 0..data.series {
            eprint!("\rVictoriaMetrics: series {} of {}", series + 1, data.series);
            let mut line = format!(
                r#"{{"metric":{{"__name__":"m","series":"{series}","group":"{}"}},"values":["#,
                series / GROUP
            );
            for index in 0..points {
                let comma = if index == 0 { "" } else { "," };
                write!(line, "{comma}{}", Data::value(series, index))?;
            }
            line += r#"],"timestamps":["#;
            for index in 0..points {
                let comma = if index == 0 { "" } else { "," };
                write!(line, "{comma}{}", data.time_ms(index))?;
            }
            line += "]}\n";
            let response = self.http.post(format!("{}/api/v1/import", self.url)).body(line).send().await?;
            response.error_for_status()?;
        }
        eprintln!();
        self.http.get(format!("{}/internal/force_flush", self.url)).send().await?.error_for_status()?;
        self.cpu_when_filled = e2e::process::cpu_of(self.child.id())?;
        Ok(())
    }

    /// CPU time used since it was filled.
    pub fn cpu_since_filled(&self) -> Result<Duration> {
        Ok(e2e::process::cpu_of(self.child.id())?.saturating_sub(self.cpu_when_filled))
    }

    /// Sends the queries concurrently, as a dashboard does, and returns the responses in the order of the
    /// expressions.
    pub async fn query(&self, expressions: &[(String, Range)], end_ms: i64) -> Result<Vec<String>> {
        let mut requests = JoinSet::new();
        for (index, (expression, range)) in expressions.iter().enumerate() {
            // PromQL returns the value of a bucket at the end of the bucket.
            let start_ms = end_ms - range.length_ms + range.bucket_ms;
            let parameters = [
                ("query", expression.clone()),
                ("start", (start_ms / 1000).to_string()),
                ("end", (end_ms / 1000).to_string()),
                ("step", (range.bucket_ms / 1000).to_string()),
            ];
            let url = format!("{}/api/v1/query_range", self.url);
            let request = self.http.get(reqwest::Url::parse_with_params(&url, parameters)?);
            requests.spawn(async move {
                let response = request.send().await?.error_for_status()?;
                Ok::<_, reqwest::Error>((index, response.text().await?))
            });
        }
        let mut responses = vec![String::new(); expressions.len()];
        while let Some(response) = requests.join_next().await {
            let (index, text) = response??;
            responses[index] = text;
        }
        Ok(responses)
    }
}

impl Drop for VictoriaMetrics {
    fn drop(&mut self) {
        // Errors are ignored: the process may have ended already, and leftover data harms nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// Parses the responses. Returns for each series the values of its buckets by their start.
pub fn points(
    responses: &[String],
    expressions: &[(String, Range)],
) -> Result<HashMap<usize, HashMap<i64, f64>>> {
    let mut series_points = HashMap::new();
    for (response, (_, range)) in responses.iter().zip(expressions) {
        let response: Value = serde_json::from_str(response)?;
        for result in response["data"]["result"].as_array().into_iter().flatten() {
            let series =
                result["metric"]["series"].as_str().ok_or("a result has no label `series`")?.parse()?;
            let values = result["values"].as_array().into_iter().flatten();
            let points = values.filter_map(|pair| {
                Some((pair[0].as_i64()? * 1000 - range.bucket_ms, pair[1].as_str()?.parse().ok()?))
            });
            series_points.insert(series, points.collect());
        }
    }
    Ok(series_points)
}
