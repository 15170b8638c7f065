//! The gateway under load, compared with the baseline: the same load generator (`wrk`) and the same bodies,
//! in alternating rounds. A project without a limit and a project with a quota show the cost of the quota
//! check.

use control::control_log::{ControlWriter, PUBLISH_TIMEOUT};
use e2e::{Installation, Project, Result};
use proto::v1::{Entity, Plan, entity::Kind};
use reqwest::StatusCode;
use service::kafka::KafkaBrokers;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Number of rounds over which the load of each case is spread, so that other activity on the machine affects
/// all cases. Every other round runs the cases in reverse order, so that no case always follows the same one.
const ROUNDS: u32 = 6;

struct Case<'a> {
    name: &'static str,
    url: &'a str,
    project: &'a Project,
    totals: Totals,
}

impl<'a> Case<'a> {
    fn new(name: &'static str, url: &'a str, project: &'a Project) -> Self {
        Self { name, url, project, totals: Totals::default() }
    }
}

/// Measurements of a case, summed over the rounds.
#[derive(Default)]
struct Totals {
    requests: u64,
    seconds: f64,
    cpu: Duration,
    failed: u64,
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.seconds += other.seconds;
        self.cpu += other.cpu;
        self.failed += other.failed;
    }

    fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    fn cpu_us_per_request(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests.max(1) as f64
    }
}

/// Prints a table. If each connection pauses between requests, all cases have about the same rate. Otherwise
/// a faster case shares fixed costs among more requests, which hides part of the difference.
pub async fn run(seconds: u32, connections: u32, pause_ms: u32) -> Result<()> {
    let mut installation = Installation::start("bench", 1, 1).await?;
    let unlimited = installation.client().project("unlimited").await?;
    let limited = project_with_quota(&installation).await?;
    // The worker is needed only to fill Redis. Under load it would compete for the cores.
    installation.workers.clear();
    let listen = format!("127.0.0.1:{}", e2e::ports::free_port()?);
    let mut bare = Command::new(std::env::current_exe()?).args(["baseline", "--listen", &listen]).spawn()?;
    let bare_url = format!("http://{listen}/api/webhooks/custom");
    e2e::wait::until("the baseline listens", async || Ok(reqwest::get(&bare_url).await.ok().map(drop)))
        .await?;
    println!(
        "gateway: {connections} connections, {pause_ms} ms pause between requests, {seconds} s per case, 2 threads of wrk on the same machine"
    );
    println!(
        "| metrics | server | requests/s | CPU µs/request | ratio | not 200 |\n|---|---|---|---|---|---|"
    );
    for metrics in [1, 100] {
        let pid = bare.id();
        let gateway = &installation.gateways[0];
        let mut cases = [
            Case::new("bare hyper + serde_json", &bare_url, &unlimited),
            Case::new("gateway", &unlimited.webhook_url, &unlimited),
            Case::new("gateway with quota", &limited.webhook_url, &limited),
        ];
        let last = cases.len() - 1;
        for round in 0..ROUNDS {
            for position in 0..=last {
                let index = if round % 2 == 0 { position } else { last - position };
                let case = &mut cases[index];
                let script = installation.directory.join("load.lua");
                std::fs::write(&script, lua(case.project, metrics, pause_ms))?;
                let cpu = || if index == 0 { e2e::process::cpu_of(pid) } else { gateway.cpu() };
                case.totals.add(&load(case.url, &script, (seconds / ROUNDS).max(1), connections, cpu)?);
            }
        }
        let baseline = cases[0].totals.cpu_us_per_request();
        for Case { name, totals, .. } in &cases {
            println!(
                "| {metrics} | {name} | {:.0} | {:.1} | {:.2} | {} |",
                totals.rate(),
                totals.cpu_us_per_request(),
                totals.cpu_us_per_request() / baseline,
                totals.failed
            );
        }
    }
    bare.kill()?;
    bare.wait()?;
    Ok(())
}

/// Creates a project with a quota that the load cannot exhaust: every request is counted and none is rejected.
async fn project_with_quota(installation: &Installation) -> Result<Project> {
    let requests_per_hour = Some(1_000_000_000);
    let plan = Plan { name: "endless".to_owned(), requests_per_hour, ..Plan::default() };
    let brokers = e2e::environment::required("KAFKA_BROKERS")?;
    let writer =
        ControlWriter::new(&KafkaBrokers::plaintext(&brokers), &installation.topics(), PUBLISH_TIMEOUT)?;
    writer.publish(&Entity { kind: Some(Kind::Plan(plan)) }).await?;
    let client = installation.client();
    let project = e2e::wait::until("a project with the plan exists", async || {
        Ok(Some(client.project("endless").await?))
    })
    .await?;
    let response = client.send(0, &project.api_key, body(&project, 1)).await?;
    if !response.headers().contains_key("x-ratelimit-remaining") {
        return Err("the requests of the project are not counted".into());
    }
    e2e::client::expect(response, StatusCode::OK).await?;
    Ok(project)
}

/// Runs `wrk` and returns its results, with the CPU time that the server used meanwhile.
fn load(
    url: &str,
    script: &Path,
    seconds: u32,
    connections: u32,
    cpu: impl Fn() -> Result<Duration>,
) -> Result<Totals> {
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
        .ok_or_else(|| format!("unexpected output of wrk: {text}"))?;
    let numbers: Vec<u64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
    let [requests, duration_us, failed] = numbers[..] else {
        return Err(format!("unexpected output of wrk: {line}").into());
    };
    Ok(Totals { requests, seconds: duration_us as f64 / 1e6, cpu: spent, failed })
}

/// Returns the script with which `wrk` sends the requests and prints its results.
fn lua(project: &Project, metrics: usize, pause_ms: u32) -> String {
    let (key, body) = (&project.api_key, body(project, metrics));
    let pause =
        if pause_ms == 0 { String::new() } else { format!("delay = function() return {pause_ms} end\n") };
    format!(
        "wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\n\
         wrk.headers['Authorization'] = 'Bearer {key}'\nwrk.body = [[{body}]]\n\
         {pause}done = function(summary)\n  local e = summary.errors\n\
         io.write(string.format('RESULT %d %d %d\\n', summary.requests, summary.duration, \
         e.connect + e.read + e.write + e.status + e.timeout))\nend\n"
    )
}

fn body(project: &Project, metrics: usize) -> String {
    let metric = |index: usize| {
        format!(
            r#"{{"metricId":"api_response_time_{index}","metricName":"API Response Time","value":{}.25,"unit":"ms"}}"#,
            100 + index
        )
    };
    let all: Vec<String> = (0..metrics).map(metric).collect();
    format!(r#"{{"projectId":"{}","metrics":[{}]}}"#, project.project_id, all.join(","))
}
