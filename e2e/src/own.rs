//! A Redis, a Kafka or a ClickHouse of a test's own, to be killed and started again with what it had.
//!
//! Everybody else's go on meanwhile. The programs are those that `deploy/local/test` names: `REDIS_SERVER`,
//! `KAFKA_CLASSPATH`, the jars, and `LIBCHDB`, the engine behind the workspace's own `clickhouse-embedded`.

pub mod cluster;
pub mod secure;

use crate::faults::failing_disk::FailingDisk;
use crate::installation::part;
use crate::process::{binary, free_port, signal};
use crate::{Result, wait};
use rustix::process::Signal;
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use uuid::Uuid;

/// A running store. It ends, and its data goes, with the value.
pub struct OwnStore {
    address: String,
    command: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    data: PathBuf,
    keep: bool,
    child: Child,
}

/// A place where a Kafka listens: clients that come there are sent on to where it is advertised.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Capital letters, digits and underscores.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// The port that its clients are told.
    pub advertised: u16,
}

impl Listener {
    /// The broker's own.
    fn direct(port: u16) -> Self {
        Self { name: "PLAINTEXT".to_owned(), port, advertised: port }
    }
}

impl OwnStore {
    /// Starts a Redis that keeps what it is told in a file.
    pub async fn redis() -> Result<Self> {
        Self::redis_with(&[]).await
    }

    /// The same, with more settings.
    async fn redis_with(settings: &[&str]) -> Result<Self> {
        let port = free_port()?.to_string();
        let data = fresh_directory("redis")?;
        let (program, directory) = (part("REDIS_SERVER")?, data.to_string_lossy());
        let own = ["--bind", "127.0.0.1", "--port", &port, "--dir", &directory, "--appendonly", "yes"];
        let command = [&[&*program], &own[..], &["--save", ""], settings].concat();
        let command = command.into_iter().map(str::to_owned).collect();
        Self::start(format!("127.0.0.1:{port}"), command, Vec::new(), data).await
    }

    /// Starts a Kafka: one broker that is its own controller.
    pub async fn kafka() -> Result<Self> {
        Self::kafka_with(&[]).await
    }

    /// Starts a Kafka that listens at more places than its address.
    pub async fn kafka_with(listeners: &[Listener]) -> Result<Self> {
        let (port, controller) = (free_port()?, free_port()?);
        let data = fresh_directory("kafka")?;
        let listeners = [&[Listener::direct(port)], listeners].concat();
        let properties = kafka_properties(&listeners, controller, &data.join("log"));
        Self::kafka_of(port, &properties, &[], data).await
    }

    /// Starts a Kafka with these properties, whose storage is formatted with `format` too.
    async fn kafka_of(port: u16, text: &str, format: &[&str], data: PathBuf) -> Result<Self> {
        let properties = data.join("server.properties");
        fs::write(&properties, text)?;
        let java = |class: &str, arguments: &[&str]| -> Result<Vec<String>> {
            let classpath = part("KAFKA_CLASSPATH")?;
            let fixed = ["java", "-Xms64m", "-Xmx256m", "-cp", &classpath, class];
            Ok(fixed.iter().chain(arguments).map(|&word| word.to_owned()).collect())
        };
        let properties = properties.to_string_lossy();
        // 22 characters of URL-safe base64; the hexadecimal digits are among them.
        let id = &Uuid::new_v4().simple().to_string()[..22];
        let format = [&["format", "--cluster-id", id, "--config", &properties], format].concat();
        let format = java("kafka.tools.StorageTool", &format)?;
        let log = File::options().create(true).append(true).open(data.join("output.log"))?;
        let formatted =
            Command::new(&format[0]).args(&format[1..]).stdout(log.try_clone()?).stderr(log).status()?;
        if !formatted.success() {
            return Err(format!("Kafka's storage was not made; see {}", data.display()).into());
        }
        let command = java("kafka.Kafka", &[&properties])?;
        Self::start(format!("127.0.0.1:{port}"), command, Vec::new(), data).await
    }

