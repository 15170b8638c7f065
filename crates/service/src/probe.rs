//! The `health` command of a service: it queries `/readyz` of the running process, so that a container image
//! needs neither a shell nor an HTTP client for its health check.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// Timeout for connecting, for writing and for each read.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A command that replaces running the service.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Check whether the service that runs on this machine with the same --ops-listen is ready: exit status 0
    /// if it is.
    Health,
}

/// Checks the readiness of the process with the operations port `ops_listen`, and prints the reasons if it is
/// not ready.
pub fn health(ops_listen: &str) -> ExitCode {
    match check_readiness(ops_listen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn check_readiness(ops_listen: &str) -> Result<(), String> {
    let listen: SocketAddr = ops_listen.trim().parse().map_err(|_| {
        format!("--ops-listen: `{ops_listen}` is not an address such as 127.0.0.1:8080 or [::]:8080")
    })?;
    let address = reachable(listen);
    let failed = |error: std::io::Error| format!("{address} does not answer: {error}");
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(failed)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
    stream.set_write_timeout(Some(TIMEOUT)).map_err(failed)?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    let (head, reasons) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some(_) => Err(format!("not ready: {}", reasons.trim().replace('\n', ", "))),
        None => Err(format!("the answer of {address} is not HTTP")),
    }
}

/// Returns the address to connect to; a wildcard address becomes the loopback address.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Health;
    use prometheus_client::registry::Registry;
    use std::sync::Arc;
    use tokio_util::sync::CancellationToken;

    #[tokio::test(flavor = "multi_thread")]
    async fn readiness_of_the_process_is_reported() {
        let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.expect("free port");
        let address = listener.local_addr().expect("local address").to_string();
        let (health, stop) = (Health::default(), CancellationToken::new());
        let kafka = health.condition("kafka");
        let serving =
            tokio::spawn(crate::ops::serve(listener, health, Arc::new(Registry::default()), stop.clone()));
        let check = |address: String| tokio::task::spawn_blocking(move || check_readiness(&address));
        assert_eq!(check(address.clone()).await.expect("no panic"), Err("not ready: kafka".to_owned()));
        kafka.set(true);
        assert_eq!(check(address.clone()).await.expect("no panic"), Ok(()));
        stop.cancel();
        serving.await.expect("no panic");
        assert!(check(address).await.expect("no panic").is_err());
    }
}
