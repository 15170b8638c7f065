//! `verify`: the log, or a part of it, replayed into a scratch database and compared with the store that is read.
//!
//! The same code stores it as ever, each partition up to where the log ended when the command began. What a part needs
//! to know of the records before it, the receipts of idempotency keys, is taken from the store that is read. What was
//! deleted is taken out of the scratch database as out of any other; so that is verified too.

use super::compare::{self, Projects};
use super::progress::Progress;
use super::{Failure, Lines, deletions, stores};
use crate::deletion::erase::Eraser;
use crate::fetch::Fetch;
use crate::generation::{self, Generator};
use crate::log::Log;
use crate::metrics::Metrics;
use crate::migrations;
use crate::pace::Pace;
use crate::partition::{Driver, Part, Shared};
use crate::settings::Verify;
use crate::store::Store;
use prometheus_client::registry::Registry;
use proto::v1::{Deletion, Generation};
use service::health::Health;
use service::traces::Traces;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const PAUSE: Duration = Duration::from_millis(500);

/// Replays and compares; fails if they differ.
pub async fn run(generator: &Generator, part: &Verify) -> Result<(), Failure> {
    let (all, _) = generator.recorded().await?;
    let all =
        all.ok_or("there is nothing to verify: start an ingest-worker, which makes the first generation")?;
    let live = all.generations.iter().find(|generation| generation.number == all.read).cloned();
    let live = live.ok_or_else(|| format!("generation {} is to be read and does not exist", all.read))?;
    left_behind(generator).await?;
    let stop = service::stop::on_signal()?;
    let name =
        generation::database(&generator.namespace, &format!("scratch_{}", uuid::Uuid::now_v7().simple()));
    let verified = tokio::select! {
        verified = verify(generator, part, &live, &name) => verified,
        () = stop.cancelled() => Err("broken off".into()),
    };
    generator.client.query_raw(&format!("DROP DATABASE IF EXISTS `{name}` SYNC")).execute().await?;
    verified
}

/// Says which scratch databases stand about; they may be another command's.
async fn left_behind(generator: &Generator) -> Result<(), Failure> {
    let prefix = generation::database(&generator.namespace, "scratch_");
    let left: Vec<String> = generator
        .client
        .query("SELECT name FROM system.databases WHERE startsWith(name, {prefix:String})")
        .param("prefix", prefix)
        .fetch_all()
        .await?;
    for name in left {
        println!(
            "{name} is there: if no other verify runs, one was killed, and it can go (DROP DATABASE {name})"
        );
    }
    Ok(())
}

async fn verify(
    generator: &Generator,
    part: &Verify,
    live: &Generation,
    scratch: &str,
) -> Result<(), Failure> {
    let client = &generator.client;
    let log = Log::new(&generator.brokers, &generator.topics.metrics);
    let from = match part.from {
        Some(time_ms) => log.offsets_at(time_ms).await?,
        None => Default::default(),
    };
    let heads = stores::heads(client, &live.database).await?;
    let stretches: Vec<compare::Stretch> = log
        .bounds()
        .await?
        .into_iter()
        .filter_map(|(partition, start, _)| {
            let begin = stores::begin(live, partition).max(from.get(&partition).copied().unwrap_or(0));
            if start > begin {
                println!(
                    "partition {partition}: Kafka holds nothing before offset {start}; verified from there on"
                );
            }
            let (first, last) = (begin.max(start), *heads.get(&partition)?);
            (first <= last).then_some(compare::Stretch { partition, first, last })
        })
        .collect();
    migrations::apply(client, scratch).await?;
    replay(generator, part, live, scratch, log, &stretches).await?;

    let (one, differences) = compared(generator, part, live, scratch, &stretches).await?;
    for difference in &differences {
        println!("{difference}");
    }
    if !differences.is_empty() {
        return Err(format!(
            "generation {} is not what the log says, in {} projects; `ingest-worker rebuild clickhouse` makes a new one",
            live.number,
            differences.len()
        )
        .into());
    }
    let metrics: u64 = one.values().map(|totals| totals.count).sum();
    println!("generation {} is what the log says: {metrics} metrics of {} projects", live.number, one.len());
    Ok(())
}

/// What the live store holds, and where the two differ, once what was deleted is gone from both.
async fn compared(
    generator: &Generator,
    part: &Verify,
    live: &Generation,
    scratch: &str,
    stretches: &[compare::Stretch],
) -> Result<(Projects, Vec<compare::Difference>), Failure> {
    let client = &generator.client;
    let project = part.project.as_deref();
    let mut lines = Lines::new();
    loop {
        let ledger = deletions::recorded(generator).await?;
        let open = ledger.open(live.number).count();
        if open > 0 {
            lines.print(|| {
                let number = live.number;
                format!("waiting for the workers to apply {open} deletions to generation {number}")
            });
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let all: Vec<Deletion> = ledger.all().cloned().collect();
        Eraser::new(client, scratch).erase(&all).await?;
        let (mut one, mut other) = (Projects::new(), Projects::new());
        for &stretch in stretches {
            compare::add(&mut one, compare::totals(client, &live.database, stretch, project).await?);
            compare::add(&mut other, compare::totals(client, scratch, stretch, project).await?);
        }
        deletions::leave_out_removed(&ledger, [&mut one, &mut other]);
        if deletions::recorded(generator).await?.same_deletions(&ledger) {
            let differences = compare::differences(&one, &other);
            return Ok((one, differences));
        }
    }
}

/// Stores the stretches in the scratch database.
async fn replay(
    generator: &Generator,
    part: &Verify,
    live: &Generation,
    scratch: &str,
    log: Log,
    stretches: &[compare::Stretch],
) -> Result<(), Failure> {
    let health = Health::default();
    let mut registry = Registry::default();
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let shared = Shared {
        store: Store::new(&generator.client, scratch, scratch.to_owned()),
        fetch: Fetch::start(&generator.brokers, &generator.topics.metrics, Traces::default(), stop.clone())?,
        log,
        membership: None,
        dead: None,
        part: Part {
            project: part.project.as_deref().map(Arc::from),
            before: Some(Store::new(&generator.client, &live.database, String::new())),
        },
        generation: 0,
        pace: Pace::default(),
        traces: Traces::default(),
        metrics: Arc::new(Metrics::new(&mut registry, health.condition("clickhouse"))),
        health,
    };
    let mut drivers = JoinSet::new();
    for stretch in stretches {
        drivers.spawn(Driver::new(shared.clone(), stretch.partition, stretch.first).run(stop.clone()));
    }
    let total: i64 = stretches.iter().map(|stretch| stretch.last + 1 - stretch.first).sum();
    let (mut progress, mut lines, begun) = (Progress::default(), Lines::new(), Instant::now());
    loop {
        let heads: BTreeMap<i32, i64> = stores::heads(&generator.client, scratch).await?;
        let done = |stretch: &compare::Stretch| {
            let head = heads.get(&stretch.partition).copied().unwrap_or(stretch.first - 1);
            head.min(stretch.last) + 1 - stretch.first
        };
        let done: i64 = stretches.iter().map(done).sum();
        progress.at(begun.elapsed(), done.unsigned_abs());
        if done == total {
            break;
        }
        lines.print(|| progress.line(total.unsigned_abs()));
        tokio::time::sleep(PAUSE).await;
    }
    println!("replayed {}", progress.line(total.unsigned_abs()));
    stop.cancel();
    while let Some(ended) = drivers.join_next().await {
        ended?;
    }
    Ok(())
}
