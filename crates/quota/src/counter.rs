//! What one gateway knows of one project's hour: a state machine without clock and I/O.
//!
//! Requests wait in it, a [`Call`] takes them to Redis together, the [`Reply`] gives each its own number, and to a busy
//! project some more ([`Reserve`]). One call is under way at a time. Who drives it: [`Counter::decide`], else
//! [`Counter::wait`]; then calls from [`Counter::next_call`], each ended by [`Counter::answered`] or
//! [`Counter::unanswered`]; and [`Counter::tidy`] now and then while it says so.
//!
//! `now_ms` is always the best guess at Redis's clock, in Unix milliseconds.

use super::reserve::Reserve;
use super::{Charge, HOUR_MS, Outage, Source, Standing, Verdict, reset};

/// How many requests, and how many numbers to give back, one call takes at most: bounds the script's time.
pub const BATCH: usize = 1000;
/// How long a project is refused from memory before Redis is asked again: another gateway may have given back.
pub const REMEMBER_MS: u64 = 1000;
/// So long before the hour's end nothing is decided from memory: the guess at Redis's clock is a round trip behind.
const TURN_MS: u64 = 1000;

/// What was last heard of the hour; all zero at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// The hour, in hours since 1970.
    pub hour: u64,
    /// Names Redis's memory of the hour; 0 if Redis has none.
    pub epoch: u64,
    /// How often Redis changed it in this epoch.
    pub version: u64,
    /// The highest number given out, by Redis or by this gateway alone.
    pub high: u64,
}

/// What came of a call.
#[derive(Debug)]
pub struct Answered<W> {
    /// Each who waited for it has its verdict.
    pub verdicts: Vec<(W, Verdict)>,
    /// Whether Redis has lost its memory of the hour.
    pub forgotten: bool,
    /// How many numbers were taken ahead.
    pub reserved: u64,
}

/// What is asked of Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Who asks.
    pub caller: u64,
    /// Which of the caller's calls it is: 1, 2, …
    pub number: u64,
    /// Requests per hour.
    pub limit: u64,
    /// How many requests are to be counted.
    pub asked: u64,
    /// How many numbers are wanted for requests that have not come yet.
    pub ahead: u64,
    /// What this gateway has seen.
    pub seen: Seen,
    /// Numbers to give back, of the hour and epoch in `seen`.
    pub refunds: Vec<u64>,
}

/// What Redis answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Redis's clock, Unix milliseconds.
    pub now_ms: u64,
    /// The hour as it stands now.
    pub seen: Seen,
    /// How many numbers are held.
    pub held: u64,
    /// How many of those given out now are fresh: they end at `seen.high`.
    pub fresh: u64,
    /// The others: numbers that had been given back.
    pub again: Vec<u64>,
}

/// The state. `W` is what waits for a verdict.
#[derive(Debug)]
pub struct Counter<W> {
    caller: u64,
    calls: u64,
    limit: u64,
    seen: Seen,
    over: Option<Over>,
    waiting: Vec<W>,
    asking: Option<Asking<W>>,
    /// Numbers to give back, of the hour and epoch in `seen`.
    refunds: Vec<u64>,
    /// Numbers of the hour and epoch in `seen`, under `limit`.
    reserve: Reserve,
    /// Numbers that this gateway gave out alone and got back. Redis may have given the same to others, so they stay here.
    own: Vec<u64>,
}

#[derive(Debug)]
struct Asking<W> {
    limit: u64,
    waiters: Vec<W>,
}

/// The hour was used up, by this limit, at that moment.
#[derive(Debug, Clone, Copy)]
struct Over {
    limit: u64,
    hour: u64,
    at_ms: u64,
}

impl<W> Counter<W> {
    /// That of the gateway with the name `caller`, which has seen nothing yet.
    pub fn new(caller: u64) -> Self {
        Self {
            caller,
            calls: 0,
            limit: 0,
            seen: Seen::default(),
            over: None,
            waiting: Vec::new(),
            asking: None,
            refunds: Vec::new(),
            reserve: Reserve::default(),
            own: Vec::new(),
        }
    }