    /// Starts a ClickHouse: the engine behind its HTTP front.
    pub async fn clickhouse() -> Result<Self> {
        let data = fresh_directory("clickhouse")?;
        let (address, command) = engine(&data.join("engine"))?;
        Self::start(address, command, Vec::new(), data).await
    }

    /// The same, on a disk that fails when told to.
    pub async fn clickhouse_on_failing_disk() -> Result<(Self, FailingDisk)> {
        let data = fresh_directory("clickhouse")?;
        let path = data.join("engine");
        let disk = FailingDisk::new(&data, &path)?;
        let (address, command) = engine(&path)?;
        let store = Self::start(address, command, disk.environment(), data).await?;
        Ok((store, disk))
    }

    async fn start(
        address: String,
        command: Vec<String>,
        environment: Vec<(String, String)>,
        data: PathBuf,
    ) -> Result<Self> {
        let log = data.join("output.log");
        let child = spawn(&command, &environment, &log)?;
        let mut store = Self { address, command, environment, log, data, keep: false, child };
        store.answers().await?;
        Ok(store)
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again with what it had, and waits until it accepts connections.
    pub async fn restart(&mut self) -> Result<()> {
        self.start_again()?;
        self.answers().await
    }

    /// Starts it again with what it had, and waits for nothing.
    pub fn start_again(&mut self) -> Result<()> {
        self.child = spawn(&self.command, &self.environment, &self.log)?;
        Ok(())
    }

    /// Takes what it kept in `folder`; it must not run.
    pub fn forget(&self, folder: &str) -> Result<()> {
        Ok(fs::remove_dir_all(self.data.join(folder))?)
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends a signal.
    pub fn signal(&self, which: Signal) -> Result<()> {
        signal(self.child.id(), which)
    }

    /// Its data stays when it ends; tells where.
    pub fn keep(&mut self) -> &Path {
        self.keep = true;
        &self.data
    }

    async fn answers(&mut self) -> Result<()> {
        let (program, address) = (self.command[0].clone(), self.address.clone());
        let child = &mut self.child;
        wait::until(&format!("{program} accepts connections at {address}"), async || {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(Err(format!("{program} ended with {status}").into())));
            }
            Ok(TcpStream::connect(&address).is_ok().then_some(Ok(())))
        })
        .await?
    }
}

impl Drop for OwnStore {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !self.keep {
            let _ = fs::remove_dir_all(&self.data);
        }
    }
}

/// Where the front listens, and the command that starts it on the data in `path`.
fn engine(path: &Path) -> Result<(String, Vec<String>)> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let (program, library) = (binary("clickhouse-embedded")?, part("LIBCHDB")?);
    let (program, path) = (program.to_string_lossy(), path.to_string_lossy());
    let command = [&program, "--listen", &address, "--library", &library, "--path", &path].map(str::to_owned);
    Ok((address, command.into()))
}

fn fresh_directory(name: &str) -> Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("tidemark-e2e-{name}-{}", Uuid::new_v4().simple()));
    fs::create_dir_all(&path)?;
    Ok(path)
}

fn spawn(command: &[String], environment: &[(String, String)], log: &Path) -> Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    let (program, arguments) = command.split_first().ok_or("an empty command")?;
    Ok(Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?)
}

/// As `deploy/local` starts it, as far as one test needs it.
fn kafka_properties(listeners: &[Listener], controller: u16, log: &Path) -> String {
    let each = |text: &dyn Fn(&Listener) -> String| -> String { listeners.iter().map(text).collect() };
    let places = each(&|it| format!("{}://127.0.0.1:{},", it.name, it.port));
    let advertised = each(&|it| format!("{}://127.0.0.1:{},", it.name, it.advertised));
    let protocols = each(&|it| format!("{}:PLAINTEXT,", it.name));
    let log = log.display();
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners={places}CONTROLLER://127.0.0.1:{controller}
advertised.listeners={}
listener.security.protocol.map={protocols}CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
num.network.threads=1
log.dirs={log}
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
log.cleaner.dedupe.buffer.size=16777216
",
        advertised.trim_end_matches(',')
    )
}
