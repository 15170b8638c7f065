//! `rebuild clickhouse`: creates a new generation, waits until the running workers have filled it from the beginning of the
//! log, compares it with the live generation, and switches queries to it.
//!
//! Every step leaves in the control log what the next run needs, so the command can be interrupted anywhere and run again.
//! It writes no metrics itself. The workers do, because they continue with the generation after the switch.

use super::compare::{self, Difference, Projects};
use super::progress::Progress;
use super::{Failure, ProgressPrinter, deletions, generations, lock, stores};
use crate::deletion::ledger::DeletionLedger;
use crate::generation::GenerationManager;
use crate::kafka_log::KafkaLog;
use crate::settings::{RebuildClickhouse, Settings};
use control::projection::Projection;
use proto::control::{EntityKind, GENERATIONS_ID};
use proto::v1::{Generation, Generations, entity::Kind};
use redis_access::connect;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(1);
/// Pause between checks whether the switch has reached Redis.
const SWITCH_PAUSE: Duration = Duration::from_millis(100);
/// After this time without progress, the progress line points to the logs of the workers.
const STALL_LIMIT: Duration = Duration::from_secs(10);

/// The next step, derived from the generations in the control log.
#[derive(Debug, Clone, PartialEq)]
enum Plan {
    /// Start a new generation.
    Start,
    /// Resume this generation, which an earlier run started and which is not live yet.
    Resume(Generation),
    /// This old generation is left over from an earlier rebuild.
    LeftOver(Generation),
}

fn plan(all: &Generations) -> Plan {
    let started =
        all.generations.iter().filter(|generation| generation.number > all.read).max_by_key(|g| g.number);
    let left_over = all.generations.iter().find(|generation| generation.number < all.read);
    match (started, left_over) {
        (Some(started), _) => Plan::Resume(started.clone()),
        (None, Some(left_over)) => Plan::LeftOver(left_over.clone()),
        (None, None) => Plan::Start,
    }
}

/// Rebuilds, starting from wherever an earlier run stopped.
pub async fn run(
    settings: &Settings,
    manager: &GenerationManager,
    options: &RebuildClickhouse,
) -> Result<(), Failure> {
    let (all, _) = manager.recorded().await?;
    let all =
        all.ok_or("there is nothing to rebuild: start an ingest-worker, which creates the first generation")?;
    let live = all.generations.iter().find(|generation| generation.number == all.read).cloned();
    let live =
        live.ok_or_else(|| format!("generation {} is live, but is not in the control log", all.read))?;
    let log = KafkaLog::new(&manager.brokers, &manager.topics.metrics);
    let rebuild = Rebuild { settings, manager, options, log };
    let new = match plan(&all) {
        Plan::Start => rebuild.start(&all, &live).await?,
        Plan::Resume(new) => {
            println!("resuming generation {}", new.number);
            new
        }
        Plan::LeftOver(old) if options.drop_old => {
            let (number, live) = (old.number, live.number);
            println!(
                "generation {live} is live already; dropping generation {number}, left over from the last rebuild"
            );
            return generations::drop_generation(manager, settings, number).await;
        }
        Plan::LeftOver(old) => {
            let number = old.number;
            return Err(format!(
                "generation {number} is left over from the last rebuild: drop it first with `ingest-worker generations \
                 drop {number}`"
            )
            .into());
        }
    };
    rebuild.catch_up(&live, &new).await?;
    rebuild.compare(&live, &new).await?;
    rebuild.switch(&new).await?;
    if options.drop_old {
        generations::drop_generation(manager, settings, live.number).await?;
    } else {
        let number = live.number;
        println!(
            "generation {number} is kept up to date; drop it with `ingest-worker generations drop {number}`"
        );
    }
    Ok(())
}

struct Rebuild<'a> {
    settings: &'a Settings,
    manager: &'a GenerationManager,
    options: &'a RebuildClickhouse,
    log: KafkaLog,
}