    /// The verdict on one more request, if it is known without asking: a number is in reserve, or the hour is used up.
    pub fn decide(&mut self, now_ms: u64, limit: u64) -> Option<Verdict> {
        self.reserve.came(now_ms);
        // A process that was stopped for a while must not go on where it was.
        self.tidy(now_ms);
        if limit == self.limit
            && let Some(number) = self.reserve.take()
        {
            let Seen { hour, epoch, .. } = self.seen;
            return Some(Verdict::Counted(Charge { limit, number, hour, source: Source::Redis(epoch) }));
        }
        self.remembered(now_ms, limit)
    }

    /// Whether [`Self::next_call`] should be asked, though nobody waits.
    pub fn is_due(&self) -> bool {
        self.asking.is_none() && (self.reserve.is_due() || !self.refunds.is_empty())
    }

    fn remembered(&self, now_ms: u64, limit: u64) -> Option<Verdict> {
        let over = self.over?;
        // Both ways: Redis's clock may have been set back, and nobody is refused until it has caught up.
        let recent = now_ms.abs_diff(over.at_ms) < REMEMBER_MS;
        let fresh = recent && !turns(over.hour, now_ms);
        (fresh && limit <= over.limit).then(|| refused(limit, over.hour, now_ms))
    }

    /// One more waits for its verdict.
    pub fn wait(&mut self, limit: u64, waiter: W) {
        if limit != self.limit {
            self.give_back_reserve();
        }
        self.limit = limit;
        self.waiting.push(waiter);
    }

    /// Gives back what lies in reserve too long; tells whether to look again, for more of it or for what was given back
    /// and has not been called in yet.
    pub fn tidy(&mut self, now_ms: u64) -> bool {
        let turns = turns(self.seen.hour, now_ms);
        if turns {
            self.reserve.pause();
        }
        if turns || self.reserve.is_old(now_ms) {
            self.give_back_reserve();
        }
        !self.reserve.is_empty() || !self.refunds.is_empty()
    }

    /// Gives back all that lies in reserve.
    pub fn give_back_reserve(&mut self) {
        if !self.reserve.is_empty() {
            self.refunds.extend(self.reserve.drain());
            self.over = None;
        }
    }

    /// Gives the number back that a request held. What was charged in another hour, or in another memory of this one, is
    /// nothing any more.
    pub fn refund(&mut self, charge: Charge) {
        if charge.hour != self.seen.hour {
            return;
        }
        match charge.source {
            Source::Alone => self.own.push(charge.number),
            Source::Redis(epoch) if epoch == self.seen.epoch => {
                self.refunds.push(charge.number);
                self.over = None;
            }
            Source::Redis(_) => {}
        }
    }

    /// The next call to be made; none while one is under way or there is nothing to do.
    pub fn next_call(&mut self) -> Option<Call> {
        if self.asking.is_some() || (self.waiting.is_empty() && !self.is_due()) {
            return None;
        }
        let waiters = first(&mut self.waiting);
        self.calls += 1;
        let call = Call {
            caller: self.caller,
            number: self.calls,
            limit: self.limit,
            asked: waiters.len() as u64,
            ahead: self.reserve.wanted(waiters.len()),
            seen: self.seen,
            refunds: first(&mut self.refunds),
        };
        self.asking = Some(Asking { limit: self.limit, waiters });
        Some(call)
    }

