//! Quotas over several gateways that share one Redis.

use futures::future::join_all;
use quota::counter::REMEMBER_MS;
use quota::store::Keys;
use quota::{Charge, Notice, Observer, Outage, Quotas, Source, Verdict};
use redis_access::KeyNames;
use redis_access::testing::{connection, namespace, until, url};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PROJECT: &str = "prj_a";

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Notice>>>);

impl Observer for Heard {
    fn notice(&self, notice: Notice) {
        self.0.lock().expect("no test panics while holding it").push(notice);
    }
}

impl Heard {
    fn all(&self) -> Vec<Notice> {
        self.0.lock().expect("no test panics while holding it").clone()
    }
}

fn gateway(namespace: &str) -> (Quotas, Heard) {
    let heard = Heard::default();
    let quotas = Quotas::new(&url(), namespace, Outage::Closed, heard.clone());
    (quotas.expect("it is an address"), heard)
}

fn hour(verdict: Verdict) -> u64 {
    match verdict {
        Verdict::Counted(charge) => charge.hour,
        Verdict::Over { standing, .. } | Verdict::Unavailable(standing) => standing.reset / 3600 - 1,
    }
}

fn charge(verdict: Verdict) -> Option<Charge> {
    match verdict {
        Verdict::Counted(charge) => Some(charge),
        Verdict::Over { .. } => None,
        Verdict::Unavailable(_) => panic!("Redis answers in time"),
    }
}

async fn all_of(quotas: &Quotas, limit: u64) -> Vec<Charge> {
    let mut charges = Vec::new();
    while let Some(charge) = charge(quotas.count(PROJECT, limit).await) {
        charges.push(charge);
    }
    charges
}

/// Counts requests until the gateway takes numbers ahead; gives how many, and their hours.
async fn keep_busy(quotas: &Quotas, heard: &Heard) -> (u64, BTreeSet<u64>) {
    let (mut counted, mut hours) = (0, BTreeSet::new());
    until("it takes ahead", async || {
        let verdicts = join_all((0..200).map(|_| quotas.count(PROJECT, 10_000_000))).await;
        counted += verdicts.len() as u64;
        hours.extend(verdicts.into_iter().map(hour));
        heard.all().iter().any(|notice| matches!(notice, Notice::Reserved(_))).then_some(())
    })
    .await;
    (counted, hours)
}

