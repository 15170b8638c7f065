//! `rebuild clickhouse`: a new generation beside the one that is read, filled by the running workers from the beginning
//! of the log, compared, switched to.
//!
//! Every step leaves behind what the next run needs: the generation that was begun stands in the control log. So the
//! command may end anywhere and be run again. It feeds nothing itself: that is the workers' task, for they go on with it
//! after the switch.

use super::compare::{self, Difference, Projects};
use super::progress::Progress;
use super::{Failure, Lines, deletions, generations, lock, stores};
use crate::deletion::ledger::Ledger;
use crate::generation::Generator;
use crate::log::Log;
use crate::settings::{RebuildClickhouse, Settings};
use accounts::projection::Projection;
use accounts::servers::connect;
use proto::control::{EntityKind, GENERATIONS_ID};
use proto::v1::{Generation, Generations, entity::Kind};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(1);
/// Standing still for so long is said, with where to look.
const STANDING: Duration = Duration::from_secs(10);

/// What is to be done, by what the control log says.
#[derive(Debug, Clone, PartialEq)]
enum Plan {
    /// A new generation is begun.
    Begin,
    /// One was begun, and is not read yet.
    GoOn(Generation),
    /// An earlier rebuild left its old generation.
    Left(Generation),
}

fn plan(all: &Generations) -> Plan {
    let begun =
        all.generations.iter().filter(|generation| generation.number > all.read).max_by_key(|g| g.number);
    let left = all.generations.iter().find(|generation| generation.number < all.read);
    match (begun, left) {
        (Some(begun), _) => Plan::GoOn(begun.clone()),
        (None, Some(left)) => Plan::Left(left.clone()),
        (None, None) => Plan::Begin,
    }
}

/// Rebuilds, from wherever an earlier run stopped.
pub async fn run(
    settings: &Settings,
    generator: &Generator,
    options: &RebuildClickhouse,
) -> Result<(), Failure> {
    let (all, _) = generator.recorded().await?;
    let all =
        all.ok_or("there is nothing to rebuild: start an ingest-worker, which makes the first generation")?;
    let live = all.generations.iter().find(|generation| generation.number == all.read).cloned();
    let live = live.ok_or_else(|| format!("generation {} is to be read and does not exist", all.read))?;
    let rebuild = Rebuild {
        settings,
        generator,
        options,
        log: Log::new(&generator.brokers, &generator.topics.metrics),
    };
    let new = match plan(&all) {
        Plan::Begin => rebuild.begin(&all, &live).await?,
        Plan::GoOn(new) => {
            println!("going on with generation {}, which was begun", new.number);
            new
        }
        Plan::Left(old) if options.drop_old => {
            println!(
                "generation {} is read already; what is left of the last rebuild is dropped",
                live.number
            );
            return generations::end(generator, settings, old.number).await;
        }
        Plan::Left(old) => {
            let number = old.number;
            return Err(format!(
                "generation {number} is left from the last rebuild: drop it first (generations drop {number})"
            )
            .into());
        }
    };
    rebuild.catch_up(&live, &new).await?;
    rebuild.compare(&live, &new).await?;
    rebuild.switch(&new).await?;
    if options.drop_old {
        generations::end(generator, settings, live.number).await?;
    } else {
        let number = live.number;
        println!(
            "generation {number} is still fed and kept; `ingest-worker generations drop {number}` drops it"
        );
    }
    Ok(())
}

struct Rebuild<'a> {
    settings: &'a Settings,
    generator: &'a Generator,
    options: &'a RebuildClickhouse,
    log: Log,
}

