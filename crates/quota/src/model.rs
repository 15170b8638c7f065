//! Types of the quota: charges, verdicts, policies and events.

use std::str::FromStr;

/// Length of a clock hour in milliseconds.
pub const HOUR_MS: u64 = 3_600_000;

/// Quota state of a project, as the rate-limit headers show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaState {
    /// Requests per hour.
    pub limit: u64,
    /// Requests left after this one.
    pub remaining: u64,
    /// Start of the next hour, Unix seconds.
    pub reset: u64,
}

/// The unit of quota that a counted request holds. It may be refunded once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// The limit when the request was counted.
    pub limit: u64,
    /// The request's number within the hour, 1 to `limit`.
    pub number: u64,
    /// The hour, in hours since 1970.
    pub hour: u64,
    /// The issuer of the number.
    pub source: Source,
}

/// Issuer of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Redis, in this epoch of its memory.
    Redis(u64),
    /// This gateway on its own, while Redis was unavailable.
    Gateway,
}

/// Outcome of counting a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The request was counted and may proceed.
    Counted(Charge),
    /// The hour's requests are used up.
    Exceeded {
        /// Quota state of the project.
        state: QuotaState,
        /// Whole seconds until the next hour has begun, at least 1.
        retry_after: u64,
    },
    /// The request cannot be counted because Redis is unavailable, and the policy lets nothing pass uncounted. Holds the
    /// last known quota state.
    Unavailable(QuotaState),
}

/// Policy for requests while Redis is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutagePolicy {
    /// Each gateway counts on its own, from the highest number that it has seen up to the limit.
    Open,
    /// No request passes.
    Closed,
}

/// Event that is reported to an [`Observer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A call to Redis counts this many waiting requests.
    Called(u64),
    /// A call prefetched this many numbers.
    Prefetched(u64),
    /// A call failed: the outcome of its counts and refunds is unknown.
    CallFailed,
    /// Redis became available or unavailable.
    Available(bool),
    /// One request was decided without Redis.
    DecidedLocally,
    /// Redis lost a project's count of the running hour. The hour continues from what this gateway had seen.
    CountLost,
}

/// Receives [`Event`]s.
pub trait Observer: Send + Sync + 'static {
    /// Handles an event. Must not block.
    fn observe(&self, event: Event);
}

impl Charge {
    /// Returns the quota state after this request.
    pub fn state(&self) -> QuotaState {
        QuotaState {
            limit: self.limit,
            remaining: self.limit.saturating_sub(self.number),
            reset: reset(self.hour),
        }
    }
}

impl OutagePolicy {
    /// Returns the policy's name in settings and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

impl FromStr for OutagePolicy {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Open, Self::Closed].into_iter().find(|policy| policy.as_str() == text).ok_or(())
    }
}

/// Returns the Unix second at which the hour after `hour` begins.
pub(crate) fn reset(hour: u64) -> u64 {
    (hour + 1) * (HOUR_MS / 1000)
}
