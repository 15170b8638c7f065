//! Quotas of several gateways that share one Redis.

use futures::future::join_all;
use quota::counter::EXCEEDED_CACHE_MS;
use quota::store::Keys;
use quota::{Charge, Event, Observer, OutagePolicy, Quotas, Source, Verdict};
use redis_access::KeyNames;
use redis_access::testing::{connection, namespace, until, url};
use service::connections::RedisEndpoint;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PROJECT: &str = "prj_a";

#[derive(Clone, Default)]
struct RecordedEvents(Arc<Mutex<Vec<Event>>>);

impl Observer for RecordedEvents {
    fn observe(&self, event: Event) {
        self.0.lock().expect("no test panics while holding it").push(event);
    }
}

impl RecordedEvents {
    fn all(&self) -> Vec<Event> {
        self.0.lock().expect("no test panics while holding it").clone()
    }
}

fn gateway(namespace: &str) -> (Quotas, RecordedEvents) {
    let events = RecordedEvents::default();
    let quotas = Quotas::new(&RedisEndpoint::new(&url()), namespace, OutagePolicy::Closed, events.clone());
    (quotas.expect("the address is valid"), events)
}

fn hour(verdict: Verdict) -> u64 {
    match verdict {
        Verdict::Counted(charge) => charge.hour,
        Verdict::Exceeded { state, .. } | Verdict::Unavailable(state) => state.reset / 3600 - 1,
    }
}

