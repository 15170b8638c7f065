//! An HTTP/1.1 server loop over hyper: accept, serve, and on a stop let what is in flight finish.

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

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// For so long a service that starts lets nobody in because it is not ready. Then it says itself what is in the way.
const START: Duration = Duration::from_secs(5);
/// Between two looks whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// What is done for a client that closes its sending side after its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HalfClosed {
    /// It waits for its answer, and gets it.
    Answer,
    /// It is gone: what was begun for it is dropped, a query with it.
    Cancel,
}

/// Serves `listener` until `stop`, then waits up to `grace` for requests in flight. `service` is called for each
/// connection with the client's address.
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
                // Answers are small and complete: waiting to fill a segment only adds delay.
                let _ = stream.set_nodelay(true);
                let connection = http.serve_connection(TokioIo::new(stream), service(peer));
                let connection = connections.watch(connection);
                tokio::spawn(async move {
                    // A client that went away or spoke no HTTP concerns nobody else.
                    let _ = connection.await;
                });
            }
            Err(error) => {
                // Out of descriptors, mostly: existing connections go on, and one of them will end.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(grace, connections.shutdown()).await.is_err() {
        tracing::warn!("connections were still open at the end of the grace period");
    }
}

/// Listens on `address`; the error names the setting that moves it.
pub async fn bind(address: SocketAddr, setting: &str) -> std::io::Result<TcpListener> {
    reserve(address, setting)?.listen(BACKLOG)
}

/// Takes `address` and lets nobody in yet: whoever connects is refused, and goes to another instance at once. The error
/// names the setting that moves it.
pub fn reserve(address: SocketAddr, setting: &str) -> std::io::Result<TcpSocket> {
    let take = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // What an earlier process left behind is in nobody's way.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    take().map_err(|error: std::io::Error| {
        std::io::Error::new(error.kind(), format!("cannot listen on {address} ({setting}): {error}"))
    })
}

/// Lets clients in once the service is ready, or could not become so for a while. Adds its own condition to `health`:
/// who is told that the service is ready finds it open.
pub async fn open(socket: TcpSocket, health: &Health) -> std::io::Result<TcpListener> {
    let open = health.condition("listening");
    let ready = async {
        while health.not_ready().len() > 1 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let _ = tokio::time::timeout(START, ready).await;
    let listener = socket.listen(BACKLOG)?;
    open.set(true);
    Ok(listener)
}
