//! A campaign of faults: the whole pipeline at work while everything that can break under it does.
//!
//! **What may never happen, whatever fails:**
//! - a metric that was answered 200 is not in `samples`, or is there twice;
//! - a metric is in `samples` that was never sent, or a request is there in part;
//! - a rollup says something else than the sum of its samples;
//! - a request with an idempotency key that was repeated until it was answered 200 is there twice, however often it was
//!   sent and whatever it was answered meanwhile;
//! - a good request is told that it is wrong: it is answered 200, 503 (or 408, by a gateway that stood still), or not at
//!   all, and never 401;
//! - a service ends by itself;
//! - once the faults stop, the services do not get ready, keyed requests are not answered 200, or the backlog is not
//!   stored, within a generous limit and without anybody's help;
//! - a record becomes a dead letter: all that was sent is good.
//!
//! What may happen: a request without an answer, or with 503, is stored once or not at all; a store ends by itself when
//! its disk fails, and is started again.
//!
//! **What is done.** Three gateways, three workers and a query service run on a Kafka, a Redis and a ClickHouse of the
//! campaign's own. [`senders`] send uniquely numbered metrics. [`schedule`] says, from a seed, what fails when: any
//! service or store is killed or stopped, workers leave and join, Redis loses everything, the connections of one service
//! with one store or all of them are cut, stalled, slowed, or lose their answers ([`link`]), and the disk under
//! ClickHouse is full, or takes files and cannot rename them ([`failing_disk`]). Clocks are left alone. Then everything
//! is healed, and [`oracle`] counts.

pub mod dice;
pub mod failing_disk;
pub mod link;
pub mod oracle;
pub mod schedule;
pub mod senders;
pub mod stage;

use crate::{Result, wait};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use schedule::{Entry, Fault};
use senders::{Senders, Sent};
use stage::Stage;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(100);
const KAFKA: Duration = Duration::from_secs(10);
const NEWS: Duration = Duration::from_secs(30);

/// How a campaign ended.
#[derive(Debug)]
pub struct Verdict {
    /// What was wrong, in sentences; empty if the promise was kept.
    pub faults: Vec<String>,
    /// Requests that were accepted.
    pub accepted: usize,
    /// Metrics that are stored.
    pub stored: usize,
}

/// Runs the campaign of `seed`, and says on standard output what happens.
pub async fn run(seed: u64, length: Duration) -> Result<Verdict> {
    let schedule = schedule::of(seed, length);
    println!("seed {seed}, {:.1} minutes, {} faults:", length.as_secs_f64() / 60.0, schedule.len());
    schedule.iter().for_each(|entry| println!("  {entry}"));

    let mut stage = Stage::start().await?;
    println!("all services are ready; their logs: {}", stage.directory().display());
    let outcome = campaign(&mut stage, &schedule, seed, length).await;
    if !matches!(&outcome, Ok(verdict) if verdict.faults.is_empty()) {
        println!("the stores' data stays for you to look at:");
        stage.keep().iter().for_each(|path| println!("  {}", path.display()));
    }
    outcome
}

async fn campaign(stage: &mut Stage, schedule: &[Entry], seed: u64, length: Duration) -> Result<Verdict> {
    let project = stage.client().project("unlimited").await?;
    let senders = Senders::start(stage.gateways(), project, seed)?;
    let mut faults = perform(stage, schedule, &senders, length).await?;

    let healed = Instant::now();
    let since = || format!("{:.1} s after the last fault", healed.elapsed().as_secs_f64());
    stage.all_ready().await?;
    println!("all services are ready, {}", since());
    let sent = senders.finish().await;
    println!("all requests with keys are answered or given up, {}", since());
    backlog_gone(stage).await?;
    println!("the backlog is gone, {}", since());

    let clickhouse = stage.clickhouse();
    let stored = oracle::stored(&clickhouse).await?;
    faults.extend(oracle::faults(&sent, &stored));
    faults.extend(oracle::table_faults(&clickhouse).await?);
    let dead: i64 = ends(stage.brokers(), &stage.topics().dead)?.values().sum();
    if dead > 0 {
        faults.push(format!("{dead} records became dead letters"));
    }
    tell(&sent, stored.len());
    Ok(Verdict { faults, accepted: sent.accepted.len(), stored: stored.len() })
}

