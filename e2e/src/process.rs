//! Service processes: started, killed, stopped, measured.

use crate::error::Result;
use crate::wait;
use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A service of the workspace. The process is killed when the value is dropped.
pub struct Process {
    name: String,
    environment: HashMap<String, String>,
    child: Child,
    log: PathBuf,
    ops_url: String,
}

impl Process {
    /// Starts the workspace's binary `name` with settings in its environment. Its output is appended to
    /// `<label>.log` in `directory`.
    pub fn start(
        name: &str,
        label: &str,
        directory: &Path,
        environment: HashMap<String, String>,
    ) -> Result<Self> {
        let ops = environment.get("OPS_LISTEN").cloned().unwrap_or_default();
        let log = directory.join(format!("{label}.log"));
        let child = spawn(binary(name)?, &[], &environment, &log)?;
        Ok(Self { name: name.to_owned(), environment, child, log, ops_url: format!("http://{ops}") })
    }

    /// Base URL of its health checks and metrics.
    pub fn ops_url(&self) -> &str {
        &self.ops_url
    }

    /// Contents of its log file.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Process id; changes when it is restarted.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time used so far, user and system.
    pub fn cpu(&self) -> Result<Duration> {
        cpu_of(self.pid())
    }

    /// Peak resident memory in bytes.
    pub fn peak_memory(&self) -> Result<u64> {
        memory_of(self.pid(), "VmHWM:")
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> Result<u64> {
        memory_of(self.pid(), "VmRSS:")
    }

    /// Status and body of a GET from its operations port.
    pub async fn ops(&self, path: &str) -> Result<(StatusCode, String)> {
        let response = reqwest::get(format!("{}{path}", self.ops_url)).await?;
        Ok((response.status(), response.text().await?))
    }

    /// Metrics in Prometheus text format.
    pub async fn metrics_page(&self) -> Result<String> {
        Ok(self.ops("/metrics").await?.1)
    }

    /// Returns the sum of a metric's samples over all labels, or the one sample of a series
    /// `name{label="value"}`; 0 if there is none.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let page = self.metrics_page().await?;
        let samples = page.lines().filter_map(|line| {
            let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
            (labels.is_empty() || labels.starts_with('{')).then(|| value.parse::<f64>().ok())?
        });
        Ok(samples.sum())
    }

    /// Waits until `/readyz` answers 200; fails at once if the process exits.
    pub async fn ready(&mut self) -> Result<()> {
        let url = format!("{}/readyz", self.ops_url);
        let (name, log) = (self.name.clone(), self.log.clone());
        let child = &mut self.child;
        wait::until(&format!("{name} is ready"), async || {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(Err(format!("{name} exited with {status}; log: {}", log.display()).into())));
            }
            Ok(reqwest::get(&url).await?.status().is_success().then_some(Ok(())))
        })
        .await?
    }

    /// Sends SIGKILL and reaps the process.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again with the same settings.
    pub fn restart(&mut self) -> Result<()> {
        self.child = spawn(binary(&self.name)?, &[], &self.environment, &self.log)?;
        Ok(())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        send_signal(self.pid(), signal)
    }

    /// Exit status; `None` while it runs.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends SIGTERM and waits until it has exited.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let child = &mut self.child;
        wait::until(&format!("{} exits", self.name), async || Ok(child.try_wait()?)).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if the process has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program; its output is appended to `log`.
pub(crate) fn spawn(
    program: impl AsRef<OsStr>,
    arguments: &[String],
    environment: &HashMap<String, String>,
    log: &Path,
) -> Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    let program = program.as_ref();
    Ok(Command::new(program)
        .args(arguments)
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", program.display()))?)
}

/// Sends a signal to a process.
pub fn send_signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).ok_or("no such process")?;
    Ok(kill_process(pid, signal)?)
}

/// CPU time that a process has used, user and system.
pub fn cpu_of(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Fields are counted after the name in brackets: state is field 3, utime 14, stime 15, in ticks of 10 ms.
    let fields: Vec<&str> =
        stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
    let ticks: u64 =
        fields.get(11..13).unwrap_or_default().iter().filter_map(|f| f.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// A field of `/proc/<pid>/status`, which states KiB, in bytes.
fn memory_of(pid: u32, field: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .ok_or_else(|| format!("/proc/{pid}/status has no {field}"))?;
    Ok(kib.parse::<u64>()? * 1024)
}

/// Returns the path of one of the workspace's binaries. Cargo puts them beside the running binary or, when a
/// test runs, in the directory above it; the profile and the target directory do not matter.
pub fn binary(name: &str) -> Result<PathBuf> {
    let running = std::env::current_exe()?;
    let directories = running.ancestors().skip(1).take(2);
    let found = directories.map(|directory| directory.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        format!(
            "the binary `{name}` is not built for {}: run the tests with deploy/local/test, which builds it",
            running.display()
        )
        .into()
    })
}

/// Creates and returns the directory for the logs of one installation. All are in `e2e-logs` beside the
/// binaries, where `deploy/local/test` searches them for keys.
pub(crate) fn log_directory(namespace: &str) -> Result<PathBuf> {
    let directory = binary("gateway")?.with_file_name("e2e-logs").join(namespace);
    fs::create_dir_all(&directory)?;
    Ok(directory)
}
