//! A service as a process: started, killed, stopped, watched.

use crate::{Result, wait};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// One running service.
pub struct Process {
    name: String,
    environment: HashMap<String, String>,
    child: Child,
    log: PathBuf,
    ops_url: String,
}

impl Process {
    /// Starts the binary `name` with these settings; its log is appended to a file in `directory`.
    pub fn start(
        name: &str,
        label: &str,
        directory: &Path,
        environment: HashMap<String, String>,
    ) -> Result<Self> {
        let ops = environment.get("OPS_LISTEN").cloned().unwrap_or_default();
        let log = directory.join(format!("{label}.log"));
        let child = spawn(name, &environment, &log)?;
        Ok(Self { name: name.to_owned(), environment, child, log, ops_url: format!("http://{ops}") })
    }

    /// Where its health and metrics are.
    pub fn ops_url(&self) -> &str {
        &self.ops_url
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time that it has used, user and system.
    pub fn cpu(&self) -> Result<Duration> {
        cpu_of(self.pid())
    }

    /// The most memory that it ever held at once, in bytes.
    pub fn peak_memory(&self) -> Result<u64> {
        memory_of(self.pid(), "VmHWM:")
    }

    /// The memory that it holds now, in bytes.
    pub fn memory(&self) -> Result<u64> {
        memory_of(self.pid(), "VmRSS:")
    }

    /// The sum of a metric's samples, whatever their labels; 0 if there are none.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let page = reqwest::get(format!("{}/metrics", self.ops_url)).await?.text().await?;
        let samples = page.lines().filter_map(|line| {
            let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
            (labels.is_empty() || labels.starts_with('{')).then(|| value.parse::<f64>().ok())?
        });
        Ok(samples.sum())
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&mut self) -> Result<()> {
        let url = format!("{}/readyz", self.ops_url);
        let (name, log) = (self.name.clone(), self.log.clone());
        let child = &mut self.child;
        wait::until(&format!("{name} is ready"), async || {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(Err(
                    format!("{name} ended with {status}; its log is {}", log.display()).into()
                )));
            }
            Ok(reqwest::get(&url).await?.status().is_success().then_some(Ok(())))
        })
        .await?
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again with the same settings.
    pub fn restart(&mut self) -> Result<()> {
        self.child = spawn(&self.name, &self.environment, &self.log)?;
        Ok(())
    }

    /// Sends a signal.
    pub fn signal(&self, which: Signal) -> Result<()> {
        signal(self.pid(), which)
    }

    /// How it ended, if it has.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// SIGTERM; waits for its end.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended().await
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let child = &mut self.child;
        wait::until(&format!("{} ends", self.name), async || Ok(child.try_wait()?)).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(name: &str, environment: &HashMap<String, String>, log: &Path) -> Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    let program = binary(name)?;
    Ok(Command::new(&program)
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?)
}

/// Sends a signal to a process.
pub fn signal(pid: u32, which: Signal) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).ok_or("no such process")?;
    Ok(kill_process(pid, which)?)
}

/// CPU time that a process has used, user and system.
pub fn cpu_of(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // After the name in brackets: state is field 3, utime 14, stime 15, in ticks of 10 ms.
    let fields: Vec<&str> =
        stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
    let ticks: u64 =
        fields.get(11..13).unwrap_or_default().iter().filter_map(|f| f.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// One of the numbers of `/proc/<pid>/status`, which are KiB, in bytes.
fn memory_of(pid: u32, field: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or_else(|| format!("no {field}"))?;
    Ok(kib.parse::<u64>()? * 1024)
}

/// The path of one of the workspace's binaries, beside the running test.
pub fn binary(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let found = own.ancestors().skip(1).take(3).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        format!(
            "the binary `{name}` is not built: cargo build --release --workspace, or run deploy/local/test"
        )
        .into()
    })
}

/// A free port of this machine, at the moment. None of those that the system gives to outgoing connections, which could
/// take it before the service does; and none that this process was given before.
pub fn free_port() -> Result<u16> {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % u32::from(COUNT))?;
    for _ in 0..COUNT {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no free port".into())
}