    /// The call was answered.
    pub fn answered(&mut self, reply: Reply) -> Answered<W> {
        let forgotten = self.see(reply.seen);
        let Some(Asking { limit, waiters }) = self.asking.take() else {
            return Answered { verdicts: Vec::new(), forgotten, reserved: 0 };
        };
        let Seen { hour, epoch, high, .. } = reply.seen;
        let reserved = (reply.fresh + reply.again.len() as u64).saturating_sub(waiters.len() as u64);
        let fresh = high.saturating_sub(reply.fresh) + 1..=high;
        let mut numbers = reply.again.into_iter().chain(fresh);
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
        // What came back meanwhile makes it untrue.
        let over = reply.held >= limit && self.refunds.is_empty();
        self.over = over.then_some(Over { limit, hour, at_ms: reply.now_ms });
        Answered { verdicts, forgotten, reserved }
    }

    /// The call was not answered. Nobody waits any longer, and what was to be given back with it is not tried again, for
    /// it may have been.
    pub fn unanswered(&mut self, now_ms: u64, outage: Outage) -> Vec<(W, Verdict)> {
        let asked = self.asking.take().map(|asking| asking.waiters).unwrap_or_default();
        // Nothing more is asked for on its account before something was used again.
        self.reserve.fill(std::iter::empty(), now_ms);
        let waiters: Vec<W> = asked.into_iter().chain(std::mem::take(&mut self.waiting)).collect();
        let limit = self.limit;
        waiters.into_iter().map(|waiter| (waiter, self.alone(now_ms, limit, outage))).collect()
    }

    /// The verdict without Redis, as `outage` says.
    pub fn alone(&mut self, now_ms: u64, limit: u64, outage: Outage) -> Verdict {
        let hour = (now_ms / HOUR_MS).max(self.seen.hour);
        if hour != self.seen.hour {
            self.see(Seen { hour, ..Seen::default() });
        }
        let high = self.seen.high;
        if outage == Outage::Closed {
            let remaining = limit.saturating_sub(high);
            return Verdict::Unavailable(Standing { limit, remaining, reset: reset(hour) });
        }
        let again = self.own.iter().rposition(|&number| number <= limit);
        let number = match again {
            Some(index) => self.own.swap_remove(index),
            None if high < limit => {
                self.seen.high += 1;
                self.seen.high
            }
            None => return refused(limit, hour, now_ms),
        };
        Verdict::Counted(Charge { limit, number, hour, source: Source::Alone })
    }

    /// Whether nothing would be lost if this were dropped.
    pub fn forgettable(&self, now_ms: u64) -> bool {
        let idle = self.asking.is_none() && self.waiting.is_empty() && self.refunds.is_empty();
        idle && self.seen.hour < now_ms / HOUR_MS
    }

    /// Takes over what was heard of the hour; true if Redis has lost its memory of it.
    fn see(&mut self, new: Seen) -> bool {
        let old = self.seen;
        let (same_hour, same_epoch) = (new.hour == old.hour, new.epoch == old.epoch);
        if !same_hour || !same_epoch {
            self.refunds.clear();
            self.reserve.drain();
        }
        if !same_hour {
            self.own.clear();
        }
        // What was given out alone counts too.
        let high = if same_hour { new.high.max(old.high) } else { new.high };
        self.seen = Seen { high, ..new };
        same_hour && !same_epoch && old.epoch != 0
    }
}

/// Whether the hour ends so soon that nothing is decided from memory.
fn turns(hour: u64, now_ms: u64) -> bool {
    now_ms + TURN_MS >= (hour + 1) * HOUR_MS
}

fn first<T>(queue: &mut Vec<T>) -> Vec<T> {
    if queue.len() <= BATCH {
        return std::mem::take(queue);
    }
    let rest = queue.split_off(BATCH);
    std::mem::replace(queue, rest)
}

fn refused(limit: u64, hour: u64, now_ms: u64) -> Verdict {
    let standing = Standing { limit, remaining: 0, reset: reset(hour) };
    // Rounded up: who waits that long is not refused for the same hour again.
    let retry_after = ((hour + 1) * HOUR_MS).saturating_sub(now_ms).div_ceil(1000).max(1);
    Verdict::Over { standing, retry_after }
}

#[cfg(test)]
pub(super) mod tests;
