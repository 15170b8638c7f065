//! Sends a request to where it may go.
//!
//! The name is resolved here and the connection goes to an address that was judged, so that no second answer of the
//! resolver can lead elsewhere; each redirect is judged anew. All of it has one deadline; of the answer's body little is
//! read. A connection serves one request: receivers are many and are seldom called.

use crate::outgoing::address::Allowed;
use crate::outgoing::target::Target;
use crate::outgoing::verdict::{Outcome, retry_after};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Host;

/// How long a request may take in all.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// How long one of a host's addresses may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// How much of an answer is read.
const ANSWER: usize = 64 << 10;
/// So many redirects are followed.
const REDIRECTS: usize = 3;

/// Sends requests. Clones share its settings.
#[derive(Clone)]
pub struct Client {
    allowed: Arc<Allowed>,
    tls: TlsConnector,
}

impl Client {
    /// A client that calls public addresses, and those that are `allowed`.
    pub fn new(allowed: Allowed) -> Result<Self, rustls::Error> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { allowed: Arc::new(allowed), tls: Arc::new(tls).into() })
    }

    /// Posts `body`, JSON, with `headers`.
    pub async fn post(&self, target: &Target, headers: &HeaderMap, body: Bytes) -> Outcome {
        let send = self.follow(target.clone(), headers, body);
        tokio::time::timeout(DEADLINE, send).await.unwrap_or(Outcome::TimedOut)
    }

    /// Whether a request to `target` is refused whatever its name resolves to.
    pub fn refuses(&self, target: &Target) -> bool {
        literal(target).is_some_and(|address| !self.allowed.permits(address))
    }

    async fn follow(&self, mut target: Target, headers: &HeaderMap, body: Bytes) -> Outcome {
        for _ in 0..=REDIRECTS {
            let (head, body) = match self.send(&target, headers, body.clone()).await {
                Ok(response) => response.into_parts(),
                Err(outcome) => return outcome,
            };
            // Read to its end where it is short: who closes early looks like a client that failed.
            let _ = Limited::new(body, ANSWER).collect().await;
            let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
            match head.status {
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {
                    match text(LOCATION).and_then(|location| target.redirected(location)) {
                        Some(next) => target = next,
                        None => return Outcome::BadRedirect,
                    }
                }
                status if status.is_redirection() => return Outcome::BadRedirect,
                status => {
                    let pause =
                        text(RETRY_AFTER).and_then(|text| retry_after(text, service::clock::now_ms()));
                    return Outcome::Answered(status, pause);
                }
            }
        }
        Outcome::BadRedirect
    }

    async fn send(
        &self,
        target: &Target,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Outcome> {
        let stream = self.connect(target).await?;
        if !target.secure() {
            return exchange(stream, target, headers, body).await;
        }
        let name = match target.host() {
            Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).ok(),
            _ => literal(target).map(ServerName::from),
        };
        let name = name.ok_or(Outcome::NoAddress)?;
        let stream =
            self.tls.connect(name, stream).await.map_err(|_| Outcome::Broken("TLS was not agreed on"))?;
        exchange(stream, target, headers, body).await
    }

    /// Connects to the first of the target's addresses that accepts, of those that may be called.
    async fn connect(&self, target: &Target) -> Result<TcpStream, Outcome> {
        let port = target.port();
        let addresses: Vec<SocketAddr> = match (literal(target), target.host()) {
            (Some(address), _) => vec![(address, port).into()],
            (None, Some(Host::Domain(name))) => {
                let found = tokio::net::lookup_host((name, port)).await.map_err(|_| Outcome::NoAddress)?;
                found.collect()
            }
            (None, _) => Vec::new(),
        };
        if addresses.is_empty() {
            return Err(Outcome::NoAddress);
        }
        let mut outcome = Outcome::Refused;
        for address in addresses.iter().filter(|address| self.allowed.permits(address.ip())) {
            match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(_)) => outcome = Outcome::Broken("nobody accepted it"),
                Err(_) => outcome = Outcome::TimedOut,
            }
        }
        Err(outcome)
    }
}

/// The address, where the target names no host but an address.
fn literal(target: &Target) -> Option<IpAddr> {
    match target.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    target: &Target,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response<Incoming>, Outcome> {
    const BROKEN: Outcome = Outcome::Broken("it ended before there was an answer");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|_| BROKEN)?;
    tokio::spawn(connection);
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.path().parse().map_err(|_| Outcome::NoAddress)?;
    *request.headers_mut() = headers.clone();
    let host = HeaderValue::from_str(&target.authority()).map_err(|_| Outcome::NoAddress)?;
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request
        .headers_mut()
        .insert(USER_AGENT, HeaderValue::from_static(concat!("Tidemark/", env!("CARGO_PKG_VERSION"))));
    sender.send_request(request).await.map_err(|_| BROKEN)
}

#[cfg(test)]
mod tests;
