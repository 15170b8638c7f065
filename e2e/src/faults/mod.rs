//! Fault-injection campaigns: the whole pipeline under load while its processes, connections and disks fail.
//!
//! **Invariants**, whatever fails:
//! - every metric that was answered 200 is in `samples` exactly once;
//! - `samples` has no metric that was not sent, and no request in part;
//! - every rollup equals the sum of its samples;
//! - a request with an idempotency key that was repeated until it was answered 200 is stored exactly once,
//!   however often it was sent and whatever the earlier responses were;
//! - a valid request is never refused as invalid: it gets 200, 503, no response, or 408 from a gateway that was
//!   frozen, and never 401;
//! - no service exits by itself;
//! - after the last fault, the services become ready, requests with idempotency keys are answered 200 and the
//!   backlog is stored, within generous limits and without intervention;
//! - no record becomes a dead letter, because every request is valid.
//!
//! Allowed: a request that gets no response or 503 is stored once or not at all; a store exits when its disk
//! fails, and is restarted.
//!
//! **Set-up.** Three gateways, three workers and a query API run on their own Kafka, Redis and ClickHouse.
//! [`senders`] send uniquely numbered metrics. [`schedule`] derives the faults from a seed: services and stores
//! are killed or frozen, workers leave and join, Redis loses its data, the connections of one service to one
//! store or to all stores are cut, stalled, delayed or lose their responses ([`link`]), and the disk under
//! ClickHouse is full or fails renames ([`crate::scratch::failing_disk`]). Clocks are not changed. Then all
//! faults end, and [`oracle`] checks the invariants.

pub mod cluster;
pub mod link;
pub mod oracle;
pub mod rng;
pub mod schedule;
pub mod senders;

use crate::error::Result;
use crate::kafka_log::end_offsets;
use crate::wait;
use cluster::Cluster;
use schedule::{Entry, Fault};
use senders::{Senders, Sent};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(100);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(30);

/// Result of a campaign.
#[derive(Debug)]
pub struct Verdict {
    /// A sentence for each violated invariant.
    pub violations: Vec<String>,
    /// Number of requests that were answered 200.
    pub accepted: usize,
    /// Number of metrics that are stored.
    pub stored: usize,
}

/// Runs the campaign of a seed; reports its progress on standard output.
pub async fn run(seed: u64, length: Duration) -> Result<Verdict> {
    let schedule = schedule::generate(seed, length);
    println!("seed {seed}, {:.1} minutes, {} faults:", length.as_secs_f64() / 60.0, schedule.len());
    schedule.iter().for_each(|entry| println!("  {entry}"));

    let mut cluster = Cluster::start().await?;
    println!("all services are ready; logs: {}", cluster.directory().display());
    let verdict = run_on(&mut cluster, &schedule, seed, length).await;
    if !matches!(&verdict, Ok(verdict) if verdict.violations.is_empty()) {
        println!("the data of the stores is kept:");
        cluster.keep_data().iter().for_each(|path| println!("  {}", path.display()));
    }
    verdict
}

async fn run_on(cluster: &mut Cluster, schedule: &[Entry], seed: u64, length: Duration) -> Result<Verdict> {
    let project = cluster.client().project("unlimited").await?;
    let senders = Senders::start(cluster.gateways(), project, seed)?;
    let mut violations = inject_faults(cluster, schedule, &senders, length).await?;

    let faults_ended = Instant::now();
    let elapsed = || format!("{:.1} s after the last fault", faults_ended.elapsed().as_secs_f64());
    cluster.wait_until_ready().await?;
    println!("all services are ready, {}", elapsed());
    let sent = senders.finish().await;
    println!("all requests with idempotency keys are answered or given up, {}", elapsed());
    wait_until_backlog_is_stored(cluster).await?;
    println!("the backlog is stored, {}", elapsed());

    let clickhouse = cluster.clickhouse();
    let stored = oracle::stored(&clickhouse).await?;
    violations.extend(oracle::violations(&sent, &stored));
    violations.extend(oracle::table_violations(&clickhouse).await?);
    let dead_letters: i64 = end_offsets(cluster.brokers(), &cluster.topics().dead)?.values().sum();
    if dead_letters > 0 {
        violations.push(format!("{dead_letters} records became dead letters"));
    }
    print_summary(&sent, stored.len());
    Ok(Verdict { violations, accepted: sent.accepted.len(), stored: stored.len() })
}