/// Lets everything fail as it is scheduled; gives what went wrong beyond that.
async fn perform(
    stage: &mut Stage,
    schedule: &[Entry],
    senders: &Senders,
    length: Duration,
) -> Result<Vec<String>> {
    let begun = Instant::now();
    let mut wrong = Vec::new();
    let mut next_news = NEWS;
    for (at, begins, fault) in turns(schedule) {
        while begun.elapsed() < at {
            tokio::time::sleep(TICK.min(at.saturating_sub(begun.elapsed()))).await;
            wrong.extend(revive(stage, begun)?);
            if begun.elapsed() > next_news {
                next_news += NEWS;
                let (requests, accepted) = senders.so_far();
                println!("{:7.1} s  {requests} requests, {accepted} accepted", begun.elapsed().as_secs_f64());
            }
        }
        let word = if begins { "begins" } else { "ends" };
        println!("{:7.1} s  {fault}: {word}", begun.elapsed().as_secs_f64());
        if begins { stage.begin(fault).await? } else { stage.end(fault).await? }
    }
    while begun.elapsed() < length {
        tokio::time::sleep(TICK).await;
        wrong.extend(revive(stage, begun)?);
    }
    Ok(wrong)
}

/// What ended by itself is started again; the services among it are told.
fn revive(stage: &mut Stage, begun: Instant) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for ended in stage.revive()? {
        println!("{:7.1} s  {ended}", begun.elapsed().as_secs_f64());
        if schedule::Service::all().any(|service| ended.starts_with(&service.to_string())) {
            wrong.push(ended);
        }
    }
    Ok(wrong)
}

/// Beginnings and ends, in the order of their time.
fn turns(schedule: &[Entry]) -> Vec<(Duration, bool, Fault)> {
    let both = |entry: &Entry| [(entry.at, true, entry.fault), (entry.end(), false, entry.fault)];
    let mut turns: Vec<_> = schedule.iter().flat_map(both).collect();
    turns.sort_by_key(|&(at, ..)| at);
    turns
}

/// Waits until the chains reach the log's end.
async fn backlog_gone(stage: &Stage) -> Result<()> {
    let clickhouse = stage.clickhouse();
    let ends = ends(stage.brokers(), &stage.topics().metrics)?;
    wait::until("the workers have passed the log's end", async || {
        let heads: Vec<(i32, i64)> = clickhouse
            .query(
                "SELECT partition, max(last_offset) FROM samples WHERE kind = 'marker' GROUP BY kind, partition",
            )
            .fetch_all()
            .await?;
        let heads: BTreeMap<i32, i64> = heads.into_iter().collect();
        let behind = |(partition, end): (&i32, &i64)| *end > heads.get(partition).map_or(0, |head| head + 1);
        Ok((!ends.iter().any(behind)).then_some(()))
    })
    .await
}

fn ends(brokers: &str, topic: &str) -> Result<BTreeMap<i32, i64>> {
    let consumer: BaseConsumer = service::kafka::client(brokers, "e2e").create()?;
    let metadata = consumer.fetch_metadata(Some(topic), KAFKA)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    partitions
        .map(|partition| Ok((partition.id(), consumer.fetch_watermarks(topic, partition.id(), KAFKA)?.1)))
        .collect()
}

fn tell(sent: &Sent, stored: usize) {
    println!("{} requests, {} accepted, {stored} metrics stored", sent.requests, sent.accepted.len());
    println!("answers by status:");
    sent.answers.iter().for_each(|(status, count)| println!("  {status:<10} {count}"));
    println!("{} repeats were accepted under another batch id: Redis had lost the first", sent.other_ids);
}
