//! TCP ports for the services and stores that tests start.
//!
//! A process claims whole blocks of ports: it binds the first port of a block and holds it until it exits. Test
//! processes that run side by side therefore never hand out the same port, and a service that is killed finds
//! its port free when it is started again.

use crate::error::Result;
use std::net::TcpListener;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// All blocks lie below the ports that the system gives to outgoing connections (32768 and up on Linux): such a
/// connection could take a port before the service listens on it.
const FIRST: u16 = 20_000;
const BLOCK_SIZE: u16 = 100;
const BLOCKS: u16 = 100;

/// Returns a port of this machine that is free now and that no test process was given while this one runs.
pub fn free_port() -> Result<u16> {
    static PORTS: Mutex<Ports> = Mutex::new(Ports::new());
    PORTS.lock().unwrap_or_else(PoisonError::into_inner).next_free()
}

struct Ports {
    /// Listeners on the first ports of the claimed blocks.
    claims: Vec<TcpListener>,
    /// Ports of the newest block that were not handed out yet.
    remaining: Range<u16>,
}

impl Ports {
    const fn new() -> Self {
        Self { claims: Vec::new(), remaining: 0..0 }
    }

    fn next_free(&mut self) -> Result<u16> {
        loop {
            // A service that outlived its test process may still hold a port of a block that is free again.
            if let Some(port) = self.remaining.find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
                return Ok(port);
            }
            self.claim_block()?;
        }
    }

    fn claim_block(&mut self) -> Result<()> {
        // Processes that start one after the other have neighbouring ids: each tries another block first.
        let start = u16::try_from(std::process::id() % u32::from(BLOCKS))?;
        for block in 0..BLOCKS {
            let first = FIRST + (start + block) % BLOCKS * BLOCK_SIZE;
            if let Ok(claim) = TcpListener::bind(("127.0.0.1", first)) {
                self.claims.push(claim);
                self.remaining = first + 1..first + BLOCK_SIZE;
                return Ok(());
            }
        }
        Err(format!(
            "no free ports: test processes hold all from {FIRST} to {}",
            FIRST + BLOCKS * BLOCK_SIZE - 1
        )
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn processes_never_share_a_port() -> Result<()> {
        let mut processes = [Ports::new(), Ports::new()];
        let mut ports = BTreeSet::new();
        for _ in 0..BLOCK_SIZE + 50 {
            for process in &mut processes {
                let port = process.next_free()?;
                assert!(ports.insert(port), "port {port} was handed out twice");
            }
        }
        assert!(processes.iter().all(|process| process.claims.len() == 2));
        Ok(())
    }
}
