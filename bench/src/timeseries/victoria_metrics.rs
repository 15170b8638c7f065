//! VictoriaMetrics of Debian, as a process of its own.

use super::{Data, GROUP, POINTS_A_DAY, Range};
use e2e::{Result, wait};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::task::JoinSet;

/// The process; it ends with the value, and its data with it.
pub struct VictoriaMetrics {
    child: Child,
    data: PathBuf,
    url: String,
    http: reqwest::Client,
    /// What it had used when it was filled.
    cpu: Duration,
}

impl VictoriaMetrics {
    /// Starts it; its data and log are in `directory`.
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
        let started = Self { child, data, url, http: reqwest::Client::new(), cpu: Duration::ZERO };
        wait::until("VictoriaMetrics answers", async || {
            let answer = started.http.get(format!("{}/health", started.url)).send().await?;
            Ok(answer.status().is_success().then_some(()))
        })
        .await?;
        Ok(started)
    }

    /// Imports the points, one series after the other.
    pub async fn fill(&mut self, data: Data) -> Result<()> {
        let points = data.days * POINTS_A_DAY;
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
            let sent = self.http.post(format!("{}/api/v1/import", self.url)).body(line).send().await?;
            sent.error_for_status()?;
        }
        eprintln!();
        self.http.get(format!("{}/internal/force_flush", self.url)).send().await?.error_for_status()?;
        self.cpu = e2e::process::cpu_of(self.child.id())?;
        Ok(())
    }

    /// CPU that it has used since it was filled.
    pub fn cpu_since_filled(&self) -> Result<Duration> {
        Ok(e2e::process::cpu_of(self.child.id())?.saturating_sub(self.cpu))
    }

    /// The answers, all asked for at once, as a dashboard would.
    pub async fn ask(&self, expressions: &[(String, Range)], end_ms: i64) -> Result<Vec<String>> {
        let mut asked = JoinSet::new();
        for (index, (expression, range)) in expressions.iter().enumerate() {
            // A value stands at the end of what it is of.
            // A value stands at the end of what it is of.
            let start_ms = end_ms - range.length_ms + range.bucket_ms;
            let parameters = [
                ("query", expression.clone()),
                ("start", (start_ms / 1000).to_string()),
                ("end", (end_ms / 1000).to_string()),
                ("step", (range.bucket_ms / 1000).to_string()),
            ];
            let url = format!("{}/api/v1/query_range", self.url);
            let request = self.http.get(reqwest::Url::parse_with_params(&url, parameters)?);
            asked.spawn(async move {
                let answer = request.send().await?.error_for_status()?;
                Ok::<_, reqwest::Error>((index, answer.text().await?))
            });
        }
        let mut answers = vec![String::new(); expressions.len()];
        while let Some(answer) = asked.join_next().await {
            let (index, text) = answer??;
            answers[index] = text;
        }
        Ok(answers)
    }
}

impl Drop for VictoriaMetrics {
    fn drop(&mut self) {
        // It may have ended already, and what it leaves behind is in nobody's way.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// By series, the value of each bucket by its start.
pub fn points(
    answers: &[String],
    expressions: &[(String, Range)],
) -> Result<HashMap<usize, HashMap<i64, f64>>> {
    let mut found = HashMap::new();
    for (answer, (_, range)) in answers.iter().zip(expressions) {
        let answer: Value = serde_json::from_str(answer)?;
        for result in answer["data"]["result"].as_array().into_iter().flatten() {
            let series = result["metric"]["series"].as_str().ok_or("a result without its series")?.parse()?;
            let values = result["values"].as_array().into_iter().flatten();
            let points = values.filter_map(|pair| {
                Some((pair[0].as_i64()? * 1000 - range.bucket_ms, pair[1].as_str()?.parse().ok()?))
            });
            found.insert(series, points.collect());
        }
    }
    Ok(found)
}
