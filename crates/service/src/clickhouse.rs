//! ClickHouse: a client, over TLS where the address says so, the names that services share, and what it says when it
//! refuses.

use crate::connections::{self, NoTls};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;

/// Connections that answer nothing are noticed.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Less than the three seconds after which the server closes an idle connection.
const IDLE: Duration = Duration::from_secs(2);

/// A client of the server at `url`, `http://…` or `https://…`.
pub fn client(url: &str) -> Result<clickhouse::Client, NoTls> {
    let mut connector = HttpConnector::new();
    connector.set_keepalive(Some(KEEPALIVE));
    let mut http = HttpClient::builder(TokioExecutor::new());
    http.pool_idle_timeout(IDLE);
    let client = if url.starts_with("https://") {
        let connector = connections::https(connector, connections::current().roots()?)?;
        clickhouse::Client::with_http_client(http.build(connector))
    } else {
        clickhouse::Client::with_http_client(http.build(connector))
    };
    Ok(client.with_url(url))
}

/// The database of what is known about the use of an installation. It belongs to no generation: it is filled from
/// another topic.
pub fn usage_database(namespace: &str) -> String {
    if namespace.is_empty() { "tidemark_usage".to_owned() } else { format!("tidemark_{namespace}_usage") }
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
    fn the_servers_error_code_is_read_from_its_text() {
        assert_eq!(error_code("Code: 159. DB::Exception: Timeout exceeded"), Some(159));
        assert_eq!(error_code("502 Bad Gateway"), None);
    }
}
