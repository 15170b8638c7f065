//! The connections between one service and one store: a TCP proxy that cuts, stalls or delays them when told to.

use super::schedule::Mode;
use crate::Result;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const PIECE: usize = 64 << 10;

/// Connections to one place. They end with the value.
pub struct Link {
    port: u16,
    mode: watch::Sender<Mode>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Requests,
    Answers,
}

impl Link {
    /// Takes connections and passes them on to `target`, which need not be there yet.
    pub async fn to(target: SocketAddr) -> Result<Self> {
        // Held as long as the link is there, so it may be any.
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (mode, watched) = watch::channel(Mode::Pass);
        let accepting = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((client, _)) => drop(tokio::spawn(connection(client, target, watched.clone()))),
                    // The one connection is lost, as connections may be.
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        Ok(Self { port, mode, accepting })
    }

    /// Where it listens, on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on its connections do this.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
        // Connections that are there end too.
        self.mode.send_replace(Mode::Cut);
    }
}

/// Errors are what broken connections are: both ends see the end of theirs.
async fn connection(client: TcpStream, target: SocketAddr, mode: watch::Receiver<Mode>) {
    let mut cut = mode.clone();
    let broken = async move {
        // An error: the link is gone.
        let _ = cut.wait_for(|mode| *mode == Mode::Cut).await;
    };
    let passing = async move {
        let server = TcpStream::connect(target).await?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
        }
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::try_join!(
            pass(from_client, to_server, mode.clone(), Way::Requests),
            pass(from_server, to_client, mode, Way::Answers),
        )
    };
    tokio::select! {
        () = broken => {}
        _ = passing => {}
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    way: Way,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let count = from.read(&mut piece).await?;
        admitted(&mut mode, way).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..count]).await?;
    }
}

/// Returns once a piece may go on; an error breaks the connection.
async fn admitted(mode: &mut watch::Receiver<Mode>, way: Way) -> io::Result<()> {
    loop {
        let now = *mode.borrow_and_update();
        match now {
            Mode::Pass => return Ok(()),
            Mode::Cut => return Err(io::ErrorKind::ConnectionReset.into()),
            Mode::LoseAnswers if way == Way::Answers => return Err(io::ErrorKind::ConnectionReset.into()),
            Mode::LoseAnswers => return Ok(()),
            Mode::Stall => mode.changed().await.map_err(|_| io::ErrorKind::ConnectionReset)?,
            Mode::Delay(by) => {
                tokio::time::sleep(by).await;
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A link to a server that answers every piece with the same, and a connection through it.
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

    async fn answer(client: &mut TcpStream) -> io::Result<u8> {
        client.write_all(b"x").await?;
        client.read_u8().await
    }

    #[tokio::test]
    async fn what_is_cut_is_broken_and_a_new_connection_works_afterwards() -> Result<()> {
        let (link, mut client) = echo().await?;
        assert_eq!(answer(&mut client).await?, b'x');
        link.set(Mode::Cut);
        assert!(answer(&mut client).await.is_err());
        link.set(Mode::Pass);
        let mut client = TcpStream::connect(("127.0.0.1", link.port())).await?;
        assert_eq!(answer(&mut client).await?, b'x');
        Ok(())
    }

    #[tokio::test]
    async fn what_is_stalled_arrives_when_the_stall_is_over() -> Result<()> {
        let (link, mut client) = echo().await?;
        link.set(Mode::Stall);
        let waiting = tokio::time::timeout(Duration::from_millis(50), answer(&mut client));
        assert!(waiting.await.is_err());
        link.set(Mode::Delay(Duration::from_millis(1)));
        assert_eq!(client.read_u8().await?, b'x');
        Ok(())
    }

    #[tokio::test]
    async fn a_lost_answer_breaks_the_connection() -> Result<()> {
        let (link, mut client) = echo().await?;
        link.set(Mode::LoseAnswers);
        assert!(answer(&mut client).await.is_err());
        Ok(())
    }
}
