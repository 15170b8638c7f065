//! Quotas: so many requests per project and clock hour, counted exactly over any number of gateways.
//!
//! What is promised:
//! - While Redis answers, no hour sees one granted request more than the plan allows, and no two requests that stay
//!   counted are told the same number of remaining ones (under one limit).
//! - A request costs one number of its hour. A request that is told to come again gives its number back, to that hour
//!   and no other, once; where the outcome of giving it back is unknown it is not tried again.
//! - An answer that is lost on the way, or a gateway that is killed, may cost its project numbers that nobody used; no
//!   number is granted twice.
//! - A change of the limit acts with the next request that knows it.
//!
//! How: Redis counts (`count.lua`, [`store`]), by its own clock. [`counter`] is what one gateway knows of one project: who
//! waits, what is to be given back, that the hour is used up, and the highest number seen, which every call carries, so
//! that a Redis that lost its last writes is told. It has no clock and no I/O. [`Quotas`] is the thin shell that drives
//! it: one call of a project is under way at a time, and all who come meanwhile share the next. A busy project with much
//! left takes numbers ahead with its calls ([`reserve`]), so that most of its requests wait for nobody; what is not used
//! is given back within moments.
//!
//! While Redis cannot be reached, [`Outage`] decides.

#![warn(missing_docs)]

pub mod counter;
mod gate;
pub mod reserve;
pub mod store;
mod usage;

pub use gate::Quotas;
pub use store::Used;
pub use usage::UsageReader;

use std::str::FromStr;

/// Milliseconds of a clock hour.
pub const HOUR_MS: u64 = 3_600_000;

/// Where a project stands in the hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests per hour.
    pub limit: u64,
    /// How many of them are left after this request.
    pub remaining: u64,
    /// When the next hour begins, Unix seconds.
    pub reset: u64,
}

/// What a counted request holds. It may be given back, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// The limit under which it was counted.
    pub limit: u64,
    /// Its number within the hour, 1 to `limit`.
    pub number: u64,
    /// The hour, in hours since 1970.
    pub hour: u64,
    /// Who gave the number out.
    pub source: Source,
}

/// Who gave a number out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Redis, in the epoch of its memory with this name.
    Redis(u64),
    /// This gateway alone, while Redis could not be reached.
    Alone,
}

/// The answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is counted and may go on.
    Counted(Charge),
    /// The hour is used up.
    Over {
        /// Where the project stands.
        standing: Standing,
        /// Whole seconds until the next hour has begun, at least 1.
        retry_after: u64,
    },
    /// It cannot be counted at the moment, and nothing passes uncounted. The standing is the last that was heard.
    Unavailable(Standing),
}

/// What happens to requests while Redis cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// Each gateway counts alone, on from the highest number it has seen, up to the limit.
    Open,
    /// Nothing passes.
    Closed,
}

/// Something that operators want to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// A call to Redis counts so many requests that wait.
    Called(u64),
    /// A call brought so many numbers for requests to come.
    Reserved(u64),
    /// A call was not answered: what it counted or gave back is unknown.
    Unanswered,
    /// Redis can be reached again, or not any more.
    Reachable(bool),
    /// One request was decided without Redis, for Redis cannot be reached.
    Alone,
    /// Redis has lost its memory of a project's running hour; the hour goes on from what this gateway had seen.
    Forgotten,
}

/// Hears of [`Notice`]s.
pub trait Observer: Send + Sync + 'static {
    /// Called for each; must be quick.
    fn notice(&self, notice: Notice);
}

impl Charge {
    /// Where the project stood after this request.
    pub fn standing(&self) -> Standing {
        Standing {
            limit: self.limit,
            remaining: self.limit.saturating_sub(self.number),
            reset: reset(self.hour),
        }
    }
}

impl Outage {
    /// The word for it, in settings and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

impl FromStr for Outage {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        [Self::Open, Self::Closed].into_iter().find(|outage| outage.word() == word).ok_or(())
    }
}

/// The Unix second at which the hour after `hour` begins.
fn reset(hour: u64) -> u64 {
    (hour + 1) * (HOUR_MS / 1000)
}
