//! The gateway under load, beside the baseline: the same generator (`wrk`), the same bodies, turn by turn.

use e2e::{Installation, Result};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

struct Outcome {
    requests: u64,
    seconds: f64,
    cpu: Duration,
    failed: u64,
}

impl Outcome {
    fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    fn micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests.max(1) as f64
    }
}

/// Prints a table.
pub async fn run(seconds: u32, connections: u32) -> Result<()> {
    let mut installation = Installation::start("bench", 1, 1).await?;
    let project = installation.client().project("unlimited").await?;
    // The worker filled Redis; under load it would only compete for the cores.
    installation.workers.clear();
    let listen = format!("127.0.0.1:{}", e2e::process::free_port()?);
    let mut bare = Command::new(std::env::current_exe()?).args(["baseline", "--listen", &listen]).spawn()?;
    let bare_url = format!("http://{listen}/api/webhooks/custom");
    e2e::wait::until("the baseline listens", async || Ok(reqwest::get(&bare_url).await.ok().map(drop)))
        .await?;
    println!("gateway: {connections} connections, {seconds} s each, 2 threads of wrk on the same machine");
    println!(
        "| metrics | server | requests/s | CPU µs/request | ratio | not 200 |\n|---|---|---|---|---|---|"
    );
    for metrics in [1, 100] {
        let script = installation.directory.join(format!("{metrics}.lua"));
        std::fs::write(&script, lua(&project.project_id, &project.api_key, metrics))?;
        let pid = bare.id();
        let baseline = load(&bare_url, &script, seconds, connections, || e2e::process::cpu_of(pid))?;
        let gateway = &installation.gateways[0];
        let product = load(&project.webhook_url, &script, seconds, connections, || gateway.cpu())?;
        for (name, outcome) in [("bare hyper + serde_json", &baseline), ("gateway", &product)] {
            println!(
                "| {metrics} | {name} | {:.0} | {:.1} | {:.2} | {} |",
                outcome.rate(),
                outcome.micros(),
                outcome.micros() / baseline.micros(),
                outcome.failed
            );
        }
    }
    bare.kill()?;
    bare.wait()?;
    Ok(())
}

fn load(
    url: &str,
    script: &Path,
    seconds: u32,
    connections: u32,
    cpu: impl Fn() -> Result<Duration>,
) -> Result<Outcome> {
    let arguments = [
        "-t2".to_owned(),
        format!("-c{connections}"),
        format!("-d{seconds}s"),
        "-s".to_owned(),
        script.display().to_string(),
    ];
    let before = cpu()?;
    let output =
        Command::new("wrk").args(&arguments).arg(url).output().map_err(|error| format!("wrk: {error}"))?;
    let spent = cpu()?.saturating_sub(before);
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("RESULT "))
        .ok_or_else(|| format!("wrk said: {text}"))?;
    let numbers: Vec<u64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
    let [requests, micros, failed] = numbers[..] else { return Err(format!("wrk said: {line}").into()) };
    Ok(Outcome { requests, seconds: micros as f64 / 1e6, cpu: spent, failed })
}

fn lua(project_id: &str, key: &str, metrics: usize) -> String {
    let metric = |index: usize| {
        format!(
            r#"{{"metricId":"api_response_time_{index}","metricName":"API Response Time","value":{}.25,"unit":"ms"}}"#,
            100 + index
        )
    };
    let all: Vec<String> = (0..metrics).map(metric).collect();
    let body = format!(r#"{{"projectId":"{project_id}","metrics":[{}]}}"#, all.join(","));
    format!(
        "wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\n\
         wrk.headers['Authorization'] = 'Bearer {key}'\nwrk.body = [[{body}]]\n\
         done = function(summary)\n  local e = summary.errors\n\
         io.write(string.format('RESULT %d %d %d\\n', summary.requests, summary.duration, \
         e.connect + e.read + e.write + e.status + e.timeout))\nend\n"
    )
}
