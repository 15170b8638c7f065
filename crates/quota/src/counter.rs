//! A gateway's view of one project's hour: a state machine without a clock and without I/O.
//!
//! Waiting requests go to Redis together in one [`Call`]. The [`Reply`] assigns each its own number, and a busy project
//! some more ([`Reserve`]). One call is in flight at a time. The caller tries [`Counter::decide`] first and otherwise
//! queues the request with [`Counter::wait`]. It then executes the calls of [`Counter::next_call`] and ends each with
//! [`Counter::answered`] or [`Counter::failed`]. It calls [`Counter::expire_reserve`] periodically while that returns true.
//!
//! `now_ms` is always the best estimate of Redis's clock, in Unix milliseconds.

use super::model::{Charge, HOUR_MS, OutagePolicy, QuotaState, Source, Verdict, reset};
use super::reserve::Reserve;

/// Maximum number of requests, and of refunds, per call. Bounds the run time of the script.
pub const BATCH: usize = 1000;
/// Time for which requests are refused from memory before Redis is asked again. Another gateway may have refunded.
pub const EXCEEDED_CACHE_MS: u64 = 1000;
/// Time before the end of the hour in which nothing is decided from memory: the estimate of Redis's clock may lag by a
/// round trip.
const HOUR_END_MARGIN_MS: u64 = 1000;

/// Last known state of the hour; all zero at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// The hour, in hours since 1970.
    pub hour: u64,
    /// Identifies Redis's memory of the hour; 0 if Redis has none.
    pub epoch: u64,
    /// Number of changes in this epoch.
    pub version: u64,
    /// The highest number issued, by Redis or by this gateway on its own.
    pub high: u64,
}

/// Result of an answered call.
#[derive(Debug)]
pub struct Answered<W> {
    /// The verdict of each waiting request.
    pub verdicts: Vec<(W, Verdict)>,
    /// True if Redis lost its count of the hour.
    pub count_lost: bool,
    /// Count of prefetched numbers.
    pub prefetched: u64,
}

/// Arguments of a call to Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The calling gateway.
    pub caller: u64,
    /// Sequence number of the caller's calls: 1, 2, …
    pub number: u64,
    /// Requests per hour.
    pub limit: u64,
    /// Count of requests to be counted.
    pub asked: u64,
    /// Count of numbers to prefetch.
    pub prefetch: u64,
    /// The last state that this gateway has seen.
    pub seen: Seen,
    /// Refunded numbers of the hour and epoch in `seen`.
    pub refunds: Vec<u64>,
}

/// Answer of Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Redis's clock, Unix milliseconds.
    pub now_ms: u64,
    /// The current state of the hour.
    pub seen: Seen,
    /// Count of numbers that are held.
    pub held: u64,
    /// Count of newly issued numbers; they end at `seen.high`.
    pub fresh: u64,
    /// Issued numbers that had been refunded.
    pub reissued: Vec<u64>,
}

/// The state machine. `W` is the type of waiters for a verdict.
#[derive(Debug)]
pub struct Counter<W> {
    caller: u64,
    calls: u64,
    limit: u64,
    seen: Seen,
    exceeded: Option<Exceeded>,
    waiting: Vec<W>,
    in_flight: Option<InFlight<W>>,
    /// Refunded numbers of the hour and epoch in `seen`.
    refunds: Vec<u64>,
    /// Prefetched numbers of the hour and epoch in `seen`, under `limit`.
    reserve: Reserve,
    /// Refunded numbers that this gateway issued on its own. Redis may have issued the same ones to others, so they stay
    /// here.
    local_refunds: Vec<u64>,
}

#[derive(Debug)]
struct InFlight<W> {
    limit: u64,
    waiters: Vec<W>,
}

/// The hour was used up under this limit at that moment.
#[derive(Debug, Clone, Copy)]
struct Exceeded {
    limit: u64,
    hour: u64,
    at_ms: u64,
}

impl<W> Counter<W> {
    /// Creates the counter of the gateway `caller`, which has seen nothing yet.
    pub fn new(caller: u64) -> Self {
        Self {
            caller,
            calls: 0,
            limit: 0,
            seen: Seen::default(),
            exceeded: None,
            waiting: Vec::new(),
            in_flight: None,
            refunds: Vec::new(),
            reserve: Reserve::default(),
            local_refunds: Vec::new(),
        }
    }

