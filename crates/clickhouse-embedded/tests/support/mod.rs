//! What the tests talk to: a front of their own on a free port, or the server that `CLICKHOUSE_URL` names.
#![allow(dead_code, reason = "each test program uses a part of it")]

use clickhouse::Client;
use clickhouse::error::Error;
use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long a condition may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running front, or a server started by someone else.
pub struct Front {
    url: String,
    process: Option<(Child, PathBuf)>,
}

impl Front {
    /// The one that all tests of a program share; ends with the last of them.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Front>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let front = Arc::new(match std::env::var("CLICKHOUSE_URL") {
                Ok(url) => Self { url: url.trim_end_matches('/').to_owned(), process: None },
                Err(_) => Self::start(&[]),
            });
            *shared = Arc::downgrade(&front);
            front
        })
    }

    /// A front of one's own, with these flags.
    pub fn start(flags: &[&str]) -> Self {
        let data = std::env::temp_dir().join(format!("clickhouse-embedded-{}", uuid::Uuid::now_v7()));
        let port = free_port();
        let mut child =
            command(&library(), &data, port).args(flags).spawn().expect("the front's program runs");
        let url = format!("http://127.0.0.1:{port}");
        eventually("the front answers /ping", || {
            if let Some(status) = child.try_wait().expect("the front is our child") {
                panic!("the front ended at its start: {status}");
            }
            request(&url, "GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .is_some_and(|a| a.contains("Ok."))
        });
        Self { url, process: Some((child, data)) }
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the data is; a front of one's own only.
    pub fn data(&self) -> &Path {
        &self.process.as_ref().expect("started here").1
    }

    /// A client without a database.
    pub fn client(&self) -> Client {
        Client::default().with_url(&self.url)
    }

    /// A client with a database of its own, which is empty.
    pub async fn database(&self) -> Client {
        let name = format!("t{}", uuid::Uuid::now_v7().simple());
        let client = self.client();
        client.query(&format!("CREATE DATABASE {name}")).execute().await.expect("a database is made");
        client.with_database(name)
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let id = self.process.as_ref().expect("started here").0.id();
        let status = Command::new("kill").args(["-TERM", &id.to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for its end and says how it ended.
    pub fn ended(&mut self) -> Option<i32> {
        let child = &mut self.process.as_mut().expect("started here").0;
        let mut status = None;
        eventually("the front ends", || {
            status = child.try_wait().expect("the front is our child");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some((child, data)) = &mut self.process {
            // Its data goes with it: there is nothing to end in order.
            let _ = child.kill();
            let _ = child.wait();
            let _ = std::fs::remove_dir_all(data);
        }
    }
}

/// The front's program, not yet started.
pub fn command(library: &str, data: &Path, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clickhouse-embedded"));
    command
        .args(["--listen", &format!("127.0.0.1:{port}"), "--library", library, "--path"])
        .arg(data)
        .env("LOG", "warn")
        .stdout(Stdio::null());
    command
}

/// The engine's file.
pub fn library() -> String {
    std::env::var("LIBCHDB").unwrap_or_else(|_| {
        panic!(
            "LIBCHDB is not set: these tests need the engine. `deploy/local/test` fetches it and sets LIBCHDB to the \
             place of libchdb.so; CLICKHOUSE_URL runs the contract against a server instead"
        )
    })
}

/// A port that nobody listened on a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("there is a free port").port()
}

/// Polls until `holds`.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How many running queries carry this comment.
pub async fn running(client: &Client, comment: &str) -> u64 {
    client
        .query("SELECT count() FROM system.processes WHERE Settings['log_comment'] = ? AND query NOT LIKE '%processes%'")
        .bind(comment)
        .fetch_one()
        .await
        .expect("system.processes answers")
}

/// Polls until as many queries carry this comment.
pub async fn await_running(client: &Client, comment: &str, wanted: u64) {
    let end = Instant::now() + PATIENCE;
    while running(client, comment).await != wanted {
        assert!(Instant::now() < end, "never were {wanted} queries running with the comment {comment}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// ClickHouse's code in an error that the server answered.
pub fn code<T: Debug>(result: Result<T, Error>) -> u32 {
    match result {
        Err(Error::BadResponse(text)) => text
            .strip_prefix("Code: ")
            .and_then(|rest| rest.split_once('.'))
            .and_then(|(code, _)| code.parse().ok())
            .unwrap_or_else(|| panic!("no code in: {text}")),
        other => panic!("expected an answer with an error, got {other:?}"),
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

/// Sends a request, ends the sending side, and reads all that comes.
pub fn request(url: &str, bytes: &str) -> Option<String> {
    let mut stream = send(url, bytes)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
