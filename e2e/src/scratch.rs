//! Scratch stores: a Redis, Kafka or ClickHouse of one test, which can be killed and started again with its
//! data.
//!
//! The suite's stores are not affected. `deploy/local/test` names the programs: `REDIS_SERVER`;
//! `KAFKA_CLASSPATH` for the jars; `LIBCHDB` for the engine that the workspace's `clickhouse-embedded` loads.

pub mod failing_disk;
pub mod redis_cluster;
pub mod tls;

use crate::environment;
use crate::error::Result;
use crate::ports::free_port;
use crate::process::{binary, send_signal, spawn};
use crate::wait;
use failing_disk::FailingDisk;
use rustix::process::Signal;
use std::collections::HashMap;
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use uuid::Uuid;

/// A running store. When the value is dropped, the process is killed and its data deleted.
pub struct ScratchStore {
    address: String,
    command: Vec<String>,
    environment: HashMap<String, String>,
    log: PathBuf,
    data: PathBuf,
    keep_data: bool,
    child: Child,
}

/// A listener of a Kafka broker. Clients that connect to it are redirected to the advertised port.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Name: capital letters, digits and underscores.
    pub name: String,
    /// Security protocol, such as `PLAINTEXT`.
    pub protocol: &'static str,
    /// Port on which the broker listens.
    pub port: u16,
    /// Port that the broker's metadata tells clients to use.
    pub advertised: u16,
}

impl Listener {
    /// Listener that clients use without a redirect; its name is its protocol.
    fn direct(protocol: &'static str, port: u16) -> Self {
        Self { name: protocol.to_owned(), protocol, port, advertised: port }
    }
}

impl ScratchStore {
    /// Starts a Redis with an append-only file.
    pub async fn redis() -> Result<Self> {
        let mut store = Self::spawn_redis(&[])?;
        store.wait_until_reachable().await?;
        Ok(store)
    }

    /// Starts a Redis with additional command-line arguments; does not wait until it is reachable.
    fn spawn_redis(arguments: &[&str]) -> Result<Self> {
        let port = free_port()?.to_string();
        let data = create_data_directory("redis")?;
        let (program, directory) = (environment::required("REDIS_SERVER")?, data.to_string_lossy());
        let own = ["--bind", "127.0.0.1", "--port", &port, "--dir", &directory, "--appendonly", "yes"];
        let command = [&[&*program], &own[..], &["--save", ""], arguments].concat();
        let command = command.into_iter().map(str::to_owned).collect();
        Self::spawn(format!("127.0.0.1:{port}"), command, HashMap::new(), data)
    }

    /// Starts a Kafka: one broker that is its own controller.
    pub async fn kafka() -> Result<Self> {
        Self::kafka_with(&[]).await
    }

    /// Starts a Kafka with listeners in addition to that of its address.
    pub async fn kafka_with(listeners: &[Listener]) -> Result<Self> {
        let (port, controller) = (free_port()?, free_port()?);
        let data = create_data_directory("kafka")?;
        let listeners = [&[Listener::direct("PLAINTEXT", port)], listeners].concat();
        let properties = kafka_properties(&listeners, controller, &data.join("log"));
        Self::start_kafka(port, &properties, &[], data).await
    }

    /// Formats the storage with `format_arguments` and starts a broker with these properties.
    async fn start_kafka(
        port: u16,
        properties: &str,
        format_arguments: &[&str],
        data: PathBuf,
    ) -> Result<Self> {
        let path = data.join("server.properties");
        fs::write(&path, properties)?;
        let java = |class: &str, arguments: &[&str]| -> Result<Vec<String>> {
            let classpath = environment::required("KAFKA_CLASSPATH")?;
            let fixed = ["java", "-Xms64m", "-Xmx256m", "-cp", &classpath, class];
            Ok(fixed.iter().chain(arguments).map(|&word| word.to_owned()).collect())
        };
        let path = path.to_string_lossy();
        // A cluster id is 22 characters of URL-safe base64; hexadecimal digits are a subset.
        let id = &Uuid::new_v4().simple().to_string()[..22];
        let format = [&["format", "--cluster-id", id, "--config", &path], format_arguments].concat();
        let format = java("kafka.tools.StorageTool", &format)?;
        let log = File::options().create(true).append(true).open(data.join("output.log"))?;
        let mut command = Command::new(&format[0]);
        command.args(&format[1..]).stdout(log.try_clone()?).stderr(log);
        let formatted = tokio::task::spawn_blocking(move || command.status()).await??;
        if !formatted.success() {
            return Err(format!("formatting Kafka's storage failed; see {}", data.display()).into());
        }
        let command = java("kafka.Kafka", &[&path])?;
        Self::start(format!("127.0.0.1:{port}"), command, HashMap::new(), data).await
    }

    /// Starts a ClickHouse: the engine behind the HTTP front of `clickhouse-embedded`.
    pub async fn clickhouse() -> Result<Self> {
        let data = create_data_directory("clickhouse")?;
        let (address, command) = clickhouse_command(&data.join("engine"))?;
        Self::start(address, command, HashMap::new(), data).await
    }