impl Rebuild<'_> {
    /// Creates the new generation and publishes it, so that the workers start to fill it.
    async fn start(&self, all: &Generations, live: &Generation) -> Result<Generation, Failure> {
        let bounds = self.log.bounds().await?;
        let lost: i64 =
            bounds.iter().map(|bounds| (bounds.start - stores::begin(live, bounds.partition)).max(0)).sum();
        if lost > 0 && !self.options.from_log_start {
            return Err(format!(
                "Kafka no longer holds the first {lost} records of generation {}, so a rebuild would lose their metrics. \
                 Restore the topic, or accept the loss with --from-log-start",
                live.number
            )
            .into());
        }
        let begins: HashMap<i32, i64> =
            bounds.into_iter().map(|bounds| (bounds.partition, bounds.start)).collect();
        let created = self.manager.create(all.last_number + 1, begins).await?;
        let new = lock::update_generations(self.manager, &self.settings.connections.redis, |now| {
            if now.last_number >= created.number {
                return Err(
                    "another rebuild was started meanwhile: run the command again to resume it".into()
                );
            }
            now.last_number = created.number;
            now.generations.push(created.clone());
            Ok(created)
        })
        .await?;
        println!("generation {} started: {}", new.number, new.database);
        Ok(new)
    }

    /// Waits until the new generation has reached the ends that the log has now, and the current heads of the live
    /// generation.
    async fn catch_up(&self, live: &Generation, new: &Generation) -> Result<(), Failure> {
        let client = &self.manager.client;
        let goal = log_ends(&self.log).await?;
        let (mut progress, mut printer) = (Progress::default(), ProgressPrinter::new());
        let started = Instant::now();
        loop {
            let live_heads = self.live_heads(live).await?.unwrap_or_default();
            let ends = log_ends(&self.log).await?;
            let heads = stores::heads(client, &new.database).await?;
            let next =
                |partition| heads.get(&partition).map_or(stores::begin(new, partition), |head| head + 1);
            let stored: i64 = ends.keys().map(|&id| next(id) - stores::begin(new, id)).sum();
            let total: i64 = ends.iter().map(|(&id, end)| end.max(&next(id)) - stores::begin(new, id)).sum();
            progress.observe(started.elapsed(), stored.unsigned_abs());
            let caught_up = goal.iter().all(|(&id, end)| next(id) >= *end)
                && live_heads.iter().all(|(&id, head)| next(id) > *head);
            let workers = stores::writer_count(self.manager, &new.database).await?;
            if caught_up {
                println!("generation {}: {}", new.number, progress.line(total.unsigned_abs()));
                return Ok(());
            }
            printer.print(|| {
                let line = format!("generation {}: {}", new.number, progress.line(total.unsigned_abs()));
                match workers {
                    0 => format!("{line}; no ingest-worker writes to it: start one, this command waits"),
                    _ if progress.stalled_for() > STALL_LIMIT => {
                        format!("{line}; see the logs of the {workers} workers for the cause")
                    }
                    _ => line,
                }
            });
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Reads the heads of the live generation; none if they cannot be read and differences are accepted.
    async fn live_heads(&self, live: &Generation) -> Result<Option<BTreeMap<i32, i64>>, Failure> {
        match stores::heads(&self.manager.client, &live.database).await {
            Ok(heads) => Ok(Some(heads)),
            Err(_) if self.options.accept_differences => Ok(None),
            Err(error) => Err(format!(
                "generation {} cannot be read, so the new one cannot be compared with it: repair it, or continue without \
                 the comparison with --accept-differences ({error})",
                live.number
            )
            .into()),
        }
    }

    /// Waits until both generations have applied all deletions, and returns the deletions. Deleted samples must be gone from
    /// both before they are compared, and from the new one before queries read it.
    async fn await_deletions(&self, live: &Generation, new: &Generation) -> Result<DeletionLedger, Failure> {
        let mut printer = ProgressPrinter::new();
        loop {
            let ledger = deletions::recorded(self.manager).await?;
            let mut pending = ledger.pending(new.number).count();
            if !self.options.accept_differences {
                pending = pending.max(ledger.pending(live.number).count());
            }
            if pending == 0 {
                return Ok(ledger);
            }
            printer.print(|| format!("waiting for the workers to apply {pending} deletions"));
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Compares the two generations. Starts again if something is deleted meanwhile.
    async fn compare(&self, live: &Generation, new: &Generation) -> Result<(), Failure> {
        loop {
            let ledger = self.await_deletions(live, new).await?;
            let Some(live_heads) = self.live_heads(live).await? else {
                println!("generation {} cannot be read: the comparison is skipped", live.number);
                return Ok(());
            };
            let (metrics, projects, differences) =
                self.differences([live, new], &live_heads, &ledger).await?;
            if !deletions::recorded(self.manager).await?.same_deletions(&ledger) {
                continue;
            }
            for difference in &differences {
                println!("{difference}");
            }
            return match (differences.len(), self.options.accept_differences) {
                (0, _) => {
                    println!("the generations are equal: {metrics} metrics of {projects} projects compared");
                    Ok(())
                }
                (differing, true) => {
                    println!("{differing} projects differ; accepted");
                    Ok(())
                }
                (differing, false) => Err(format!(
                    "{differing} projects differ, so nothing was switched. Find out which generation is right. Then switch \
                     with --accept-differences, or discard the new one with `ingest-worker generations drop {}`",
                    new.number
                )
                .into()),
            };
        }
    }

    /// Returns the number of metrics and of projects in the live generation, and the differences.
    async fn differences(
        &self,
        [live, new]: [&Generation; 2],
        live_heads: &BTreeMap<i32, i64>,
        ledger: &DeletionLedger,
    ) -> Result<(u64, usize, Vec<Difference>), Failure> {
        let client = &self.manager.client;
        let heads = stores::heads(client, &new.database).await?;
        let begins = [live, new].map(|generation| move |partition| stores::begin(generation, partition));
        let ranges = compare::common_ranges([&begins[0], &begins[1]], [live_heads, &heads]);
        let (mut live_totals, mut new_totals) = (Projects::new(), Projects::new());
        let mut printer = ProgressPrinter::new();
        for &range in &ranges {
            printer.print(|| format!("comparing partition {}", range.partition));
            compare::add(&mut live_totals, compare::totals(client, &live.database, range, None).await?);
            compare::add(&mut new_totals, compare::totals(client, &new.database, range, None).await?);
        }
        deletions::exclude_deleted_projects(ledger, [&mut live_totals, &mut new_totals]);
        let metrics = live_totals.values().map(|totals| totals.count).sum();
        Ok((metrics, live_totals.len(), compare::differences(&live_totals, &new_totals)))
    }

    /// Publishes that the new generation is live, and waits until the query services can see that in Redis.
    async fn switch(&self, new: &Generation) -> Result<(), Failure> {
        lock::update_generations(self.manager, &self.settings.connections.redis, |all| {
            if !all.generations.iter().any(|generation| generation.number == new.number) {
                return Err(format!("generation {} was dropped meanwhile", new.number).into());
            }
            all.read = new.number;
            Ok(())
        })
        .await?;
        let projection = Projection::new(&self.manager.namespace);
        let mut redis = connect(&self.settings.connections.redis)?;
        let wanted = [(EntityKind::Generations, GENERATIONS_ID)];
        let mut printer = ProgressPrinter::new();
        loop {
            match projection.read(&mut redis, wanted, None).await {
                Ok(([Some(Kind::Generations(all))], _)) if all.read == new.number => break,
                _ => printer.print(|| "switched; waiting until a worker has updated Redis".to_owned()),
            }
            tokio::time::sleep(SWITCH_PAUSE).await;
        }
        println!("queries read generation {} ({}) now", new.number, new.database);
        Ok(())
    }
}

/// Reads the end of every partition of the log.
async fn log_ends(log: &KafkaLog) -> Result<BTreeMap<i32, i64>, Failure> {
    Ok(log.bounds().await?.into_iter().map(|bounds| (bounds.partition, bounds.end)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(numbers: &[u32], read: u32) -> Generations {
        let generation = |&number: &u32| Generation { number, ..Generation::default() };
        Generations { generations: numbers.iter().map(generation).collect(), read, last_number: 9 }
    }

    #[test]
    fn interrupted_rebuild_is_resumed() {
        assert_eq!(plan(&all(&[3], 3)), Plan::Start);
        assert!(matches!(plan(&all(&[3, 4], 3)), Plan::Resume(new) if new.number == 4));
        assert!(matches!(plan(&all(&[3, 4], 4)), Plan::LeftOver(old) if old.number == 3));
    }
}