impl Rebuild<'_> {
    /// Makes the new generation and tells the workers.
    async fn begin(&self, all: &Generations, live: &Generation) -> Result<Generation, Failure> {
        let bounds = self.log.bounds().await?;
        let lost: i64 = bounds.iter().map(|(id, start, _)| (start - stores::begin(live, *id)).max(0)).sum();
        if lost > 0 && !self.options.from_log_start {
            return Err(format!(
                "Kafka no longer has the first {lost} records that generation {} was made from, so a rebuild would be \
                 without them. Restore the topic, or accept it with --from-log-start",
                live.number
            )
            .into());
        }
        let begins: HashMap<i32, i64> = bounds.into_iter().map(|(id, start, _)| (id, start)).collect();
        let made = self.generator.make(all.last_number + 1, begins).await?;
        let new = lock::change(self.generator, &self.settings.common.redis_url, |now| {
            if now.last_number >= made.number {
                return Err(
                    "another rebuild was begun meanwhile: run the command again to go on with it".into()
                );
            }
            now.last_number = made.number;
            now.generations.push(made.clone());
            Ok(made)
        })
        .await?;
        println!("generation {} is begun: {}", new.number, new.database);
        Ok(new)
    }

    /// Waits until the new generation has all that the log held at first, and all that the other one has.
    async fn catch_up(&self, live: &Generation, new: &Generation) -> Result<(), Failure> {
        let client = &self.generator.client;
        let goal = ends(&self.log).await?;
        let (mut progress, mut lines, begun) = (Progress::default(), Lines::new(), Instant::now());
        loop {
            let live_heads = self.live_heads(live).await?.unwrap_or_default();
            let ends = ends(&self.log).await?;
            let heads = stores::heads(client, &new.database).await?;
            let next =
                |partition| heads.get(&partition).map_or(stores::begin(new, partition), |head| head + 1);
            let stored: i64 = ends.keys().map(|&id| next(id) - stores::begin(new, id)).sum();
            let all: i64 = ends.iter().map(|(&id, end)| end.max(&next(id)) - stores::begin(new, id)).sum();
            progress.at(begun.elapsed(), stored.unsigned_abs());
            let caught_up = goal.iter().all(|(&id, end)| next(id) >= *end)
                && live_heads.iter().all(|(&id, head)| next(id) > *head);
            let workers = stores::feeders(self.generator, &new.database).await?;
            if caught_up {
                println!("generation {}: {}", new.number, progress.line(all.unsigned_abs()));
                return Ok(());
            }
            lines.print(|| {
                let line = format!("generation {}: {}", new.number, progress.line(all.unsigned_abs()));
                match workers {
                    0 => format!("{line}; no ingest-worker feeds it: start one, this command waits"),
                    _ if progress.standing() > STANDING => {
                        format!("{line}; the logs of the {workers} workers say what is in the way")
                    }
                    _ => line,
                }
            });
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Heads of the generation that is read; none if it cannot be read and that was accepted.
    async fn live_heads(&self, live: &Generation) -> Result<Option<BTreeMap<i32, i64>>, Failure> {
        match stores::heads(&self.generator.client, &live.database).await {
            Ok(heads) => Ok(Some(heads)),
            Err(_) if self.options.accept_differences => Ok(None),
            Err(error) => Err(format!(
                "generation {} cannot be read, so nothing can be compared with it: mend it, or go on without with \
                 --accept-differences ({error})",
                live.number
            )
            .into()),
        }
    }

    /// What was deleted must be gone from both before they are compared, and before the new one may be read. Gives what
    /// the two agree on.
    async fn await_deletions(&self, live: &Generation, new: &Generation) -> Result<Ledger, Failure> {
        let mut lines = Lines::new();
        loop {
            let ledger = deletions::recorded(self.generator).await?;
            let mut open = ledger.open(new.number).count();
            if !self.options.accept_differences {
                open = open.max(ledger.open(live.number).count());
            }
            if open == 0 {
                return Ok(ledger);
            }
            lines.print(|| format!("waiting for the workers to apply {open} deletions"));
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Compares the two, again if something was deleted meanwhile.
    async fn compare(&self, live: &Generation, new: &Generation) -> Result<(), Failure> {
        loop {
            let ledger = self.await_deletions(live, new).await?;
            let Some(live_heads) = self.live_heads(live).await? else {
                println!("generation {} cannot be read: nothing is compared", live.number);
                return Ok(());
            };
            let (metrics, projects, differences) =
                self.differences([live, new], &live_heads, &ledger).await?;
            if !deletions::recorded(self.generator).await?.same_deletions(&ledger) {
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
                (some, true) => {
                    println!("{some} projects differ, which was accepted");
                    Ok(())
                }
                (some, false) => Err(format!(
                    "{some} projects differ, so nothing was switched. Find out which one is right; then switch with \
                     --accept-differences, or give the new one up (generations drop {})",
                    new.number
                )
                .into()),
            };
        }
    }

    /// How many metrics of how many projects the two have, and where they differ.
    async fn differences(
        &self,
        [live, new]: [&Generation; 2],
        live_heads: &BTreeMap<i32, i64>,
        ledger: &Ledger,
    ) -> Result<(u64, usize, Vec<Difference>), Failure> {
        let client = &self.generator.client;
        let heads = stores::heads(client, &new.database).await?;
        let begins = [live, new].map(|generation| move |partition| stores::begin(generation, partition));
        let stretches = compare::in_common([&begins[0], &begins[1]], [live_heads, &heads]);
        let (mut one, mut other) = (Projects::new(), Projects::new());
        let mut lines = Lines::new();
        for &stretch in &stretches {
            lines.print(|| format!("comparing partition {}", stretch.partition));
            compare::add(&mut one, compare::totals(client, &live.database, stretch, None).await?);
            compare::add(&mut other, compare::totals(client, &new.database, stretch, None).await?);
        }
        deletions::leave_out_removed(ledger, [&mut one, &mut other]);
        let metrics = one.values().map(|totals| totals.count).sum();
        Ok((metrics, one.len(), compare::differences(&one, &other)))
    }

    /// One event; then waits until queries know.
    async fn switch(&self, new: &Generation) -> Result<(), Failure> {
        lock::change(self.generator, &self.settings.common.redis_url, |all| {
            if !all.generations.iter().any(|generation| generation.number == new.number) {
                return Err(format!("generation {} was dropped meanwhile", new.number).into());
            }
            all.read = new.number;
            Ok(())
        })
        .await?;
        let projection = Projection::new(&self.generator.namespace);
        let mut redis = connect(&self.settings.common.redis_url)?;
        let wanted = [(EntityKind::Generations, GENERATIONS_ID)];
        let mut lines = Lines::new();
        loop {
            match projection.read(&mut redis, wanted, None).await {
                Ok(([Some(Kind::Generations(all))], _)) if all.read == new.number => break,
                _ => lines.print(|| "switched; waiting until a worker has told Redis".to_owned()),
            }
            tokio::time::sleep(PAUSE / 10).await;
        }
        println!("queries read generation {} ({}) now", new.number, new.database);
        Ok(())
    }
}

/// By partition, the offset after the log's last record.
async fn ends(log: &Log) -> Result<BTreeMap<i32, i64>, Failure> {
    Ok(log.bounds().await?.into_iter().map(|(partition, _, end)| (partition, end)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(numbers: &[u32], read: u32) -> Generations {
        let generation = |&number: &u32| Generation { number, ..Generation::default() };
        Generations { generations: numbers.iter().map(generation).collect(), read, last_number: 9 }
    }

    #[test]
    fn a_broken_off_rebuild_goes_on_where_it_was() {
        assert_eq!(plan(&all(&[3], 3)), Plan::Begin);
        assert!(matches!(plan(&all(&[3, 4], 3)), Plan::GoOn(new) if new.number == 4));
        assert!(matches!(plan(&all(&[3, 4], 4)), Plan::Left(old) if old.number == 3));
    }
}