    /// Starts a ClickHouse on a disk that can be made to fail.
    pub async fn clickhouse_on_failing_disk() -> Result<(Self, FailingDisk)> {
        let data = create_data_directory("clickhouse")?;
        let path = data.join("engine");
        let disk = FailingDisk::new(&data, &path)?;
        let (address, command) = clickhouse_command(&path)?;
        let store = Self::start(address, command, disk.environment(), data).await?;
        Ok((store, disk))
    }

    async fn start(
        address: String,
        command: Vec<String>,
        environment: HashMap<String, String>,
        data: PathBuf,
    ) -> Result<Self> {
        let mut store = Self::spawn(address, command, environment, data)?;
        store.wait_until_reachable().await?;
        Ok(store)
    }

    fn spawn(
        address: String,
        command: Vec<String>,
        environment: HashMap<String, String>,
        data: PathBuf,
    ) -> Result<Self> {
        let log = data.join("output.log");
        let child = spawn(&command[0], &command[1..], &environment, &log)?;
        Ok(Self { address, command, environment, log, data, keep_data: false, child })
    }

    /// Its `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends SIGKILL and reaps the process.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again with its data, and waits until it accepts connections.
    pub async fn restart(&mut self) -> Result<()> {
        self.respawn()?;
        self.wait_until_reachable().await
    }

    /// Starts it again with its data, and returns at once.
    pub fn respawn(&mut self) -> Result<()> {
        self.child = spawn(&self.command[0], &self.command[1..], &self.environment, &self.log)?;
        Ok(())
    }

    /// Deletes `directory` below its data directory; it must not be running.
    pub fn delete_data(&self, directory: &str) -> Result<()> {
        Ok(fs::remove_dir_all(self.data.join(directory))?)
    }

    /// Exit status; `None` while it runs.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        send_signal(self.child.id(), signal)
    }

    /// Keeps the data when the value is dropped; returns its directory.
    pub fn keep_data(&mut self) -> &Path {
        self.keep_data = true;
        &self.data
    }

    async fn wait_until_reachable(&mut self) -> Result<()> {
        let (program, address) = (self.command[0].clone(), self.address.clone());
        let child = &mut self.child;
        wait::until(&format!("{program} accepts connections at {address}"), async || {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(Err(format!("{program} exited with {status}").into())));
            }
            Ok(TcpStream::connect(&address).is_ok().then_some(Ok(())))
        })
        .await?
    }
}

impl Drop for ScratchStore {
    fn drop(&mut self) {
        // Fails if the process has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !self.keep_data {
            let _ = fs::remove_dir_all(&self.data);
        }
    }
}

/// Returns the address of a new ClickHouse, and the command that starts it on the data in `path`.
fn clickhouse_command(path: &Path) -> Result<(String, Vec<String>)> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let (program, library) = (binary("clickhouse-embedded")?, environment::required("LIBCHDB")?);
    let (program, path) = (program.to_string_lossy(), path.to_string_lossy());
    let command = [&program, "--listen", &address, "--library", &library, "--path", &path].map(str::to_owned);
    Ok((address, command.into()))
}

fn create_data_directory(name: &str) -> Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("tidemark-e2e-{name}-{}", Uuid::new_v4().simple()));
    fs::create_dir_all(&path)?;
    Ok(path)
}

/// Fills in the properties file that `deploy/local` uses, and appends what only tests need.
fn kafka_properties(listeners: &[Listener], controller: u16, log: &Path) -> String {
    let join = |format: &dyn Fn(&Listener) -> String| -> String {
        listeners.iter().map(format).collect::<Vec<_>>().join(",")
    };
    let properties = include_str!("../../deploy/local/kafka/server.properties")
        .replace("${CONTROLLER_PORT}", &controller.to_string())
        .replace("${LISTENERS}", &join(&|it| format!("{}://127.0.0.1:{}", it.name, it.port)))
        .replace("${ADVERTISED_LISTENERS}", &join(&|it| format!("{}://127.0.0.1:{}", it.name, it.advertised)))
        .replace("${SECURITY_PROTOCOLS}", &join(&|it| format!("{}:{}", it.name, it.protocol)))
        .replace("${LOG_DIRECTORY}", &log.to_string_lossy());
    // One network thread for each listener: the brokers of fault campaigns have a listener for each service.
    properties + "num.network.threads=1\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafka_properties_replace_every_placeholder() {
        let redirected = Listener { name: "LINK0".to_owned(), protocol: "PLAINTEXT", port: 3, advertised: 4 };
        let listeners = [Listener::direct("PLAINTEXT", 1), redirected];
        let properties = kafka_properties(&listeners, 2, Path::new("/data/log"));
        let lines: Vec<&str> = properties.lines().filter(|line| !line.starts_with('#')).collect();
        for expected in [
            "controller.quorum.voters=1@127.0.0.1:2",
            "listeners=PLAINTEXT://127.0.0.1:1,LINK0://127.0.0.1:3,CONTROLLER://127.0.0.1:2",
            "advertised.listeners=PLAINTEXT://127.0.0.1:1,LINK0://127.0.0.1:4",
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,LINK0:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs=/data/log",
            "num.network.threads=1",
        ] {
            assert!(lines.contains(&expected), "no line {expected} in:\n{properties}");
        }
        assert!(lines.iter().all(|line| !line.contains('$')), "a placeholder is left in:\n{properties}");
    }
}
