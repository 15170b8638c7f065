//! `SERVICE health`: the binary asks the process that runs beside it whether it can serve, so that an image needs neither
//! a shell nor an HTTP client for its health check.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// How long the process may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a service is told instead of running.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Ask the process that runs on this machine with the same --ops-listen whether it can serve: ends with 0 if it can.
    Health,
}

/// Asks the process whose operations port `ops_listen` is; prints its answer where it is not ready.
pub fn health(ops_listen: &str) -> ExitCode {
    match ask(ops_listen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn ask(ops_listen: &str) -> Result<(), String> {
    let listen: SocketAddr =
        ops_listen.trim().parse().map_err(|_| format!("--ops-listen: `{ops_listen}` is not an address"))?;
    let address = reachable(listen);
    let failed = |error: std::io::Error| format!("{address} does not answer: {error}");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    let (head, reasons) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some(_) => Err(format!("not ready: {}", reasons.trim().replace('\n', ", "))),
        None => Err(format!("{address} does not speak HTTP")),
    }
}

/// Where a socket is reached that listens on every address.
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
    async fn it_says_what_the_process_says() {
        let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let (health, stop) = (Health::default(), CancellationToken::new());
        let kafka = health.condition("kafka");
        let serving =
            tokio::spawn(crate::ops::serve(listener, health, Arc::new(Registry::default()), stop.clone()));
        let asked = |address: String| tokio::task::spawn_blocking(move || ask(&address));
        assert_eq!(asked(address.clone()).await.expect("no panic"), Err("not ready: kafka".to_owned()));
        kafka.set(true);
        assert_eq!(asked(address.clone()).await.expect("no panic"), Ok(()));
        stop.cancel();
        serving.await.expect("no panic");
        assert!(asked(address).await.expect("no panic").is_err());
    }
}
