//! `generations`: lists the generations of the metrics store, and drops one.

use super::{Failure, lock, stores};
use crate::generation::{self, GenerationManager};
use crate::kafka_log::{KafkaLog, PartitionBounds};
use crate::settings::Settings;
use proto::v1::{Generation, Generations};
use std::collections::BTreeMap;
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(500);
/// Time after a switch during which a query may still start on the old generation: query-api checks for a switch twice a
/// second.
const LATE_QUERIES: Duration = Duration::from_secs(2);

/// Prints every generation with its heads and lags.
pub async fn list(manager: &GenerationManager) -> Result<(), Failure> {
    let (all, _) = manager.recorded().await?;
    let Some(all) = all else {
        println!("no generation exists yet: start an ingest-worker, which creates the first one");
        return Ok(());
    };
    let bounds = KafkaLog::new(&manager.brokers, &manager.topics.metrics).bounds().await?;
    for generation in &all.generations {
        let workers = stores::writer_count(manager, &generation.database).await?;
        let heads = stores::heads(&manager.client, &generation.database).await;
        println!("{}", describe(generation, &all, workers, &bounds, heads.as_ref().ok()));
        if let Err(error) = heads {
            println!("  its heads cannot be read: {error}");
        }
    }
    Ok(())
}

fn describe(
    generation: &Generation,
    all: &Generations,
    workers: usize,
    bounds: &[PartitionBounds],
    heads: Option<&BTreeMap<i32, i64>>,
) -> String {
    let state = match generation.number {
        number if number == all.read => "live",
        number if number > all.read => "filling",
        _ => "old",
    };
    let Generation { number, database, .. } = generation;
    let mut text = format!("generation {number}  {database}  {state}  {workers} workers write to it");
    for &PartitionBounds { partition, end, .. } in heads.map_or(&[][..], |_| bounds) {
        let begin = stores::begin(generation, partition);
        let head = heads.and_then(|heads| heads.get(&partition)).copied().unwrap_or(begin - 1);
        let lag = (end - 1 - head).max(0);
        text.push_str(&format!("\n  partition {partition}: head {head}, lag {lag}"));
    }
    text
}

/// Drops a generation: removes it from the control log, waits until nobody uses its database, and drops the database.
pub async fn drop_generation(
    manager: &GenerationManager,
    settings: &Settings,
    number: u32,
) -> Result<(), Failure> {
    let removed = lock::update_generations(manager, &settings.connections.redis, |all| {
        if all.read == number {
            return Err(format!("generation {number} is live and cannot be dropped").into());
        }
        if number == 0 || number > all.last_number {
            return Err(format!(
                "generation {number} does not exist; `ingest-worker generations list` shows all"
            )
            .into());
        }
        let found = all.generations.iter().position(|generation| generation.number == number);
        Ok(found.map(|index| all.generations.remove(index)))
    });
    // If it is not listed, an earlier run was interrupted before it dropped the database.
    let database = removed.await?.map_or_else(
        || generation::database_name(&manager.namespace, &format!("g{number}")),
        |removed| removed.database,
    );
    tokio::time::sleep(LATE_QUERIES).await;
    let mut printed = false;
    while stores::writer_count(manager, &database).await? > 0 || has_queries(manager, &database).await? {
        if !std::mem::replace(&mut printed, true) {
            println!("waiting until no worker and no query uses {database}");
        }
        tokio::time::sleep(PAUSE).await;
    }
    manager.client.query_raw(&format!("DROP DATABASE IF EXISTS `{database}` SYNC")).execute().await?;
    println!("generation {number} dropped: database {database} is deleted");
    Ok(())
}

async fn has_queries(manager: &GenerationManager, database: &str) -> Result<bool, Failure> {
    let queries: u64 = manager
        .client
        .query("SELECT count() FROM system.processes WHERE current_database = {database:String}")
        .param("database", database)
        .fetch_one()
        .await?;
    Ok(queries > 0)
}
