//! The connections from one service to one store: a TCP proxy that can cut, stall or delay them.

use super::schedule::LinkMode;
use crate::error::Result;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const BUFFER_SIZE: usize = 64 << 10;

/// A running proxy. When the value is dropped, it stops and cuts its connections.
pub struct Link {
    port: u16,
    mode: watch::Sender<LinkMode>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Requests,
    Responses,
}

impl Link {
    /// Starts a proxy to `target`, which need not be listening yet.
    pub async fn to(target: SocketAddr) -> Result<Self> {
        // Any port will do: the link holds it for as long as it exists.
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (mode, watched) = watch::channel(LinkMode::Pass);
        let accepting = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((client, _)) => drop(tokio::spawn(proxy(client, target, watched.clone()))),
                    // This connection is lost; the clients must cope with that anyway.
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        Ok(Self { port, mode, accepting })
    }

    /// Port on which it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes the behaviour of existing and new connections.
    pub fn set(&self, mode: LinkMode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
        self.mode.send_replace(LinkMode::Cut);
    }
}

/// Forwards one connection until it ends or is cut. Errors are ignored: both sides see their connection closed.
async fn proxy(client: TcpStream, target: SocketAddr, mode: watch::Receiver<LinkMode>) {
    let mut watched = mode.clone();
    let cut = async move {
        // The wait fails if the link was dropped, which ends the connection as well.
        let _ = watched.wait_for(|mode| *mode == LinkMode::Cut).await;
    };
    let forwarding = async move {
        let server = TcpStream::connect(target).await?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
        }
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::try_join!(
            forward(from_client, to_server, mode.clone(), Direction::Requests),
            forward(from_server, to_client, mode, Direction::Responses),
        )
    };
    tokio::select! {
        () = cut => {}
        _ = forwarding => {}
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<LinkMode>,
    direction: Direction,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_SIZE];
    loop {
        let count = from.read(&mut buffer).await?;
        admit(&mut mode, direction).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
    }
}

/// Returns once the bytes just read may be forwarded; an error closes the connection.
async fn admit(mode: &mut watch::Receiver<LinkMode>, direction: Direction) -> io::Result<()> {
    loop {
        let current = *mode.borrow_and_update();
        match current {
            LinkMode::Pass => return Ok(()),
            LinkMode::Cut => return Err(io::ErrorKind::ConnectionReset.into()),
            LinkMode::DropResponses if direction == Direction::Responses => {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            LinkMode::DropResponses => return Ok(()),
            LinkMode::Stall => mode.changed().await.map_err(|_| io::ErrorKind::ConnectionReset)?,
            LinkMode::Delay(delay) => {
                tokio::time::sleep(delay).await;
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A link to an echo server, and a connection through it.
    async fn echo() -> Result<(Link, TcpStream)> {
        let server = TcpListener::bind("127.0.0.1:0").await?;
        let target = server.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = server.accept().await {
                let (mut read, mut write) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut read, &mut write).await });
            }
        });
        let link = Link::to(target).await?;
        let client = TcpStream::connect(("127.0.0.1", link.port())).await?;
        Ok((link, client))
    }

    async fn round_trip(client: &mut TcpStream) -> io::Result<u8> {
        client.write_all(b"x").await?;
        client.read_u8().await
    }

    #[tokio::test]
    async fn cut_breaks_connections_until_it_ends() -> Result<()> {
        let (link, mut client) = echo().await?;
        assert_eq!(round_trip(&mut client).await?, b'x');
        link.set(LinkMode::Cut);
        assert!(round_trip(&mut client).await.is_err());
        link.set(LinkMode::Pass);
        let mut client = TcpStream::connect(("127.0.0.1", link.port())).await?;
        assert_eq!(round_trip(&mut client).await?, b'x');
        Ok(())
    }

    #[tokio::test]
    async fn stalled_bytes_arrive_when_the_stall_ends() -> Result<()> {
        let (link, mut client) = echo().await?;
        link.set(LinkMode::Stall);
        let waiting = tokio::time::timeout(Duration::from_millis(50), round_trip(&mut client));
        assert!(waiting.await.is_err());
        link.set(LinkMode::Delay(Duration::from_millis(1)));
        assert_eq!(client.read_u8().await?, b'x');
        Ok(())
    }

    #[tokio::test]
    async fn dropped_response_breaks_the_connection() -> Result<()> {
        let (link, mut client) = echo().await?;
        link.set(LinkMode::DropResponses);
        assert!(round_trip(&mut client).await.is_err());
        Ok(())
    }
}
