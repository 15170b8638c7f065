//! How long the answer to a wrong try waits: a pure machine, the clock passed in.
//!
//! Each try with a wrong key adds to its client's debt, which drains with time. The first [`FREE`] tries of a burst are
//! free; beyond them the delay grows with the debt up to [`LONGEST`], and whatever a client owed is forgotten a minute
//! after its last try. (The debt is kept as the moment at which it will be paid: the generic cell rate algorithm of ATM,
//! ITU-T I.371.)
//!
//! So many clients are remembered and no more; then the one that tried least recently is forgotten.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

/// Tries of a burst that are answered at once.
pub const FREE: u32 = 20;
/// The longest delay.
pub const LONGEST: Duration = Duration::from_secs(2);
/// What a client owes at most, as the time in which it drains.
pub const MOST_DEBT: Duration = Duration::from_secs(60);

/// What one try adds: the free ones make half of the most that can be owed.
const PRICE: Duration = Duration::from_millis(MOST_DEBT.as_millis() as u64 / 2 / FREE as u64);

/// Who tried, and what they owe.
#[derive(Debug)]
pub struct Tries {
    most: usize,
    clients: HashMap<IpAddr, Debt>,
    /// Clients by their last try, oldest first.
    order: BTreeMap<u64, IpAddr>,
    tries: u64,
}

#[derive(Debug, Clone, Copy)]
struct Debt {
    /// When nothing will be owed any more.
    paid_at: Duration,
    last_try: u64,
}

impl Tries {
    /// Remembers up to `most` clients.
    pub fn new(most: usize) -> Self {
        Self { most, clients: HashMap::new(), order: BTreeMap::new(), tries: 0 }
    }

    /// `client` tried a wrong key at `now`, a moment of a clock that never goes back: how long its answer waits.
    pub fn wrong(&mut self, client: IpAddr, now: Duration) -> Duration {
        self.tries += 1;
        let known = self.clients.get(&client).copied();
        if let Some(known) = known {
            self.order.remove(&known.last_try);
        } else if self.clients.len() >= self.most
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.clients.remove(&oldest);
        }
        let owed = known.map_or(Duration::ZERO, |known| known.paid_at.saturating_sub(now));
        let owed = (owed + PRICE).min(MOST_DEBT);
        self.clients.insert(client, Debt { paid_at: now + owed, last_try: self.tries });
        self.order.insert(self.tries, client);
        delay(owed)
    }

    /// How many clients are remembered.
    pub fn remembered(&self) -> usize {
        self.clients.len()
    }
}

/// Nothing up to the free burst, then in proportion to what is owed beyond it.
fn delay(owed: Duration) -> Duration {
    let free = PRICE * FREE;
    let beyond = owed.saturating_sub(free);
    let range = (MOST_DEBT - free).as_millis();
    let delay = LONGEST.as_millis() * beyond.as_millis() / range;
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
    fn a_burst_is_free_then_answers_wait_longer_and_longer() {
        let mut tries = Tries::new(10);
        let delays: Vec<Duration> = (0..3 * FREE).map(|_| tries.wrong(client(1), SECOND)).collect();
        let (free, rest) = delays.split_at(FREE as usize);
        assert!(free.iter().all(Duration::is_zero));
        assert!(rest[0] > Duration::ZERO && rest.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(rest.last(), Some(&LONGEST));
    }

    #[test]
    fn a_minute_later_everything_is_forgiven() {
        let mut tries = Tries::new(10);
        (0..1000).for_each(|_| assert!(tries.wrong(client(1), SECOND) <= LONGEST));
        let later = SECOND + MOST_DEBT;
        assert!((0..FREE).all(|_| tries.wrong(client(1), later).is_zero()));
        assert!(!tries.wrong(client(1), later).is_zero());
    }

    proptest! {
        #[test]
        fn no_delay_is_longer_than_the_longest_and_no_more_clients_are_remembered_than_allowed(
            most in 1usize..6, steps in prop::collection::vec((0u32..12, 0u64..5_000), 1..400),
        ) {
            let (mut tries, mut now) = (Tries::new(most), Duration::ZERO);
            for (number, pause) in steps {
                now += Duration::from_millis(pause);
                prop_assert!(tries.wrong(client(number), now) <= LONGEST);
                prop_assert!(tries.remembered() <= most);
                prop_assert_eq!(tries.order.len(), tries.clients.len());
            }
        }

        #[test]
        fn what_one_client_does_changes_nothing_for_another(
            steps in prop::collection::vec((any::<bool>(), 0u64..1_000), 1..300),
        ) {
            let (mut together, mut alone, mut now) = (Tries::new(2), Tries::new(2), Duration::ZERO);
            for (first, pause) in steps {
                now += Duration::from_millis(pause);
                let delay = together.wrong(client(u32::from(first)), now);
                if first {
                    prop_assert_eq!(delay, alone.wrong(client(1), now));
                }
            }
        }

        #[test]
        fn who_waits_longer_between_tries_never_waits_longer_for_answers(
            pauses in prop::collection::vec(0u64..3_000, 1..200), more in 0u64..2_000,
        ) {
            let (mut quick, mut slow) = (Tries::new(1), Tries::new(1));
            let (mut at_quick, mut at_slow) = (Duration::ZERO, Duration::ZERO);
            for pause in pauses {
                at_quick += Duration::from_millis(pause);
                at_slow += Duration::from_millis(pause + more);
                prop_assert!(slow.wrong(client(1), at_slow) <= quick.wrong(client(1), at_quick));
            }
        }

        #[test]
        fn one_try_in_two_seconds_is_never_delayed(count in 1u32..500) {
            let mut tries = Tries::new(1);
            for number in 0..count {
                prop_assert!(tries.wrong(client(1), number * 2 * SECOND).is_zero());
            }
        }
    }
}
