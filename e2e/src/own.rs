//! A Redis or a Kafka of a test's own, to be killed and started again with what it had.
//!
//! Everybody else's go on meanwhile. The programs are those that `deploy/local/test` names: `REDIS_SERVER`, and
//! `KAFKA_CLASSPATH`, the jars.

pub mod secure;

use crate::installation::part;
use crate::process::free_port;
use crate::{Result, wait};
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use uuid::Uuid;

/// A running store. It ends, and its data goes, with the value.
pub struct OwnStore {
    address: String,
    command: Vec<String>,
    log: PathBuf,
    data: PathBuf,
    child: Child,
}

impl OwnStore {
    /// Starts a Redis that keeps what it is told in a file.
    pub async fn redis() -> Result<Self> {
        let port = free_port()?.to_string();
        let data = fresh_directory("redis")?;
        let command = [
            part("REDIS_SERVER")?.as_str(),
            "--bind",
            "127.0.0.1",
            "--port",
            &port,
            "--dir",
            &data.to_string_lossy(),
            "--appendonly",
            "yes",
            "--save",
            "",
        ]
        .map(str::to_owned);
        Self::start(format!("127.0.0.1:{port}"), command.into(), data).await
    }

    /// Starts a Kafka: one broker that is its own controller.
    pub async fn kafka() -> Result<Self> {
        let (port, controller) = (free_port()?, free_port()?);
        let data = fresh_directory("kafka")?;
        let properties = kafka_properties(port, controller, &data.join("log"));
        Self::kafka_with(port, &properties, &[], data).await
    }

    /// Starts a Kafka with these properties, whose storage is formatted with `format` too.
    async fn kafka_with(port: u16, text: &str, format: &[&str], data: PathBuf) -> Result<Self> {
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
        Self::start(format!("127.0.0.1:{port}"), java("kafka.Kafka", &[&properties])?, data).await
    }

    async fn start(address: String, command: Vec<String>, data: PathBuf) -> Result<Self> {
        let log = data.join("output.log");
        let child = spawn(&command, &log)?;
        let mut store = Self { address, command, log, data, child };
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
        self.child = spawn(&self.command, &self.log)?;
        self.answers().await
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
        let _ = fs::remove_dir_all(&self.data);
    }
}

fn fresh_directory(name: &str) -> Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("tidemark-e2e-{name}-{}", Uuid::new_v4().simple()));
    fs::create_dir_all(&path)?;
    Ok(path)
}

fn spawn(command: &[String], log: &Path) -> Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    let (program, arguments) = command.split_first().ok_or("an empty command")?;
    Ok(Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?)
}

/// As `deploy/local` starts it, as far as one test needs it.
fn kafka_properties(port: u16, controller: u16, log: &Path) -> String {
    let log = log.display();
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
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
"
    )
}
