//! What goes wrong when: made of a seed before anything begins, so that a failing seed can be run again.
//!
//! Two faults of one kind never hit the same thing at once; all others may overlap, and do. Every fault ends before the
//! campaign's time is over.

use super::dice::Dice;
use std::fmt;
use std::time::Duration;

/// So many gateways run.
pub const GATEWAYS: usize = 3;
/// So many workers run always.
pub const WORKERS: usize = 3;

/// A service of the campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// A gateway, counted from 0.
    Gateway(usize),
    /// A worker, counted from 0; the one after the last of [`WORKERS`] only joins now and then.
    Worker(usize),
    /// The query service.
    Query,
}

impl Service {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let gateways = (0..GATEWAYS).map(Self::Gateway);
        gateways.chain((0..=WORKERS).map(Self::Worker)).chain([Self::Query])
    }

    /// Whether it runs from the beginning.
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
    /// The log.
    Kafka,
    /// Keys, quotas and claims.
    Redis,
    /// The engine behind its front.
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

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What it should.
    Pass,
    /// It is broken, and so is every new one.
    Cut,
    /// Nothing moves; what was under way arrives when this is over.
    Stall,
    /// Requests arrive; at the first byte of an answer the connection breaks.
    LoseAnswers,
    /// Every piece comes so much later.
    Delay(Duration),
}