/// Starts and ends the faults as scheduled; returns the violations that were observed meanwhile.
async fn inject_faults(
    cluster: &mut Cluster,
    schedule: &[Entry],
    senders: &Senders,
    length: Duration,
) -> Result<Vec<String>> {
    let started = Instant::now();
    let mut violations = Vec::new();
    let mut next_progress = PROGRESS_INTERVAL;
    for (time, transition, fault) in transitions(schedule) {
        while started.elapsed() < time {
            tokio::time::sleep(TICK.min(time.saturating_sub(started.elapsed()))).await;
            violations.extend(revive(cluster, started)?);
            if started.elapsed() > next_progress {
                next_progress += PROGRESS_INTERVAL;
                let (requests, accepted) = senders.progress();
                let seconds = started.elapsed().as_secs_f64();
                println!("{seconds:7.1} s  {requests} requests, {accepted} accepted");
            }
        }
        println!("{:7.1} s  {fault}: {transition:?}", started.elapsed().as_secs_f64());
        match transition {
            Transition::Begin => cluster.begin(fault).await?,
            Transition::End => cluster.end(fault).await?,
        }
    }
    while started.elapsed() < length {
        tokio::time::sleep(TICK).await;
        violations.extend(revive(cluster, started)?);
    }
    Ok(violations)
}

/// Restarts processes that exited; returns the exits of services, which are violations.
fn revive(cluster: &mut Cluster, started: Instant) -> Result<Vec<String>> {
    let exits = cluster.revive()?;
    for exit in exits.stores.iter().chain(&exits.services) {
        println!("{:7.1} s  {exit}", started.elapsed().as_secs_f64());
    }
    Ok(exits.services)
}

#[derive(Debug, Clone, Copy)]
enum Transition {
    Begin,
    End,
}

/// Returns the starts and ends of all faults, ordered by time.
fn transitions(schedule: &[Entry]) -> Vec<(Duration, Transition, Fault)> {
    let both = |entry: &Entry| {
        [(entry.start, Transition::Begin, entry.fault), (entry.end(), Transition::End, entry.fault)]
    };
    let mut transitions: Vec<_> = schedule.iter().flat_map(both).collect();
    transitions.sort_by_key(|&(time, ..)| time);
    transitions
}

/// Waits until the head of every partition's chain has reached the end of the log.
async fn wait_until_backlog_is_stored(cluster: &Cluster) -> Result<()> {
    let clickhouse = cluster.clickhouse();
    let ends = end_offsets(cluster.brokers(), &cluster.topics().metrics)?;
    wait::until("all heads have reached the end of the log", async || {
        let heads: Vec<(i32, i64)> = clickhouse
            .query(
                "SELECT partition, max(last_offset) FROM samples WHERE kind = 'marker' GROUP BY kind, partition",
            )
            .fetch_all()
            .await?;
        let heads: BTreeMap<i32, i64> = heads.into_iter().collect();
        let lags = |(partition, end): (&i32, &i64)| *end > heads.get(partition).map_or(0, |head| head + 1);
        Ok((!ends.iter().any(lags)).then_some(()))
    })
    .await
}

fn print_summary(sent: &Sent, stored: usize) {
    println!("{} requests, {} accepted, {stored} metrics stored", sent.requests, sent.accepted.len());
    println!("responses by status:");
    sent.responses.iter().for_each(|(status, count)| println!("  {status:<11} {count}"));
    println!(
        "{} repeats were accepted with another batch id, because Redis had lost the claim",
        sent.changed_batch_ids
    );
}
