//! Server under test: a `clickhouse-embedded` process on a free port, or the server at `CLICKHOUSE_URL`.
#![allow(dead_code, reason = "each test program uses only part of this module")]

use clickhouse::Client;
use clickhouse::error::Error;
use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Maximum time to wait for a condition; generous, for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `clickhouse-embedded`, or an external server.
pub struct Server {
    url: String,
    process: Option<(Child, PathBuf)>,
}

impl Server {
    /// Returns the server that all tests of a program share. It ends when the last test drops it.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(match std::env::var("CLICKHOUSE_URL") {
                Ok(url) => Self { url: url.trim_end_matches('/').to_owned(), process: None },
                Err(_) => Self::start(&[]),
            });
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// Starts a separate `clickhouse-embedded` with these flags.
    pub fn start(flags: &[&str]) -> Self {
        let data = std::env::temp_dir().join(format!("clickhouse-embedded-{}", uuid::Uuid::now_v7()));
        let port = free_port();
        let mut child = command(&library(), &data, port).args(flags).spawn().expect("the program starts");
        let url = format!("http://127.0.0.1:{port}");
        eventually("the server answers /ping", || {
            if let Some(status) = child.try_wait().expect("the server is a child process") {
                panic!("the server ended while starting: {status}");
            }
            request(&url, "GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .is_some_and(|a| a.contains("Ok."))
        });
        Self { url, process: Some((child, data)) }
    }

    /// Base URL of the HTTP interface.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Data directory; panics for an external server.
    pub fn data(&self) -> &Path {
        &self.process.as_ref().expect("not an external server").1
    }

    /// Returns a client without a database.
    pub fn client(&self) -> Client {
        Client::default().with_url(&self.url)
    }

    /// Returns a client with a new, empty database.
    pub async fn database(&self) -> Client {
        let name = format!("t{}", uuid::Uuid::now_v7().simple());
        let client = self.client();
        client.query(&format!("CREATE DATABASE {name}")).execute().await.expect("the database is created");
        client.with_database(name)
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let id = self.process.as_ref().expect("not an external server").0.id();
        let status = Command::new("kill").args(["-TERM", &id.to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits until the process ends and returns its exit code.
    pub fn wait_for_exit(&mut self) -> Option<i32> {
        let child = &mut self.process.as_mut().expect("not an external server").0;
        let mut status = None;
        eventually("the server ends", || {
            status = child.try_wait().expect("the server is a child process");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((child, data)) = &mut self.process {
            // Killed without a graceful shutdown, because its data is deleted anyway.
            let _ = child.kill();
            let _ = child.wait();
            let _ = std::fs::remove_dir_all(data);
        }
    }
}

/// Returns the command that starts `clickhouse-embedded`.
pub fn command(library: &str, data: &Path, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clickhouse-embedded"));
    command
        .args(["--listen", &format!("127.0.0.1:{port}"), "--library", library, "--path"])
        .arg(data)
        .env("LOG", "warn")
        .stdout(Stdio::null());
    command
}

/// Path of libchdb.so.
pub fn library() -> String {
    std::env::var("LIBCHDB").unwrap_or_else(|_| {
        panic!(
            "LIBCHDB is not set: these tests need the engine. Run them with `deploy/local/test`, which fetches the engine \
             and sets LIBCHDB to the path of libchdb.so, or set CLICKHOUSE_URL to test the contract against a server"
        )
    })
}

/// Returns a port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port is free").port()
}

/// Polls until `holds` returns true.
pub fn eventually(condition: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "timed out waiting for: {condition}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Returns the number of running queries with this `log_comment`.
pub async fn running(client: &Client, comment: &str) -> u64 {
    client
        .query("SELECT count() FROM system.processes WHERE Settings['log_comment'] = ? AND query NOT LIKE '%processes%'")
        .bind(comment)
        .fetch_one()
        .await
        .expect("system.processes answers")
}

/// Polls until `expected` queries with this `log_comment` are running.
pub async fn await_running(client: &Client, comment: &str, expected: u64) {
    let end = Instant::now() + PATIENCE;
    while running(client, comment).await != expected {
        assert!(
            Instant::now() < end,
            "timed out waiting for {expected} running queries with comment {comment}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns the ClickHouse code of an error response.
pub fn code<T: Debug>(result: Result<T, Error>) -> u32 {
    match result {
        Err(Error::BadResponse(text)) => text
            .strip_prefix("Code: ")
            .and_then(|rest| rest.split_once('.'))
            .and_then(|(code, _)| code.parse().ok())
            .unwrap_or_else(|| panic!("no code in: {text}")),
        other => panic!("expected an error response, got {other:?}"),
    }
}

/// Opens a connection to `url` and sends `bytes`.
pub fn send(url: &str, bytes: &str) -> Option<TcpStream> {
    let address = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(bytes.as_bytes()).ok()?;
    Some(stream)
}

/// Sends a request and reads until the server closes the connection.
pub fn request(url: &str, bytes: &str) -> Option<String> {
    let mut stream = send(url, bytes)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
