//! HTTP server for what the services send, such as alert notifications: it records requests and sends canned
//! responses.

use crate::error::Result;
use crate::wait;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// A request that was received.
#[derive(Debug, Clone)]
pub struct Request {
    /// Time at which its last byte was read.
    pub at: Instant,
    /// Request path.
    pub path: String,
    /// Headers by lower-case name.
    pub headers: HashMap<String, String>,
    /// Body.
    pub body: Vec<u8>,
}

impl Request {
    /// Body as JSON.
    pub fn json(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// Body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Value of a header; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// Response that a [`Receiver`] sends.
#[derive(Debug, Clone)]
pub struct CannedResponse {
    status: String,
    headers: String,
    delay: Duration,
}

impl CannedResponse {
    /// Empty response with a status such as `204 No Content`.
    pub fn new(status: &str) -> Self {
        Self { status: status.to_owned(), headers: String::new(), delay: Duration::ZERO }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers += &format!("{name}: {value}\r\n");
        self
    }

    /// Sends the response only after `delay`.
    #[must_use]
    pub fn delayed(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

#[derive(Debug, Default)]
struct State {
    /// Responses to the next requests, each used once.
    script: VecDeque<CannedResponse>,
    /// Response once the script is used up; 200 if there is none.
    default_response: Option<CannedResponse>,
    requests: Vec<Request>,
}

/// A running receiver; it stops when the value is dropped.
pub struct Receiver {
    /// URL to which requests are sent.
    pub url: String,
    state: Arc<Mutex<State>>,
    task: AbortHandle,
}

impl Receiver {
    /// Starts a receiver that answers every request with 200.
    pub async fn start() -> Result<Self> {
        Self::with_responses(Vec::new()).await
    }

    /// Starts a receiver that answers the first requests with `script` and all others with 200.
    pub async fn with_responses(script: Vec<CannedResponse>) -> Result<Self> {
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

    /// Answers all further requests with `response`; discards the rest of the script.
    pub fn respond_with(&self, response: CannedResponse) {
        let mut state = lock(&self.state);
        state.script.clear();
        state.default_response = Some(response);
    }

    /// All requests received so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.state).requests.clone()
    }

    /// Waits for at least `count` requests; returns all of them.
    pub async fn received(&self, count: usize) -> Result<Vec<Request>> {
        wait::until(&format!("the receiver has {count} requests"), async || {
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

/// Serves one request and closes the connection; `None` if the client broke it off.
async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) -> Option<()> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 8192]);
    let mut read = async |bytes: &mut Vec<u8>| {
        let length = stream.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&buffer[..length]);
        Some(())
    };
    let body_start = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        read(&mut bytes).await?;
    };
    let head = String::from_utf8_lossy(&bytes[..body_start]).into_owned();
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length")?.parse().ok()?;
    while bytes.len() < body_start + length {
        read(&mut bytes).await?;
    }
    let body = bytes.split_off(body_start);
    let response = {
        let mut state = lock(&state);
        state.requests.push(Request { at: Instant::now(), path, headers, body });
        let default = state.default_response.clone().unwrap_or_else(|| CannedResponse::new("200 OK"));
        state.script.pop_front().unwrap_or(default)
    };
    tokio::time::sleep(response.delay).await;
    let response = format!(
        "HTTP/1.1 {}\r\n{}content-length: 0\r\nconnection: close\r\n\r\n",
        response.status, response.headers
    );
    stream.write_all(response.as_bytes()).await.ok()
}
