//! `verify`: replays the log, or a part of it, into a scratch database and compares the result with the live generation.
//!
//! The replay uses the same code as the pipeline and stores each partition up to the live head at the start of the command.
//! If it covers a part of the log only, the receipts of idempotency keys before that part are read from the live
//! generation. Deletions are applied to the scratch database as to any other, so they are verified too.

use super::compare::{self, OffsetRange, Projects};
use super::progress::Progress;
use super::{Failure, ProgressPrinter, deletions, stores};
use crate::deletion::erase::Eraser;
use crate::fetch::Fetcher;
use crate::generation::{self, GenerationManager};
use crate::insert_rate::InsertRate;
use crate::kafka_log::{KafkaLog, PartitionBounds};
use crate::metrics::Metrics;
use crate::migrations;
use crate::partition::{PartitionContext, PartitionDriver, ReplayScope};
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

/// Replays and compares; fails if the stores differ.
pub async fn run(manager: &GenerationManager, options: &Verify) -> Result<(), Failure> {
    let (all, _) = manager.recorded().await?;
    let all =
        all.ok_or("there is nothing to verify: start an ingest-worker, which creates the first generation")?;
    let live = all.generations.iter().find(|generation| generation.number == all.read).cloned();
    let live =
        live.ok_or_else(|| format!("generation {} is live, but is not in the control log", all.read))?;
    print_left_over_databases(manager).await?;
    let stop = service::stop::on_signal()?;
    let suffix = format!("scratch_{}", uuid::Uuid::now_v7().simple());
    let scratch = generation::database_name(&manager.namespace, &suffix);
    let verification = Verification { manager, options, live: &live, scratch: &scratch };
    let result = tokio::select! {
        result = verification.run() => result,
        () = stop.cancelled() => Err("interrupted".into()),
    };
    manager.client.query_raw(&format!("DROP DATABASE IF EXISTS `{scratch}` SYNC")).execute().await?;
    result
}

/// Prints the scratch databases that exist already. They are not dropped, because a running command may use them.
async fn print_left_over_databases(manager: &GenerationManager) -> Result<(), Failure> {
    let prefix = generation::database_name(&manager.namespace, "scratch_");
    let names: Vec<String> = manager
        .client
        .query("SELECT name FROM system.databases WHERE startsWith(name, {prefix:String})")
        .param("prefix", prefix)
        .fetch_all()
        .await?;
    for name in names {
        println!(
            "scratch database {name} exists: unless another verify is running, it is left over from one that was killed; \
             remove it with DROP DATABASE {name}"
        );
    }
    Ok(())
}

struct Verification<'a> {
    manager: &'a GenerationManager,
    options: &'a Verify,
    live: &'a Generation,
    /// Name of the scratch database.
    scratch: &'a str,
}

