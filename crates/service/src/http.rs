//! HTTP/1.1 server loop over hyper: accepts connections, serves them, and on shutdown lets requests in flight
//! finish.

use crate::health::Health;
use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

/// Maximum time for a client to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum time that a starting service refuses connections because it is not ready. After that it accepts
/// them, and its responses say what is unavailable.
const MAX_START_DELAY: Duration = Duration::from_secs(5);
/// Interval at which a starting service checks its readiness.
const READINESS_POLL: Duration = Duration::from_millis(10);
/// Pause after a failure to accept a connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Maximum number of connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Treatment of a client that closes its sending side after its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HalfClosed {
    /// The client still waits for its response and gets it.
    Answer,
    /// The client is gone: the work for its request is dropped, which also cancels a running query.
    Cancel,
}

/// Serves `listener` until `stop`, then waits up to `grace` for requests in flight. `service` is called once
/// per connection, with the peer's address.
pub async fn serve<M, S, B>(
    listener: TcpListener,
    service: M,
    half_closed: HalfClosed,
    stop: CancellationToken,
    grace: Duration,
) where
    M: Fn(SocketAddr) -> S,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connections = GracefulShutdown::new();
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    http.half_close(half_closed == HalfClosed::Answer);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Responses are small and written at once: Nagle's algorithm would only add delay.
                let _ = stream.set_nodelay(true);
                let connection = http.serve_connection(TokioIo::new(stream), service(peer));
                let connection = connections.watch(connection);
                tokio::spawn(async move {
                    // Errors of one connection (the client disconnected, or sent no HTTP) affect no other.
                    let _ = connection.await;
                });
            }
            Err(error) => {
                // Usually out of file descriptors: existing connections continue, and one that ends frees a
                // descriptor.
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(grace, connections.shutdown()).await.is_err() {
        tracing::warn!("shutdown: connections still open after the grace period");
    }
}

/// Listens on `address`. The error names `setting`, which changes the address.
pub async fn bind(address: SocketAddr, setting: &str) -> std::io::Result<TcpListener> {
    reserve(address, setting)?.listen(BACKLOG)
}

/// Binds `address` without listening yet: connections are refused, so clients try another instance at once.
/// The error names `setting`, which changes the address.
pub fn reserve(address: SocketAddr, setting: &str) -> std::io::Result<TcpSocket> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Connections of an earlier process that linger in TIME_WAIT must not block the address.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    bound().map_err(|error: std::io::Error| {
        std::io::Error::new(error.kind(), format!("cannot listen on {address} ({setting}): {error}"))
    })
}

/// Starts to listen once the service is ready, or after 5 s if it is not ready by then. Adds a condition of
/// its own to `health`, so that the service is reported ready only once it accepts connections.
pub async fn open(socket: TcpSocket, health: &Health) -> std::io::Result<TcpListener> {
    let listening = health.condition("listening");
    let ready = async {
        // The condition `listening` itself does not hold yet.
        while health.not_ready().len() > 1 {
            tokio::time::sleep(READINESS_POLL).await;
        }
    };
    let _ = tokio::time::timeout(MAX_START_DELAY, ready).await;
    let listener = socket.listen(BACKLOG)?;
    listening.set(true);
    Ok(listener)
}
