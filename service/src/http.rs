//! An HTTP/1.1 server loop over hyper: accept, serve, and on a stop let what is in flight finish.

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

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

/// Binds `address`; the error names the setting that moves it.
pub async fn bind(address: SocketAddr, setting: &str) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        std::io::Error::new(error.kind(), format!("cannot listen on {address} ({setting}): {error}"))
    })
}
