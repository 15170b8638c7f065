//! Fault schedule of a campaign. It follows from a seed before the campaign starts, so that a failing seed can
//! be run again.
//!
//! Two faults of one kind never affect the same service, store or link at once; all others may overlap, and do.
//! Every fault ends before the campaign does.

use super::rng::Rng;
use crate::scratch::failing_disk::DiskFault;
use std::fmt;
use std::time::Duration;

/// Number of gateways.
pub const GATEWAYS: usize = 3;
/// Number of workers that run from the beginning.
pub const WORKERS: usize = 3;

/// A service of the campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Gateway by index.
    Gateway(usize),
    /// Worker by index. Worker [`WORKERS`] runs only while a [`Fault::Join`] lasts.
    Worker(usize),
    /// Query API.
    Query,
}

impl Service {
    /// All services.
    pub fn all() -> impl Iterator<Item = Self> {
        let gateways = (0..GATEWAYS).map(Self::Gateway);
        gateways.chain((0..=WORKERS).map(Self::Worker)).chain([Self::Query])
    }

    /// Reports whether it runs from the beginning.
    pub fn is_permanent(self) -> bool {
        self != Self::Worker(WORKERS)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway(index) => write!(f, "gateway-{index}"),
            Self::Worker(index) => write!(f, "ingest-worker-{index}"),
            Self::Query => write!(f, "query-api"),
        }
    }
}

/// A store of the campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Store {
    /// Source of truth.
    Kafka,
    /// Keys, quotas and claims.
    Redis,
    /// The engine behind its HTTP front.
    ClickHouse,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kafka => "Kafka",
            Self::Redis => "Redis",
            Self::ClickHouse => "ClickHouse",
        })
    }
}

/// Behaviour of the connections from a service to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkMode {
    /// Forwards everything.
    Pass,
    /// Closes existing and new connections.
    Cut,
    /// Forwards nothing; bytes on the way are forwarded when the fault ends.
    Stall,
    /// Forwards requests, and closes the connection at the first byte of a response.
    DropResponses,
    /// Forwards every chunk of bytes after a delay.
    Delay(Duration),
}

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL; restarted at the end.
    KillService(Service),
    /// SIGKILL; restarted at the end with its data.
    KillStore(Store),
    /// SIGKILL of Redis; restarted at the end without its data.
    WipeRedis,
    /// SIGSTOP; SIGCONT at the end.
    FreezeService(Service),
    /// SIGSTOP; SIGCONT at the end.
    FreezeStore(Store),
    /// SIGTERM; restarted at the end.
    Leave(Service),
    /// An additional service is started; SIGTERM at the end.
    Join(Service),
    /// Affects the connections from one service to one store.
    Link(Service, Store, LinkMode),
    /// Affects the connections from one service to all stores.
    Links(Service, LinkMode),
    /// Affects the disk under ClickHouse.
    Disk(DiskFault),
}

impl Fault {
    /// Reports whether the start or end of one of the faults would undo the other.
    fn conflicts_with(self, other: Self) -> bool {
        use Fault::{Disk, FreezeService, FreezeStore, Join, KillService, KillStore, Leave, Link, Links};
        let service = |fault| match fault {
            KillService(service) | FreezeService(service) | Leave(service) | Join(service) => Some(service),
            _ => None,
        };
        let store = |fault| match fault {
            KillStore(store) | FreezeStore(store) => Some(store),
            Self::WipeRedis => Some(Store::Redis),
            _ => None,
        };
        let links = |fault| match fault {
            Link(service, store, _) => Some((service, Some(store))),
            Links(service, _) => Some((service, None)),
            _ => None,
        };
        let same_links = match (links(self), links(other)) {
            (Some((one, first)), Some((two, second))) => {
                one == two && (first == second || first.is_none() || second.is_none())
            }
            _ => false,
        };
        let both_disk = matches!((self, other), (Disk(_), Disk(_)));
        let same_service = service(self).is_some() && service(self) == service(other);
        let same_store = store(self).is_some() && store(self) == store(other);
        same_service || same_store || same_links || both_disk
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillService(service) => write!(f, "kill {service}"),
            Self::KillStore(store) => write!(f, "kill {store}"),
            Self::WipeRedis => write!(f, "kill Redis and delete its data"),
            Self::FreezeService(service) => write!(f, "freeze {service}"),
            Self::FreezeStore(store) => write!(f, "freeze {store}"),
            Self::Leave(service) => write!(f, "stop {service}"),
            Self::Join(service) => write!(f, "add {service}"),
            Self::Link(service, store, mode) => write!(f, "{service} to {store}: {mode}"),
            Self::Links(service, mode) => write!(f, "{service} to all stores: {mode}"),
            Self::Disk(DiskFault::Full) => write!(f, "ClickHouse: disk full"),
            Self::Disk(DiskFault::NoRename) => write!(f, "ClickHouse: renames fail"),
        }
    }
}