fn charge(verdict: Verdict) -> Option<Charge> {
    match verdict {
        Verdict::Counted(charge) => Some(charge),
        Verdict::Exceeded { .. } => None,
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

/// Counts requests until the gateway prefetches. Returns their count and their hours.
async fn keep_busy(quotas: &Quotas, events: &RecordedEvents) -> (u64, BTreeSet<u64>) {
    let (mut counted, mut hours) = (0, BTreeSet::new());
    until("the gateway prefetches", async || {
        let verdicts = join_all((0..200).map(|_| quotas.count(PROJECT, 10_000_000))).await;
        counted += verdicts.len() as u64;
        hours.extend(verdicts.into_iter().map(hour));
        events.all().iter().any(|event| matches!(event, Event::Prefetched(_))).then_some(())
    })
    .await;
    (counted, hours)
}

/// Runs `test`, which returns the hours that it saw, each time in a new namespace, until it ran within one hour.
async fn within_one_hour(test: impl AsyncFn(String) -> BTreeSet<u64>) {
    while test(namespace()).await.len() > 1 {}
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_gateways_grant_exactly_the_limit() {
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
            let left: BTreeSet<u64> = charges.iter().map(|charge| charge.state().remaining).collect();
            assert_eq!(charges.len() as u64, LIMIT);
            assert!(left.into_iter().eq(0..LIMIT), "each number of remaining requests is reported once");
            let events = gateways.iter().flat_map(|(_, events)| events.all());
            let shared = events.filter(|event| matches!(event, Event::Called(asked) if *asked > 1)).count();
            assert!(shared > 0, "concurrent requests share a call");
        }
        hours
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prefetching_gateways_grant_exactly_the_limit() {
    const LIMIT: u64 = 200_000;
    within_one_hour(async |namespace| {
        let gateways: Vec<_> = (0..3).map(|_| gateway(&namespace)).collect();
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..48 {
            let quotas = gateways[client % gateways.len()].0.clone();
            clients.spawn(async move {
                let mut charges = all_of(&quotas, LIMIT).await;
                // A client that was refused because of another gateway's prefetched numbers retries.
                for _ in 0..4 {
                    tokio::time::sleep(Duration::from_millis(EXCEEDED_CACHE_MS)).await;
                    charges.extend(all_of(&quotas, LIMIT).await);
                }
                charges
            });
        }
        let charges = clients.join_all().await.concat();
        let hours: BTreeSet<u64> = charges.iter().map(|charge| charge.hour).collect();
        if hours.len() == 1 {
            let left: BTreeSet<u64> = charges.iter().map(|charge| charge.state().remaining).collect();
            assert_eq!(charges.len() as u64, LIMIT);
            assert!(left.into_iter().eq(0..LIMIT), "each number of remaining requests is reported once");
            let prefetched = |event: &Event| matches!(event, Event::Prefetched(_));
            assert!(
                gateways.iter().all(|(_, events)| events.all().iter().any(prefetched)),
                "each gateway prefetches"
            );
        }
        hours
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unused_prefetched_numbers_are_refunded() {
    within_one_hour(async |namespace| {
        let (quotas, events) = gateway(&namespace);
        let (counted, mut hours) = keep_busy(&quotas, &events).await;
        let mut redis = connection().await;
        let keys = Keys::new(&KeyNames::new(&namespace), PROJECT);
        until("unused numbers are refunded", async || {
            let used = keys.used(&mut redis).await.expect("Redis is running");
            hours.insert(used.reset / 3600 - 1);
            (used.requests == counted || hours.len() > 1).then_some(())
        })
        .await;
        hours
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_gateway_refunds_prefetched_numbers() {
    within_one_hour(async |namespace| {
        let (quotas, events) = gateway(&namespace);
        let (counted, mut hours) = keep_busy(&quotas, &events).await;
        quotas.stop().await;
        let keys = Keys::new(&KeyNames::new(&namespace), PROJECT);
        let used = keys.used(&mut connection().await).await.expect("Redis is running");
        hours.insert(used.reset / 3600 - 1);
        if hours.len() == 1 {
            assert_eq!(used.requests, counted);
        }
        hours
    })
    .await;
}

#[tokio::test]
async fn refund_is_available_to_other_gateways() {
    within_one_hour(async |namespace| {
        let (one, two) = (gateway(&namespace).0, gateway(&namespace).0);
        let charges = all_of(&one, 5).await;
        let mut hours: BTreeSet<u64> = charges.iter().map(|charge| charge.hour).collect();
        hours.insert(hour(two.count(PROJECT, 5).await));
        one.refund(PROJECT, charges[2]);
        let reissued = until("the refund arrives", async || charge(two.count(PROJECT, 5).await)).await;
        hours.insert(reissued.hour);
        if hours.len() == 1 {
            assert_eq!((charges.len(), reissued.number), (5, charges[2].number));
        }
        hours
    })
    .await;
}

#[tokio::test]
async fn changed_limit_applies_at_once() {
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
async fn next_hour_starts_with_the_full_quota() {
    let namespace = namespace();
    assert!(all_of(&gateway(&namespace).0, 4).await.len() >= 4);
    // Simulates a gateway that starts an hour later.
    let name = format!("tidemark-{namespace}:quota:{{{PROJECT}}}");
    let mut redis = connection().await;
    redis::cmd("HINCRBY")
        .arg(&[&name, "hour", "-1"])
        .query_async::<()>(&mut redis)
        .await
        .expect("Redis is running");
    let first = charge(gateway(&namespace).0.count(PROJECT, 4).await).expect("the hour is new");
    assert_eq!(first.number, 1);
    let ttl: i64 = redis::cmd("TTL").arg(&name).query_async(&mut redis).await.expect("Redis is running");
    assert!(ttl > 3600, "the key outlives its hour but expires: {ttl}");
}

#[tokio::test]
async fn count_lost_by_redis_resumes_from_the_gateways_view() {
    within_one_hour(async |namespace| {
        let (quotas, events) = gateway(&namespace);
        let mut hours = BTreeSet::new();
        let mut numbers = Vec::new();
        for forget in [false, false, true, false] {
            if forget {
                let name = format!("tidemark-{namespace}:quota:{{{PROJECT}}}");
                let mut redis = connection().await;
                redis::cmd("DEL").arg(&name).query_async::<()>(&mut redis).await.expect("Redis is running");
            }
            let charge = charge(quotas.count(PROJECT, 9).await).expect("some are left");
            hours.insert(charge.hour);
            numbers.push(charge.number);
        }
        if hours.len() == 1 {
            assert_eq!(numbers, [1, 2, 3, 4]);
            assert!(events.all().contains(&Event::CountLost));
        }
        hours
    })
    .await;
}

#[tokio::test]
async fn reading_usage_consumes_nothing() {
    within_one_hour(async |namespace| {
        let mut redis = connection().await;
        let keys = Keys::new(&KeyNames::new(&namespace), PROJECT);
        let quotas = gateway(&namespace).0;
        let before = keys.used(&mut redis).await.expect("Redis is running");
        let charges = all_of(&quotas, 2).await;
        let mut after = async || keys.used(&mut redis).await.expect("Redis is running");
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
async fn outage_policy_decides_without_redis() {
    let events = RecordedEvents::default();
    let nowhere = |outage| {
        Quotas::new(&RedisEndpoint::new("redis://127.0.0.1:9"), "", outage, events.clone())
            .expect("the address is valid")
    };
    let (open, closed) = (nowhere(OutagePolicy::Open), nowhere(OutagePolicy::Closed));
    let mut hours = BTreeSet::new();
    let mut numbers = Vec::new();
    for _ in 0..4 {
        let verdict = open.count(PROJECT, 3).await;
        hours.insert(hour(verdict));
        numbers.extend(charge(verdict).map(|charge| (charge.number, charge.source)));
    }
    if hours.len() == 1 {
        assert_eq!(numbers, [1, 2, 3].map(|number| (number, Source::Gateway)));
    }
    assert!(matches!(closed.count(PROJECT, 3).await, Verdict::Unavailable(state) if state.limit == 3));
    assert!(events.all().contains(&Event::Available(false)));
    assert!(events.all().contains(&Event::DecidedLocally));
}
