//! HTTP client that connects to permitted addresses only.
//!
//! The client resolves the host name itself, checks the address, and connects to that address, so that a second resolution
//! cannot lead elsewhere (DNS rebinding). Each redirect is checked in the same way. A request with its redirects has one
//! deadline, and only the beginning of the response body is read. Connections are not reused, because there are many
//! receivers and each is called rarely.

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

/// Time limit of a request, including redirects.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// Time limit of connecting to one address of a host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum number of bytes of a response body that are read.
const MAX_BODY_BYTES: usize = 64 << 10;
/// Maximum number of redirects that are followed.
const MAX_REDIRECTS: usize = 3;

/// HTTP client for receivers. Clones share its settings.
#[derive(Clone)]
pub struct Client {
    allowed: Arc<Allowed>,
    tls: TlsConnector,
}

impl Client {
    /// Creates a client that connects to public addresses and to those that are `allowed`.
    pub fn new(allowed: Allowed) -> Result<Self, rustls::Error> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { allowed: Arc::new(allowed), tls: Arc::new(tls).into() })
    }

    /// Posts the JSON text `body` with `headers`.
    pub async fn post(&self, target: &Target, headers: &HeaderMap, body: Bytes) -> Outcome {
        let send = self.follow(target.clone(), headers, body);
        tokio::time::timeout(DEADLINE, send).await.unwrap_or(Outcome::TimedOut)
    }

    /// Returns whether `target` is an IP address that is not permitted, so that no request can succeed.
    pub fn refuses(&self, target: &Target) -> bool {
        ip_literal(target).is_some_and(|address| !self.allowed.permits(address))
    }

    async fn follow(&self, mut target: Target, headers: &HeaderMap, body: Bytes) -> Outcome {
        for _ in 0..=MAX_REDIRECTS {
            let (head, body) = match self.send(&target, headers, body.clone()).await {
                Ok(response) => response.into_parts(),
                Err(outcome) => return outcome,
            };
            // A short body is read to its end, because receivers would log an early close as a failure of the client.
            let _ = Limited::new(body, MAX_BODY_BYTES).collect().await;
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
                    let delay =
                        text(RETRY_AFTER).and_then(|text| retry_after(text, service::clock::now_ms()));
                    return Outcome::Answered(status, delay);
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
        if !target.is_https() {
            return exchange(stream, target, headers, body).await;
        }
        let name = match target.host() {
            Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).ok(),
            _ => ip_literal(target).map(ServerName::from),
        };
        let name = name.ok_or(Outcome::NoAddress)?;
        let stream =
            self.tls.connect(name, stream).await.map_err(|_| Outcome::Broken("TLS handshake failed"))?;
        exchange(stream, target, headers, body).await
    }

    /// Connects to the first permitted address of the target that accepts the connection.
    async fn connect(&self, target: &Target) -> Result<TcpStream, Outcome> {
        let port = target.port();
        let addresses: Vec<SocketAddr> = match (ip_literal(target), target.host()) {
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
            match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(_)) => outcome = Outcome::Broken("connection refused or unreachable"),
                Err(_) => outcome = Outcome::TimedOut,
            }
        }
        Err(outcome)
    }
}

/// Returns the host of the target if it is an IP address.
fn ip_literal(target: &Target) -> Option<IpAddr> {
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
    const BROKEN: Outcome = Outcome::Broken("closed before a response was received");
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