impl Verification<'_> {
    async fn run(&self) -> Result<(), Failure> {
        let log = KafkaLog::new(&self.manager.brokers, &self.manager.topics.metrics);
        let ranges = self.ranges(&log).await?;
        migrations::apply(&self.manager.client, self.scratch).await?;
        self.replay(log, &ranges).await?;

        let (projects, differences) = self.compare(&ranges).await?;
        for difference in &differences {
            println!("{difference}");
        }
        let number = self.live.number;
        if !differences.is_empty() {
            return Err(format!(
                "generation {number} does not match the log in {} projects; rebuild it with `ingest-worker rebuild \
                 clickhouse`",
                differences.len()
            )
            .into());
        }
        let metrics: u64 = projects.values().map(|totals| totals.count).sum();
        println!("generation {number} matches the log: {metrics} metrics of {} projects", projects.len());
        Ok(())
    }

    /// Returns the ranges to verify: from the requested time, if Kafka still holds it, to the live heads.
    async fn ranges(&self, log: &KafkaLog) -> Result<Vec<OffsetRange>, Failure> {
        let from = match self.options.from {
            Some(time_ms) => log.offsets_at(time_ms).await?,
            None => Default::default(),
        };
        let heads = stores::heads(&self.manager.client, &self.live.database).await?;
        let range = |PartitionBounds { partition, start, .. }| {
            let begin = stores::begin(self.live, partition).max(from.get(&partition).copied().unwrap_or(0));
            if start > begin {
                println!(
                    "partition {partition}: Kafka no longer holds the offsets before {start}; verifying from there"
                );
            }
            let (first, last) = (begin.max(start), *heads.get(&partition)?);
            (first <= last).then_some(OffsetRange { partition, first, last })
        };
        Ok(log.bounds().await?.into_iter().filter_map(range).collect())
    }

    /// Applies the deletions to both stores, and returns the totals of the live generation and the differences. Starts again
    /// if something is deleted meanwhile.
    async fn compare(&self, ranges: &[OffsetRange]) -> Result<(Projects, Vec<compare::Difference>), Failure> {
        let client = &self.manager.client;
        let project = self.options.project.as_deref();
        let mut printer = ProgressPrinter::new();
        loop {
            let ledger = deletions::recorded(self.manager).await?;
            let pending = ledger.pending(self.live.number).count();
            if pending > 0 {
                printer.print(|| {
                    let number = self.live.number;
                    format!("waiting for the workers to apply {pending} deletions to generation {number}")
                });
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let all: Vec<Deletion> = ledger.all().cloned().collect();
            Eraser::new(client, self.scratch).erase(&all).await?;
            let (mut live, mut replayed) = (Projects::new(), Projects::new());
            for &range in ranges {
                let totals = compare::totals(client, &self.live.database, range, project).await?;
                compare::add(&mut live, totals);
                compare::add(&mut replayed, compare::totals(client, self.scratch, range, project).await?);
            }
            deletions::exclude_deleted_projects(&ledger, [&mut live, &mut replayed]);
            if deletions::recorded(self.manager).await?.same_deletions(&ledger) {
                let differences = compare::differences(&live, &replayed);
                return Ok((live, differences));
            }
        }
    }

    /// Stores the ranges in the scratch database.
    async fn replay(&self, log: KafkaLog, ranges: &[OffsetRange]) -> Result<(), Failure> {
        let stop = CancellationToken::new();
        let _stop_on_drop = stop.clone().drop_guard();
        let context = self.replay_context(log, &stop)?;
        let mut drivers = JoinSet::new();
        for range in ranges {
            let driver = PartitionDriver::new(context.clone(), range.partition, range.first);
            drivers.spawn(driver.run(stop.clone()));
        }
        let total: i64 = ranges.iter().map(|range| range.last + 1 - range.first).sum();
        let (mut progress, mut printer) = (Progress::default(), ProgressPrinter::new());
        let started = Instant::now();
        loop {
            let heads: BTreeMap<i32, i64> = stores::heads(&self.manager.client, self.scratch).await?;
            let done = |range: &OffsetRange| {
                let head = heads.get(&range.partition).copied().unwrap_or(range.first - 1);
                head.min(range.last) + 1 - range.first
            };
            let done: i64 = ranges.iter().map(done).sum();
            progress.observe(started.elapsed(), done.unsigned_abs());
            if done == total {
                break;
            }
            printer.print(|| progress.line(total.unsigned_abs()));
            tokio::time::sleep(PAUSE).await;
        }
        println!("replayed {}", progress.line(total.unsigned_abs()));
        stop.cancel();
        while let Some(ended) = drivers.join_next().await {
            ended?;
        }
        Ok(())
    }

    fn replay_context(&self, log: KafkaLog, stop: &CancellationToken) -> Result<PartitionContext, Failure> {
        let GenerationManager { brokers, topics, client, .. } = self.manager;
        let health = Health::default();
        let mut registry = Registry::default();
        Ok(PartitionContext {
            store: Store::new(client, self.scratch, self.scratch.to_owned()),
            fetcher: Fetcher::start(brokers, &topics.metrics, Traces::default(), stop.clone())?,
            log,
            membership: None,
            dead_letters: None,
            scope: ReplayScope {
                project: self.options.project.as_deref().map(Arc::from),
                earlier_receipts: Some(Store::new(client, &self.live.database, String::new())),
            },
            generation: 0,
            insert_rate: InsertRate::default(),
            traces: Traces::default(),
            metrics: Arc::new(Metrics::new(&mut registry, health.condition("clickhouse"))),
            health,
        })
    }
}
