//! Delay of the response to a wrong key, as pure arithmetic; the caller passes the time.
//!
//! Each attempt with a wrong key adds to its client's debt, which drains with time. The first
//! [`FREE_ATTEMPTS`] of a burst are not delayed; beyond them the delay grows in proportion to the debt, up to
//! [`MAX_DELAY`]. A client's debt is gone [`MAX_DEBT`] after its last attempt at the latest. (The debt is
//! stored as the time at which it will be paid: the generic cell rate algorithm of ATM, ITU-T I.371.)
//!
//! The number of remembered clients is bounded. The client whose last attempt is oldest is forgotten first.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

/// Number of attempts in a burst that are answered without delay.
pub const FREE_ATTEMPTS: u32 = 20;
/// Maximum delay of a response.
pub const MAX_DELAY: Duration = Duration::from_secs(2);
/// Maximum debt of a client, expressed as the time in which it drains.
pub const MAX_DEBT: Duration = Duration::from_secs(60);

/// Debt added by one attempt. The free attempts together make up half of [`MAX_DEBT`].
const ATTEMPT_COST: Duration = Duration::from_millis(MAX_DEBT.as_millis() as u64 / 2 / FREE_ATTEMPTS as u64);

/// Debts of the clients that tried wrong keys.
#[derive(Debug)]
pub struct AttemptDebts {
    max_clients: usize,
    clients: HashMap<IpAddr, Debt>,
    /// Clients by the number of their last attempt, oldest first.
    order: BTreeMap<u64, IpAddr>,
    /// Number of attempts so far, which also numbers them.
    attempts: u64,
}

#[derive(Debug, Clone, Copy)]
struct Debt {
    /// Time at which the debt will be zero, on the caller's clock.
    paid_at: Duration,
    last_attempt: u64,
}

impl AttemptDebts {
    /// Remembers up to `max_clients` clients.
    pub fn new(max_clients: usize) -> Self {
        Self { max_clients, clients: HashMap::new(), order: BTreeMap::new(), attempts: 0 }
    }

    /// Adds an attempt of `client` with a wrong key at `now`, the time of a monotonic clock, and returns the
    /// delay of the response.
    pub fn add_attempt(&mut self, client: IpAddr, now: Duration) -> Duration {
        self.attempts += 1;
        let known = self.clients.get(&client).copied();
        if let Some(known) = known {
            self.order.remove(&known.last_attempt);
        } else if self.clients.len() >= self.max_clients
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.clients.remove(&oldest);
        }
        let owed = known.map_or(Duration::ZERO, |known| known.paid_at.saturating_sub(now));
        let owed = (owed + ATTEMPT_COST).min(MAX_DEBT);
        self.clients.insert(client, Debt { paid_at: now + owed, last_attempt: self.attempts });
        self.order.insert(self.attempts, client);
        delay(owed)
    }

    /// Number of clients that are remembered.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }
}

/// Returns zero up to the debt of the free attempts, then a delay in proportion to the debt beyond it.
fn delay(owed: Duration) -> Duration {
    let free = ATTEMPT_COST * FREE_ATTEMPTS;
    let beyond = owed.saturating_sub(free);
    let range = (MAX_DEBT - free).as_millis();
    let delay = MAX_DELAY.as_millis() * beyond.as_millis() / range;
    Duration::from_millis(u64::try_from(delay).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn client(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(number).into()
    }

    #[test]
    fn delays_grow_after_a_free_burst() {
        let mut debts = AttemptDebts::new(10);
        let delays: Vec<Duration> =
            (0..3 * FREE_ATTEMPTS).map(|_| debts.add_attempt(client(1), SECOND)).collect();
        let (free, rest) = delays.split_at(FREE_ATTEMPTS as usize);
        assert!(free.iter().all(Duration::is_zero));
        assert!(rest[0] > Duration::ZERO && rest.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(rest.last(), Some(&MAX_DELAY));
    }

    #[test]
    fn debt_is_gone_a_minute_after_the_last_attempt() {
        let mut debts = AttemptDebts::new(10);
        (0..1000).for_each(|_| assert!(debts.add_attempt(client(1), SECOND) <= MAX_DELAY));
        let later = SECOND + MAX_DEBT;
        assert!((0..FREE_ATTEMPTS).all(|_| debts.add_attempt(client(1), later).is_zero()));
        assert!(!debts.add_attempt(client(1), later).is_zero());
    }

    proptest! {
        #[test]
        fn delays_and_remembered_clients_are_bounded(
            max_clients in 1usize..6, steps in prop::collection::vec((0u32..12, 0u64..5_000), 1..400),
        ) {
            let (mut debts, mut now) = (AttemptDebts::new(max_clients), Duration::ZERO);
            for (number, pause) in steps {
                now += Duration::from_millis(pause);
                prop_assert!(debts.add_attempt(client(number), now) <= MAX_DELAY);
                prop_assert!(debts.clients() <= max_clients);
                prop_assert_eq!(debts.order.len(), debts.clients.len());
            }
        }

        #[test]
        fn clients_do_not_affect_each_other(
            steps in prop::collection::vec((any::<bool>(), 0u64..1_000), 1..300),
        ) {
            let (mut together, mut alone, mut now) = (AttemptDebts::new(2), AttemptDebts::new(2), Duration::ZERO);
            for (first, pause) in steps {
                now += Duration::from_millis(pause);
                let delay = together.add_attempt(client(u32::from(first)), now);
                if first {
                    prop_assert_eq!(delay, alone.add_attempt(client(1), now));
                }
            }
        }

        #[test]
        fn slower_attempts_are_never_delayed_longer(
            pauses in prop::collection::vec(0u64..3_000, 1..200), more in 0u64..2_000,
        ) {
            let (mut quick, mut slow) = (AttemptDebts::new(1), AttemptDebts::new(1));
            let (mut at_quick, mut at_slow) = (Duration::ZERO, Duration::ZERO);
            for pause in pauses {
                at_quick += Duration::from_millis(pause);
                at_slow += Duration::from_millis(pause + more);
                prop_assert!(slow.add_attempt(client(1), at_slow) <= quick.add_attempt(client(1), at_quick));
            }
        }

        #[test]
        fn one_attempt_every_two_seconds_is_never_delayed(count in 1u32..500) {
            let mut debts = AttemptDebts::new(1);
            for number in 0..count {
                prop_assert!(debts.add_attempt(client(1), number * 2 * SECOND).is_zero());
            }
        }
    }
}