impl fmt::Display for LinkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => write!(f, "connections pass"),
            Self::Cut => write!(f, "connections cut"),
            Self::Stall => write!(f, "connections stalled"),
            Self::DropResponses => write!(f, "responses dropped"),
            Self::Delay(delay) => write!(f, "connections delayed by {} ms", delay.as_millis()),
        }
    }
}

/// A scheduled fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Start, counted from the start of the campaign.
    pub start: Duration,
    /// Length.
    pub duration: Duration,
    /// The fault.
    pub fault: Fault,
}

impl Entry {
    /// End, counted from the start of the campaign.
    pub fn end(&self) -> Duration {
        self.start + self.duration
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, duration) = (self.start.as_secs_f64(), self.duration.as_secs_f64());
        write!(f, "{start:7.1} s  {}, for {duration:.1} s", self.fault)
    }
}

/// Returns the faults of a campaign, ordered by start.
pub fn generate(seed: u64, length: Duration) -> Vec<Entry> {
    let mut rng = Rng::new(seed);
    let mut entries: Vec<Entry> = Vec::new();
    let mut start = Duration::from_secs(2);
    while start < length {
        let (fault, duration) = fault(&mut rng);
        let entry = Entry { start, duration, fault };
        // A second between two faults on the same target gives a restarted process time to come up.
        let compatible = |other: &Entry| {
            other.end() + Duration::from_secs(1) <= start || !other.fault.conflicts_with(fault)
        };
        if entry.end() < length && entries.iter().all(compatible) {
            entries.push(entry);
        }
        start += Duration::from_millis(rng.between(300, 4_000));
    }
    entries
}

/// Draws a fault and its duration.
fn fault(rng: &mut Rng) -> (Fault, Duration) {
    let (fault, shortest_ms, longest_ms) = match rng.between(0, 100) {
        0..16 => (Fault::KillService(service(rng)), 100, 4_000),
        16..28 => (Fault::KillStore(store(rng)), 100, 6_000),
        28..31 => (Fault::WipeRedis, 100, 2_000),
        // Longer than the session timeout of a group member, 6 s.
        31..43 => (Fault::FreezeService(service(rng)), 7_000, 12_000),
        43..49 => (Fault::FreezeStore(store(rng)), 500, 8_000),
        49..54 => (Fault::Leave(worker(rng)), 500, 6_000),
        54..60 => (Fault::Join(Service::Worker(WORKERS)), 4_000, 20_000),
        60..82 => {
            let service = service(rng);
            let store = match service {
                Service::Gateway(_) => rng.one_of(Store::Kafka, &[Store::Redis]),
                Service::Worker(_) | Service::Query => store(rng),
            };
            (Fault::Link(service, store, link_mode(rng)), 1_000, 12_000)
        }
        82..88 => (Fault::Links(service(rng), link_mode(rng)), 1_000, 10_000),
        88..93 => (Fault::Disk(DiskFault::Full), 500, 6_000),
        _ => (Fault::Disk(DiskFault::NoRename), 500, 6_000),
    };
    (fault, Duration::from_millis(rng.between(shortest_ms, longest_ms)))
}

fn worker(rng: &mut Rng) -> Service {
    Service::Worker(rng.between(0, WORKERS as u64) as usize)
}

/// Draws a service; workers most often, because exactly-once storage depends on them.
fn service(rng: &mut Rng) -> Service {
    match rng.between(0, 10) {
        0..6 => worker(rng),
        6..9 => Service::Gateway(rng.between(0, GATEWAYS as u64) as usize),
        _ => Service::Query,
    }
}

fn store(rng: &mut Rng) -> Store {
    rng.one_of(Store::ClickHouse, &[Store::ClickHouse, Store::Kafka, Store::Redis])
}

fn link_mode(rng: &mut Rng) -> LinkMode {
    match rng.between(0, 4) {
        0 => LinkMode::Cut,
        1 => LinkMode::Stall,
        2 => LinkMode::DropResponses,
        _ => LinkMode::Delay(Duration::from_millis(rng.between(20, 1_500))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn schedule_is_determined_by_its_seed() {
        assert_eq!(generate(7, HOUR), generate(7, HOUR));
        assert_ne!(generate(7, HOUR), generate(8, HOUR));
    }

    #[test]
    fn faults_end_in_time_and_never_conflict() {
        let entries = generate(1, HOUR);
        for (index, entry) in entries.iter().enumerate() {
            assert!(entry.end() < HOUR, "{entry}");
            for earlier in &entries[..index] {
                assert!(
                    earlier.end() <= entry.start || !earlier.fault.conflicts_with(entry.fault),
                    "{earlier} and {entry}"
                );
            }
        }
    }

    #[test]
    fn every_kind_of_fault_is_scheduled() {
        let entries = generate(3, HOUR);
        let kinds: std::collections::HashSet<_> =
            entries.iter().map(|entry| std::mem::discriminant(&entry.fault)).collect();
        assert_eq!(kinds.len(), 10);
    }
}
