//! A receiver of alerts on a local socket: it answers as a test says, and keeps what it was sent and when.

use crate::{Result, wait};
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// When its last byte was read.
    pub at: Instant,
    /// The path.
    pub path: String,
    /// The headers, by their names in lower case.
    pub headers: HashMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub struct Answer {
    status: String,
    header: String,
    delay: Duration,
}

impl Answer {
    /// With a status line such as `204 No Content`.
    pub fn of(status: &str) -> Self {
        Self { status: status.to_owned(), header: String::new(), delay: Duration::ZERO }
    }

    /// The same with a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.header += &format!("{name}: {value}\r\n");
        self
    }

    /// The same after a while.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<Answer>,
    otherwise: Option<Answer>,
    requests: Vec<Request>,
}

/// A receiver; it ends with the value.
pub struct Receiver {
    /// Where it listens.
    pub url: String,
    state: Arc<Mutex<State>>,
    task: AbortHandle,
}

impl Receiver {
    /// Answers 200 to all.
    pub async fn start() -> Result<Self> {
        Self::answering(Vec::new()).await
    }

    /// Answers by the script, and 200 after its end.
    pub async fn answering(script: Vec<Answer>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hooks/alerts-of-a-test", listener.local_addr()?);
        let state = Arc::new(Mutex::new(State { script: script.into(), ..State::default() }));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Ok(Self { url, state, task: task.abort_handle() })
    }

    /// Answers so from now on.
    pub fn answer(&self, answer: Answer) {
        let mut state = lock(&self.state);
        state.script.clear();
        state.otherwise = Some(answer);
    }

    /// What arrived so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.state).requests.clone()
    }

    /// What arrived, once it is so many requests.
    pub async fn received(&self, count: usize) -> Result<Vec<Request>> {
        wait::until(&format!("a receiver has {count} requests"), async || {
            let requests = self.requests();
            Ok((requests.len() >= count).then_some(requests))
        })
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request; the connection is closed after its answer.
async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) -> Option<()> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 8192]);
    let mut read = async |bytes: &mut Vec<u8>| {
        let length = stream.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&buffer[..length]);
        Some(())
    };
    let body_at = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        read(&mut bytes).await?;
    };
    let head = String::from_utf8_lossy(&bytes[..body_at]).into_owned();
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length")?.parse().ok()?;
    while bytes.len() < body_at + length {
        read(&mut bytes).await?;
    }
    let body = bytes.split_off(body_at);
    let answer = {
        let mut state = lock(&state);
        state.requests.push(Request { at: Instant::now(), path, headers, body });
        let otherwise = state.otherwise.clone().unwrap_or_else(|| Answer::of("200 OK"));
        state.script.pop_front().unwrap_or(otherwise)
    };
    tokio::time::sleep(answer.delay).await;
    let answer = format!(
        "HTTP/1.1 {}\r\n{}content-length: 0\r\nconnection: close\r\n\r\n",
        answer.status, answer.header
    );
    stream.write_all(answer.as_bytes()).await.ok()
}