/// How the disk under ClickHouse fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// There is no room left.
    Full,
    /// Files can be written and not renamed: an insert ends between its token and its data.
    NoRename,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`; started again at the end.
    KillService(Service),
    /// `kill -9`; started again at the end with the data it had.
    KillStore(Store),
    /// `kill -9` of Redis; started again at the end with nothing.
    WipeRedis,
    /// SIGSTOP; SIGCONT at the end.
    FreezeService(Service),
    /// SIGSTOP; SIGCONT at the end.
    FreezeStore(Store),
    /// SIGTERM; started again at the end.
    Leave(Service),
    /// One more comes; SIGTERM at the end.
    Join(Service),
    /// The connections of a service with a store.
    Link(Service, Store, Mode),
    /// The connections of a service with all stores.
    Links(Service, Mode),
    /// The disk under ClickHouse.
    Disk(Disk),
}

impl Fault {
    /// Whether both at once would disturb each other's beginning or end.
    fn collides(self, other: Self) -> bool {
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
            Self::KillService(service) => write!(f, "kill -9 {service}"),
            Self::KillStore(store) => write!(f, "kill -9 {store}"),
            Self::WipeRedis => write!(f, "kill -9 Redis and take its data"),
            Self::FreezeService(service) => write!(f, "stop {service}"),
            Self::FreezeStore(store) => write!(f, "stop {store}"),
            Self::Leave(service) => write!(f, "{service} leaves"),
            Self::Join(service) => write!(f, "{service} joins"),
            Self::Link(service, store, mode) => write!(f, "{service} - {store}: {mode}"),
            Self::Links(service, mode) => write!(f, "{service} - all stores: {mode}"),
            Self::Disk(Disk::Full) => write!(f, "ClickHouse's disk is full"),
            Self::Disk(Disk::NoRename) => write!(f, "ClickHouse cannot rename"),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => write!(f, "as it should be"),
            Self::Cut => write!(f, "cut"),
            Self::Stall => write!(f, "nothing moves"),
            Self::LoseAnswers => write!(f, "answers are lost"),
            Self::Delay(by) => write!(f, "{} ms slower", by.as_millis()),
        }
    }
}

/// A fault and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// When it begins, from the campaign's beginning.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What it is.
    pub fault: Fault,
}

impl Entry {
    /// When it is over.
    pub fn end(&self) -> Duration {
        self.at + self.lasts
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (self.at.as_secs_f64(), self.lasts.as_secs_f64());
        write!(f, "{at:7.1} s  {}, for {lasts:.1} s", self.fault)
    }
}

/// The faults of a campaign, in the order of their beginning.
pub fn of(seed: u64, length: Duration) -> Vec<Entry> {
    let mut dice = Dice::new(seed);
    let mut entries: Vec<Entry> = Vec::new();
    let mut at = Duration::from_secs(2);
    while at < length {
        let (fault, lasts) = fault(&mut dice);
        let entry = Entry { at, lasts, fault };
        // A second between, so that what was started has begun.
        let apart =
            |other: &Entry| other.end() + Duration::from_secs(1) <= at || !other.fault.collides(fault);
        if entry.end() < length && entries.iter().all(apart) {
            entries.push(entry);
        }
        at += Duration::from_millis(dice.between(300, 4_000));
    }
    entries
}

fn fault(dice: &mut Dice) -> (Fault, Duration) {
    let (fault, least, end) = match dice.between(0, 100) {
        0..16 => (Fault::KillService(service(dice)), 100, 4_000),
        16..28 => (Fault::KillStore(store(dice)), 100, 6_000),
        28..31 => (Fault::WipeRedis, 100, 2_000),
        // Longer than the session of a member of the group.
        31..43 => (Fault::FreezeService(service(dice)), 7_000, 12_000),
        43..49 => (Fault::FreezeStore(store(dice)), 500, 8_000),
        49..54 => (Fault::Leave(worker(dice)), 500, 6_000),
        54..60 => (Fault::Join(Service::Worker(WORKERS)), 4_000, 20_000),
        60..82 => {
            let service = service(dice);
            let store = match service {
                Service::Gateway(_) => dice.one_of(Store::Kafka, &[Store::Redis]),
                Service::Worker(_) | Service::Query => store(dice),
            };
            (Fault::Link(service, store, mode(dice)), 1_000, 12_000)
        }
        82..88 => (Fault::Links(service(dice), mode(dice)), 1_000, 10_000),
        88..93 => (Fault::Disk(Disk::Full), 500, 6_000),
        _ => (Fault::Disk(Disk::NoRename), 500, 6_000),
    };
    (fault, Duration::from_millis(dice.between(least, end)))
}

fn worker(dice: &mut Dice) -> Service {
    Service::Worker(dice.between(0, WORKERS as u64) as usize)
}

/// Mostly workers: they have the most to lose.
fn service(dice: &mut Dice) -> Service {
    match dice.between(0, 10) {
        0..6 => worker(dice),
        6..9 => Service::Gateway(dice.between(0, GATEWAYS as u64) as usize),
        _ => Service::Query,
    }
}

fn store(dice: &mut Dice) -> Store {
    dice.one_of(Store::ClickHouse, &[Store::ClickHouse, Store::Kafka, Store::Redis])
}

fn mode(dice: &mut Dice) -> Mode {
    match dice.between(0, 4) {
        0 => Mode::Cut,
        1 => Mode::Stall,
        2 => Mode::LoseAnswers,
        _ => Mode::Delay(Duration::from_millis(dice.between(20, 1_500))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_seed_others() {
        assert_eq!(of(7, HOUR), of(7, HOUR));
        assert_ne!(of(7, HOUR), of(8, HOUR));
    }

    #[test]
    fn every_fault_ends_in_time_and_none_meets_another_at_the_same_place() {
        let entries = of(1, HOUR);
        for (index, entry) in entries.iter().enumerate() {
            assert!(entry.end() < HOUR, "{entry}");
            for earlier in &entries[..index] {
                assert!(
                    earlier.end() <= entry.at || !earlier.fault.collides(entry.fault),
                    "{earlier} and {entry}"
                );
            }
        }
    }

    #[test]
    fn every_kind_of_fault_comes() {
        let entries = of(3, HOUR);
        let mut kinds: Vec<_> = entries.iter().map(|entry| std::mem::discriminant(&entry.fault)).collect();
        kinds.dedup();
        let distinct: std::collections::HashSet<_> = kinds.into_iter().collect();
        assert_eq!(distinct.len(), 10);
    }
}