    /// Returns the verdict on one more request if it needs no call: a prefetched number is left, or the hour is used up.
    pub fn decide(&mut self, now_ms: u64, limit: u64) -> Option<Verdict> {
        self.reserve.record_request(now_ms);
        // A process that was suspended must not continue with numbers of the past.
        self.expire_reserve(now_ms);
        if limit == self.limit
            && let Some(number) = self.reserve.take()
        {
            let Seen { hour, epoch, .. } = self.seen;
            return Some(Verdict::Counted(Charge { limit, number, hour, source: Source::Redis(epoch) }));
        }
        self.exceeded_from_memory(now_ms, limit)
    }

    /// Returns whether a call is due although no request waits.
    pub fn is_due(&self) -> bool {
        self.in_flight.is_none() && (self.reserve.is_due() || !self.refunds.is_empty())
    }

    fn exceeded_from_memory(&self, now_ms: u64, limit: u64) -> Option<Verdict> {
        let exceeded = self.exceeded?;
        // Both directions: Redis's clock may have been set back, and no request is refused until it has caught up.
        let recent = now_ms.abs_diff(exceeded.at_ms) < EXCEEDED_CACHE_MS;
        let valid = recent && !hour_ends(exceeded.hour, now_ms);
        (valid && limit <= exceeded.limit).then(|| refused(limit, exceeded.hour, now_ms))
    }

    /// Queues a request.
    pub fn wait(&mut self, limit: u64, waiter: W) {
        if limit != self.limit {
            self.refund_reserve();
        }
        self.limit = limit;
        self.waiting.push(waiter);
    }

    /// Refunds prefetched numbers that were unused for too long. Returns whether to call it again, because numbers are
    /// left or refunds have not been sent yet.
    pub fn expire_reserve(&mut self, now_ms: u64) -> bool {
        let hour_ends = hour_ends(self.seen.hour, now_ms);
        if hour_ends {
            self.reserve.pause();
        }
        if hour_ends || self.reserve.is_expired(now_ms) {
            self.refund_reserve();
        }
        !self.reserve.is_empty() || !self.refunds.is_empty()
    }

    /// Refunds all prefetched numbers.
    pub fn refund_reserve(&mut self) {
        if !self.reserve.is_empty() {
            self.refunds.extend(self.reserve.drain());
            self.exceeded = None;
        }
    }

    /// Refunds the number that a request held. A charge of another hour, or of another epoch of this one, is ignored.
    pub fn refund(&mut self, charge: Charge) {
        if charge.hour != self.seen.hour {
            return;
        }
        match charge.source {
            Source::Gateway => self.local_refunds.push(charge.number),
            Source::Redis(epoch) if epoch == self.seen.epoch => {
                self.refunds.push(charge.number);
                self.exceeded = None;
            }
            Source::Redis(_) => {}
        }
    }

    /// Returns the next call; none while one is in flight or there is nothing to do.
    pub fn next_call(&mut self) -> Option<Call> {
        if self.in_flight.is_some() || (self.waiting.is_empty() && !self.is_due()) {
            return None;
        }
        let waiters = take_batch(&mut self.waiting);
        self.calls += 1;
        let call = Call {
            caller: self.caller,
            number: self.calls,
            limit: self.limit,
            asked: waiters.len() as u64,
            prefetch: self.reserve.prefetch_size(waiters.len()),
            seen: self.seen,
            refunds: take_batch(&mut self.refunds),
        };
        self.in_flight = Some(InFlight { limit: self.limit, waiters });
        Some(call)
    }

    /// Processes the answer to the call in flight.
    pub fn answered(&mut self, reply: Reply) -> Answered<W> {
        let count_lost = self.update_seen(reply.seen);
        let Some(InFlight { limit, waiters }) = self.in_flight.take() else {
            return Answered { verdicts: Vec::new(), count_lost, prefetched: 0 };
        };
        let Seen { hour, epoch, high, .. } = reply.seen;
        let prefetched = (reply.fresh + reply.reissued.len() as u64).saturating_sub(waiters.len() as u64);
        let fresh = high.saturating_sub(reply.fresh) + 1..=high;
        let mut numbers = reply.reissued.into_iter().chain(fresh);
        let verdict = |number| match number {
            Some(number) => Verdict::Counted(Charge { limit, number, hour, source: Source::Redis(epoch) }),
            None => refused(limit, hour, reply.now_ms),
        };
        let verdicts = waiters.into_iter().map(|waiter| (waiter, verdict(numbers.next()))).collect();
        if limit == self.limit {
            self.reserve.fill(numbers, reply.now_ms);
        } else {
            self.refunds.extend(numbers);
        }
        // Refunds that arrived meanwhile make it untrue.
        let exceeded = reply.held >= limit && self.refunds.is_empty();
        self.exceeded = exceeded.then_some(Exceeded { limit, hour, at_ms: reply.now_ms });
        Answered { verdicts, count_lost, prefetched }
    }

