//! ClickHouse client (over TLS for `https://` addresses), database names that several services use, and error
//! codes.

use crate::connections::{self, TlsError, TrustedRoots};
use crate::settings::Secret;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;

/// Interval of TCP keepalive probes, which detect dead connections.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// Idle time after which the pool closes a connection; less than the 3 s after which the server closes it.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Address and credentials of a ClickHouse server.
#[derive(Clone)]
pub struct Server {
    /// The HTTP interface, `http://…` or `https://…`.
    pub url: String,
    /// The user, if the server requires one.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// The certificate authorities that are trusted over TLS.
    pub roots: TrustedRoots,
}

/// Returns a client of `server`.
pub fn client(server: &Server) -> Result<clickhouse::Client, TlsError> {
    let url = &server.url;
    let mut connector = HttpConnector::new();
    connector.set_keepalive(Some(TCP_KEEPALIVE));
    let mut http = HttpClient::builder(TokioExecutor::new());
    http.pool_idle_timeout(POOL_IDLE_TIMEOUT);
    let client = if url.starts_with("https://") {
        let connector = connections::https(connector, server.roots.store()?)?;
        clickhouse::Client::with_http_client(http.build(connector))
    } else {
        clickhouse::Client::with_http_client(http.build(connector))
    };
    let mut client = client.with_url(url);
    if let Some(user) = &server.user {
        client = client.with_user(user);
    }
    if let Some(password) = &server.password {
        client = client.with_password(password.reveal());
    }
    Ok(client)
}

/// Returns the name of the installation's usage database. It belongs to no generation of the store, because
/// it is filled from the outcomes topic, not from the metrics topic.
pub fn usage_database(namespace: &str) -> String {
    if namespace.is_empty() { "tidemark_usage".to_owned() } else { format!("tidemark_{namespace}_usage") }
}

/// Returns the database of the alert history. It belongs to no generation: it is derived from `alerts.v1`.
pub fn alerts_database(namespace: &str) -> String {
    if namespace.is_empty() { "tidemark_alerts".to_owned() } else { format!("tidemark_{namespace}_alerts") }
}

/// The number in the text of a server's error, `Code: N. DB::Exception: …`.
pub fn error_code(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Code: ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_code_is_parsed_from_exception_text() {
        assert_eq!(error_code("Code: 159. DB::Exception: Timeout exceeded"), Some(159));
        assert_eq!(error_code("502 Bad Gateway"), None);
    }
}