/// Runs `test` in a namespace of its own until no hour turned in the middle of it: it tells the hours that it saw.
async fn within_one_hour(test: impl AsyncFn(String) -> BTreeSet<u64>) {
    while test(namespace()).await.len() > 1 {}
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_race_grant_exactly_the_limit_each_number_once() {
    const LIMIT: u64 = 1_000;
    within_one_hour(async |namespace| {
        let gateways: Vec<_> = (0..3).map(|_| gateway(&namespace)).collect();
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..64 {
            let quotas = gateways[client % gateways.len()].0.clone();
            clients.spawn(async move {
                let mut verdicts = Vec::new();
                for _ in 0..50 {
                    verdicts.push(quotas.count(PROJECT, LIMIT).await);
                }
                verdicts
            });
        }
        let verdicts = clients.join_all().await.concat();
        let hours: BTreeSet<u64> = verdicts.iter().map(|&verdict| hour(verdict)).collect();
        if hours.len() == 1 {
            let charges: Vec<Charge> = verdicts.iter().filter_map(|&verdict| charge(verdict)).collect();
            let left: BTreeSet<u64> = charges.iter().map(|charge| charge.standing().remaining).collect();
            assert_eq!(charges.len() as u64, LIMIT);
            assert!(left.into_iter().eq(0..LIMIT), "each number of remaining requests is told once");
            let notices = gateways.iter().flat_map(|(_, heard)| heard.all());
            let shared =
                notices.filter(|notice| matches!(notice, Notice::Called(asked) if *asked > 1)).count();
            assert!(shared > 0, "requests that arrive together share a call");
        }
        hours
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_gateways_take_ahead_and_still_grant_exactly_the_limit() {
    const LIMIT: u64 = 200_000;
    within_one_hour(async |namespace| {
        let gateways: Vec<_> = (0..3).map(|_| gateway(&namespace)).collect();
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..48 {
            let quotas = gateways[client % gateways.len()].0.clone();
            clients.spawn(async move {
                let mut charges = all_of(&quotas, LIMIT).await;
                // Who was refused for what another gateway had in reserve asks again.
                for _ in 0..4 {
                    tokio::time::sleep(Duration::from_millis(REMEMBER_MS)).await;
                    charges.extend(all_of(&quotas, LIMIT).await);
                }
                charges
            });
        }
        let charges = clients.join_all().await.concat();
        let hours: BTreeSet<u64> = charges.iter().map(|charge| charge.hour).collect();
        if hours.len() == 1 {
            let left: BTreeSet<u64> = charges.iter().map(|charge| charge.standing().remaining).collect();
            assert_eq!(charges.len() as u64, LIMIT);
            assert!(left.into_iter().eq(0..LIMIT), "each number of remaining requests is told once");
            let took = |notice: &Notice| matches!(notice, Notice::Reserved(_));
            assert!(gateways.iter().all(|(_, heard)| heard.all().iter().any(took)), "each takes ahead");
        }
        hours
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_took_ahead_and_does_not_use_is_given_back() {
    within_one_hour(async |namespace| {
        let (quotas, heard) = gateway(&namespace);
        let (counted, mut hours) = keep_busy(&quotas, &heard).await;
        let mut redis = connection().await;
        let keys = Keys::new(&KeyNames::new(&namespace), PROJECT);
        until("what was not used came back", async || {
            let used = keys.used(&mut redis).await.expect("Redis runs");
            hours.insert(used.reset / 3600 - 1);
            (used.requests == counted || hours.len() > 1).then_some(())
        })
        .await;
        hours
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_gives_back_what_it_took_ahead() {
    within_one_hour(async |namespace| {
        let (quotas, heard) = gateway(&namespace);
        let (counted, mut hours) = keep_busy(&quotas, &heard).await;
        quotas.stop().await;
        let keys = Keys::new(&KeyNames::new(&namespace), PROJECT);
        let used = keys.used(&mut connection().await).await.expect("Redis runs");
        hours.insert(used.reset / 3600 - 1);
        if hours.len() == 1 {
            assert_eq!(used.requests, counted);
        }
        hours
    })
    .await;
}

#[tokio::test]
async fn what_one_gateway_gives_back_another_may_use() {
    within_one_hour(async |namespace| {
        let (one, two) = (gateway(&namespace).0, gateway(&namespace).0);
        let charges = all_of(&one, 5).await;
        let mut hours: BTreeSet<u64> = charges.iter().map(|charge| charge.hour).collect();
        hours.insert(hour(two.count(PROJECT, 5).await));
        one.refund(PROJECT, charges[2]);
        let again = until("the count came back", async || charge(two.count(PROJECT, 5).await)).await;
        hours.insert(again.hour);
        if hours.len() == 1 {
            assert_eq!((charges.len(), again.number), (5, charges[2].number));
        }
        hours
    })
    .await;
}

#[tokio::test]
async fn a_greater_plan_acts_at_once_and_a_smaller_one_too() {
    within_one_hour(async |namespace| {
        let quotas = gateway(&namespace).0;
        let numbers = async |limit| {
            let charges = all_of(&quotas, limit).await;
            (charges.len(), charges.iter().map(|charge| charge.hour).collect::<BTreeSet<_>>())
        };
        let (free, mut hours) = numbers(3).await;
        let (pro, later) = numbers(7).await;
        hours.extend(later);
        let refused = quotas.count(PROJECT, 3).await;
        hours.insert(hour(refused));
        if hours.len() == 1 {
            assert_eq!((free, pro, charge(refused)), (3, 4, None));
        }
        hours
    })
    .await;
}

#[tokio::test]
async fn the_next_hour_begins_with_everything_left() {
    let namespace = namespace();
    assert!(all_of(&gateway(&namespace).0, 4).await.len() >= 4);
    // A gateway that starts an hour later: what stands in Redis is of the hour before.
    let name = format!("tidemark-{namespace}:quota:{{{PROJECT}}}");
    let mut redis = connection().await;
    redis::cmd("HINCRBY")
        .arg(&[&name, "hour", "-1"])
        .query_async::<()>(&mut redis)
        .await
        .expect("Redis runs");
    let first = charge(gateway(&namespace).0.count(PROJECT, 4).await).expect("the hour is new");
    assert_eq!(first.number, 1);
    let ttl: i64 = redis::cmd("TTL").arg(&name).query_async(&mut redis).await.expect("Redis runs");
    assert!(ttl > 3600, "it outlives its hour, and not for ever: {ttl}");
}

#[tokio::test]
async fn a_redis_that_lost_the_hour_is_told_how_far_it_was() {
    within_one_hour(async |namespace| {
        let (quotas, heard) = gateway(&namespace);
        let mut hours = BTreeSet::new();
        let mut numbers = Vec::new();
        for forget in [false, false, true, false] {
            if forget {
                let name = format!("tidemark-{namespace}:quota:{{{PROJECT}}}");
                let mut redis = connection().await;
                redis::cmd("DEL").arg(&name).query_async::<()>(&mut redis).await.expect("Redis runs");
            }
            let charge = charge(quotas.count(PROJECT, 9).await).expect("there are some left");
            hours.insert(charge.hour);
            numbers.push(charge.number);
        }
        if hours.len() == 1 {
            assert_eq!(numbers, [1, 2, 3, 4]);
            assert!(heard.all().contains(&Notice::Forgotten));
        }
        hours
    })
    .await;
}

#[tokio::test]
async fn how_much_is_used_can_be_read_and_reading_uses_nothing() {
    within_one_hour(async |namespace| {
        let mut redis = connection().await;
        let keys = Keys::new(&KeyNames::new(&namespace), PROJECT);
        let quotas = gateway(&namespace).0;
        let before = keys.used(&mut redis).await.expect("Redis runs");
        let charges = all_of(&quotas, 2).await;
        let mut after = async || keys.used(&mut redis).await.expect("Redis runs");
        let read = [before, after().await, after().await];
        let read_in = read.iter().map(|used| used.reset / 3600 - 1);
        let hours: BTreeSet<u64> = charges.iter().map(|charge| charge.hour).chain(read_in).collect();
        if hours.len() == 1 {
            assert_eq!(read.map(|used| used.requests), [0, 2, 2]);
        }
        hours
    })
    .await;
}

#[tokio::test]
async fn without_redis_the_policy_decides() {
    let heard = Heard::default();
    let nowhere =
        |outage| Quotas::new("redis://127.0.0.1:9", "", outage, heard.clone()).expect("it is an address");
    let (open, closed) = (nowhere(Outage::Open), nowhere(Outage::Closed));
    let mut hours = BTreeSet::new();
    let mut numbers = Vec::new();
    for _ in 0..4 {
        let verdict = open.count(PROJECT, 3).await;
        hours.insert(hour(verdict));
        numbers.extend(charge(verdict).map(|charge| (charge.number, charge.source)));
    }
    if hours.len() == 1 {
        assert_eq!(numbers, [1, 2, 3].map(|number| (number, Source::Alone)));
    }
    assert!(matches!(closed.count(PROJECT, 3).await, Verdict::Unavailable(standing) if standing.limit == 3));
    assert!(heard.all().contains(&Notice::Reachable(false)));
    assert!(heard.all().contains(&Notice::Alone));
}