    /// Processes the failure of the call in flight. All waiting requests are decided locally. The call's refunds are not
    /// retried, because they may have been applied.
    pub fn failed(&mut self, now_ms: u64, policy: OutagePolicy) -> Vec<(W, Verdict)> {
        let asked = self.in_flight.take().map(|call| call.waiters).unwrap_or_default();
        // Without this the reserve would request another prefetch at once.
        self.reserve.fill(std::iter::empty(), now_ms);
        let waiters: Vec<W> = asked.into_iter().chain(std::mem::take(&mut self.waiting)).collect();
        let limit = self.limit;
        waiters.into_iter().map(|waiter| (waiter, self.decide_locally(now_ms, limit, policy))).collect()
    }

    /// Returns the verdict without Redis, according to `policy`.
    pub fn decide_locally(&mut self, now_ms: u64, limit: u64, policy: OutagePolicy) -> Verdict {
        let hour = (now_ms / HOUR_MS).max(self.seen.hour);
        if hour != self.seen.hour {
            self.update_seen(Seen { hour, ..Seen::default() });
        }
        let high = self.seen.high;
        if policy == OutagePolicy::Closed {
            let remaining = limit.saturating_sub(high);
            return Verdict::Unavailable(QuotaState { limit, remaining, reset: reset(hour) });
        }
        let refunded = self.local_refunds.iter().rposition(|&number| number <= limit);
        let number = match refunded {
            Some(index) => self.local_refunds.swap_remove(index),
            None if high < limit => {
                self.seen.high += 1;
                self.seen.high
            }
            None => return refused(limit, hour, now_ms),
        };
        Verdict::Counted(Charge { limit, number, hour, source: Source::Gateway })
    }

    /// Returns whether dropping the counter loses nothing.
    pub fn is_droppable(&self, now_ms: u64) -> bool {
        let idle = self.in_flight.is_none() && self.waiting.is_empty() && self.refunds.is_empty();
        idle && self.seen.hour < now_ms / HOUR_MS
    }

    /// Updates the state of the hour. Returns whether Redis lost its count.
    fn update_seen(&mut self, new: Seen) -> bool {
        let old = self.seen;
        let (same_hour, same_epoch) = (new.hour == old.hour, new.epoch == old.epoch);
        if !same_hour || !same_epoch {
            self.refunds.clear();
            self.reserve.drain();
        }
        if !same_hour {
            self.local_refunds.clear();
        }
        // Locally issued numbers count too.
        let high = if same_hour { new.high.max(old.high) } else { new.high };
        self.seen = Seen { high, ..new };
        same_hour && !same_epoch && old.epoch != 0
    }
}

/// Returns whether the hour ends too soon to decide anything from memory.
fn hour_ends(hour: u64, now_ms: u64) -> bool {
    now_ms + HOUR_END_MARGIN_MS >= (hour + 1) * HOUR_MS
}

fn take_batch<T>(queue: &mut Vec<T>) -> Vec<T> {
    if queue.len() <= BATCH {
        return std::mem::take(queue);
    }
    let rest = queue.split_off(BATCH);
    std::mem::replace(queue, rest)
}

fn refused(limit: u64, hour: u64, now_ms: u64) -> Verdict {
    let state = QuotaState { limit, remaining: 0, reset: reset(hour) };
    // Rounded up, so that a client that waits this long is not refused for the same hour again.
    let retry_after = ((hour + 1) * HOUR_MS).saturating_sub(now_ms).div_ceil(1000).max(1);
    Verdict::Exceeded { state, retry_after }
}

#[cfg(test)]
pub(super) mod tests;
