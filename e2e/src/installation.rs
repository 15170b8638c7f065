//! One installation of the product: its services, in a namespace of its own.

use crate::process::{Process, free_port};
use crate::{Client, Result};
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

/// The token that may create projects in every test installation.
pub const OPERATOR_TOKEN: &str = "operator-token-of-a-test";

/// The secret under which all gateways of a test installation hash addresses.
pub(crate) const ADDRESS_HASH_KEY: &str = "address-hash-key-of-a-test";

/// An installation. Its services end with it.
pub struct Installation {
    /// Its namespace in Kafka, Redis and ClickHouse.
    pub namespace: String,
    /// Where its logs are.
    pub directory: PathBuf,
    /// The gateways.
    pub gateways: Vec<Process>,
    /// The workers.
    pub workers: Vec<Process>,
    /// The query service.
    pub query: Process,
    gateway_urls: Vec<String>,
    query_url: String,
    /// What all its services are told beside their own settings.
    shared: Vec<(String, String)>,
}

impl Installation {
    /// Starts an installation with so many gateways and workers, and waits until all are ready.
    pub async fn start(name: &str, gateways: usize, workers: usize) -> Result<Self> {
        Self::start_with(name, gateways, workers, &[]).await
    }

    /// The same; `shared` is told to all services, and may name other parts than the suite's.
    pub async fn start_with(
        name: &str,
        gateways: usize,
        workers: usize,
        shared: &[(&str, &str)],
    ) -> Result<Self> {
        let namespace = format!("{name}_{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let directory = crate::process::binary("gateway")?.with_file_name("e2e-logs").join(&namespace);
        std::fs::create_dir_all(&directory)?;
        let mut gateway_urls = Vec::new();
        let mut started = Vec::new();
        for index in 0..gateways {
            let listen = format!("127.0.0.1:{}", free_port()?);
            let own = [("LISTEN", listen.as_str()), ("ADDRESS_HASH_KEY", ADDRESS_HASH_KEY)];
            let settings = settings(&namespace, &[shared, &own].concat())?;
            started.push(Process::start("gateway", &format!("gateway-{index}"), &directory, settings)?);
            gateway_urls.push(format!("http://{listen}"));
        }
        let listen = format!("127.0.0.1:{}", free_port()?);
        let webhook = format!(
            "{}/api/webhooks/custom",
            gateway_urls.first().map_or("http://127.0.0.1:8080", |url| url)
        );
        let own = [("LISTEN", &*listen), ("OPERATOR_TOKEN", OPERATOR_TOKEN), ("WEBHOOK_URL", &webhook)];
        let query_settings = settings(&namespace, &[shared, &own].concat())?;
        let query = Process::start("query-api", "query-api", &directory, query_settings)?;
        let mut installation = Self {
            namespace,
            directory,
            gateways: started,
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
            // Without a worker nobody fills Redis, and nothing is believed.
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

    /// Runs one of the worker's commands to its end.
    pub async fn command(&self, arguments: &[&str]) -> Result<Output> {
        let (program, settings) = (crate::process::binary("ingest-worker")?, self.settings(&[])?);
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let run = move || Command::new(program).args(arguments).envs(settings).output();
        let output = tokio::task::spawn_blocking(run).await??;
        Ok(Output {
            success: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs one of the worker's commands, which must succeed; gives what it printed.
    pub async fn commanded(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).await?;
        if output.success {
            Ok(output.out)
        } else {
            Err(format!("{arguments:?}: {}{}", output.out, output.err).into())
        }
    }

    /// Starts one more gateway, with settings of its own.
    pub fn add_gateway(&mut self, own: &[(&str, &str)]) -> Result<&mut Process> {
        let label = format!("gateway-{}", self.gateways.len());
        let listen = format!("127.0.0.1:{}", free_port()?);
        let settings =
            self.settings(&[&[("LISTEN", &*listen), ("ADDRESS_HASH_KEY", ADDRESS_HASH_KEY)], own].concat())?;
        let gateway = Process::start("gateway", &label, &self.directory, settings)?;
        self.gateways.push(gateway);
        self.gateway_urls.push(format!("http://{listen}"));
        self.gateways.last_mut().ok_or_else(|| "no gateway".into())
    }

    /// Starts one more query service; gives it with its address.
    pub fn another_query(&self) -> Result<(Process, String)> {
        let listen = format!("127.0.0.1:{}", free_port()?);
        let own = [("LISTEN", listen.as_str()), ("OPERATOR_TOKEN", OPERATOR_TOKEN)];
        let settings = self.settings(&own)?;
        let process = Process::start("query-api", "query-api-1", &self.directory, settings)?;
        Ok((process, format!("http://{listen}")))
    }

    fn settings(&self, own: &[(&str, &str)]) -> Result<HashMap<String, String>> {
        let shared: Vec<(&str, &str)> = self.shared.iter().map(|(name, value)| (&**name, &**value)).collect();
        settings(&self.namespace, &[&shared, own].concat())
    }

    /// A client of its HTTP interfaces.
    pub fn client(&self) -> Client {
        Client::new(self.gateway_urls.clone(), self.query_url.clone())
    }

    /// The name of one of its topics.
    pub fn topics(&self) -> proto::topics::Topics {
        proto::topics::Topics::new(&self.namespace)
    }

    /// The database of its first generation.
    pub fn database(&self) -> String {
        format!("tidemark_{}_g1", self.namespace)
    }

    /// ClickHouse, with its database chosen.
    pub fn clickhouse(&self) -> Result<clickhouse::Client> {
        Ok(clickhouse::Client::default().with_url(part("CLICKHOUSE_URL")?).with_database(self.database()))
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Output {
    /// Whether its exit code was 0.
    pub success: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// The address of a part; the failure says how to get one.
pub fn part(name: &str) -> Result<String> {
    std::env::var(name)
        .map_err(|_| format!("{name} is not set: run deploy/local/test, which starts the parts").into())
}

fn settings(namespace: &str, more: &[(&str, &str)]) -> Result<HashMap<String, String>> {
    let mut settings = HashMap::from([
        ("NAMESPACE".to_owned(), namespace.to_owned()),
        ("OPS_LISTEN".to_owned(), format!("127.0.0.1:{}", free_port()?)),
    ]);
    for name in ["KAFKA_BROKERS", "REDIS_URL", "CLICKHOUSE_URL"] {
        settings.insert(name.to_owned(), part(name)?);
    }
    settings.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    Ok(settings)
}
