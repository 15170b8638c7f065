//! One installation of the product: gateways, workers and a query API that share a namespace.

use crate::client::{Client, OPERATOR_TOKEN};
use crate::environment;
use crate::error::Result;
use crate::ports::free_port;
use crate::process::{self, Process, binary};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Secret with which all gateways of a test installation hash client addresses.
pub(crate) const ADDRESS_HASH_KEY: &str = "address-hash-key-of-a-test";

/// A running installation. Its services are killed when the value is dropped.
pub struct Installation {
    /// Prefix of its names in Kafka, Redis and ClickHouse.
    pub namespace: String,
    /// Directory of its logs.
    pub directory: PathBuf,
    /// Gateways.
    pub gateways: Vec<Process>,
    /// Ingest workers.
    pub workers: Vec<Process>,
    /// First replica of the query API.
    pub query: Process,
    gateway_urls: Vec<String>,
    query_url: String,
    /// Settings of all services, in addition to each service's own.
    shared: Vec<(String, String)>,
}

impl Installation {
    /// Starts an installation and waits until its services are ready.
    pub async fn start(name: &str, gateways: usize, workers: usize) -> Result<Self> {
        Self::start_with(name, gateways, workers, &[]).await
    }

    /// Like [`Self::start`], with settings for all services. They may name other stores than the suite's.
    pub async fn start_with(
        name: &str,
        gateways: usize,
        workers: usize,
        shared: &[(&str, &str)],
    ) -> Result<Self> {
        let namespace = format!("{name}_{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let directory = process::log_directory(&namespace)?;
        let started = (0..gateways).map(|index| {
            let settings = settings(&namespace, shared)?;
            start_gateway(index, &directory, settings)
        });
        let (gateways, gateway_urls): (Vec<_>, Vec<_>) =
            started.collect::<Result<Vec<_>>>()?.into_iter().unzip();

        let listen = format!("127.0.0.1:{}", free_port()?);
        let gateway_url = gateway_urls.first().map_or("http://127.0.0.1:8080", String::as_str);
        let webhook = format!("{gateway_url}/api/webhooks/custom");
        let own = [("LISTEN", &*listen), ("OPERATOR_TOKEN", OPERATOR_TOKEN), ("WEBHOOK_URL", &webhook)];
        let query_settings = settings(&namespace, &[shared, &own].concat())?;
        let query = Process::start("query-api", "query-api", &directory, query_settings)?;
        let mut installation = Self {
            namespace,
            directory,
            gateways,
            workers: Vec::new(),
            query,
            gateway_urls,
            query_url: format!("http://{listen}"),
            shared: shared.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
        };
        for _ in 0..workers {
            installation.add_worker()?;
        }
        for process in installation.workers.iter_mut().chain(&mut installation.gateways) {
            process.ready().await?;
        }
        if workers > 0 {
            // Only a worker fills the Redis projection; without it the query API never becomes ready.
            installation.query.ready().await?;
        }
        Ok(installation)
    }

    /// Starts one more worker.
    pub fn add_worker(&mut self) -> Result<&mut Process> {
        let label = format!("ingest-worker-{}", self.workers.len());
        let settings = self.settings(&[])?;
        let worker = Process::start("ingest-worker", &label, &self.directory, settings)?;
        self.workers.push(worker);
        self.workers.last_mut().ok_or_else(|| "no worker".into())
    }

    /// Starts one more gateway, with additional settings.
    pub fn add_gateway(&mut self, own: &[(&str, &str)]) -> Result<&mut Process> {
        let settings = self.settings(own)?;
        let (gateway, url) = start_gateway(self.gateways.len(), &self.directory, settings)?;
        self.gateways.push(gateway);
        self.gateway_urls.push(url);
        self.gateways.last_mut().ok_or_else(|| "no gateway".into())
    }

    /// Starts one more replica of the query API; returns it with its base URL.
    pub fn start_query_replica(&self) -> Result<(Process, String)> {
        let listen = format!("127.0.0.1:{}", free_port()?);
        let own = [("LISTEN", listen.as_str()), ("OPERATOR_TOKEN", OPERATOR_TOKEN)];
        let settings = self.settings(&own)?;
        let process = Process::start("query-api", "query-api-1", &self.directory, settings)?;
        Ok((process, format!("http://{listen}")))
    }

    /// Runs a command of the worker to its end.
    pub async fn run_command(&self, arguments: &[&str]) -> Result<Output> {
        let (program, settings) = (binary("ingest-worker")?, self.settings(&[])?);
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let run = move || Command::new(program).args(arguments).envs(settings).output();
        let output = tokio::task::spawn_blocking(run).await??;
        Ok(Output {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a command of the worker that must succeed; returns its standard output.
    pub async fn run_command_ok(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run_command(arguments).await?;
        if output.success {
            Ok(output.stdout)
        } else {
            Err(format!("{arguments:?} failed: {}{}", output.stdout, output.stderr).into())
        }
    }

    fn settings(&self, own: &[(&str, &str)]) -> Result<HashMap<String, String>> {
        let shared: Vec<(&str, &str)> = self.shared.iter().map(|(name, value)| (&**name, &**value)).collect();
        settings(&self.namespace, &[&shared, own].concat())
    }

    /// HTTP client of all gateways that run now and of the first query API.
    pub fn client(&self) -> Client {
        Client::new(self.gateway_urls.clone(), self.query_url.clone())
    }

    /// Names of its topics.
    pub fn topics(&self) -> proto::topics::Topics {
        proto::topics::Topics::new(&self.namespace)
    }

    /// Name of the database of a generation.
    pub fn database(&self, generation: u32) -> String {
        format!("tidemark_{}_g{generation}", self.namespace)
    }

    /// Client of the suite's ClickHouse with the database of the first generation selected.
    pub fn clickhouse(&self) -> Result<clickhouse::Client> {
        self.clickhouse_generation(1)
    }

    /// Client of the suite's ClickHouse with the database of a generation selected.
    pub fn clickhouse_generation(&self, generation: u32) -> Result<clickhouse::Client> {
        let url = environment::required("CLICKHOUSE_URL")?;
        Ok(clickhouse::Client::default().with_url(url).with_database(self.database(generation)))
    }
}

/// Result of a command that has exited.
#[derive(Debug)]
pub struct Output {
    /// Its exit code was 0.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Starts a gateway; returns it with its base URL.
fn start_gateway(
    index: usize,
    directory: &Path,
    mut settings: HashMap<String, String>,
) -> Result<(Process, String)> {
    let listen = format!("127.0.0.1:{}", free_port()?);
    settings.insert("LISTEN".to_owned(), listen.clone());
    settings.insert("ADDRESS_HASH_KEY".to_owned(), ADDRESS_HASH_KEY.to_owned());
    let gateway = Process::start("gateway", &format!("gateway-{index}"), directory, settings)?;
    Ok((gateway, format!("http://{listen}")))
}

/// Settings of a service: those that every service needs, and `more`, which override them.
fn settings(namespace: &str, more: &[(&str, &str)]) -> Result<HashMap<String, String>> {
    let mut settings = HashMap::from([
        ("NAMESPACE".to_owned(), namespace.to_owned()),
        ("OPS_LISTEN".to_owned(), format!("127.0.0.1:{}", free_port()?)),
    ]);
    for name in ["KAFKA_BROKERS", "REDIS_URL", "CLICKHOUSE_URL"] {
        settings.insert(name.to_owned(), environment::required(name)?);
    }
    settings.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    Ok(settings)
}
