//! `generations`: which stores there are, and the end of one.

use super::{Failure, lock, stores};
use crate::generation::{self, Generator};
use crate::log::Log;
use crate::settings::Settings;
use proto::v1::{Generation, Generations};
use std::collections::BTreeMap;
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(500);
/// So long after a switch a query may begin on the old generation: query services ask twice a second.
const LATE_QUERIES: Duration = Duration::from_secs(2);

/// Prints every generation with its heads.
pub async fn list(generator: &Generator) -> Result<(), Failure> {
    let (all, _) = generator.recorded().await?;
    let Some(all) = all else {
        println!("there is no generation yet: start an ingest-worker, which makes the first");
        return Ok(());
    };
    let bounds = Log::new(&generator.brokers, &generator.topics.metrics).bounds().await?;
    for generation in &all.generations {
        let workers = stores::feeders(generator, &generation.database).await?;
        let heads = stores::heads(&generator.client, &generation.database).await;
        println!("{}", describe(generation, &all, workers, &bounds, heads.as_ref().ok()));
        if let Err(error) = heads {
            println!("  it cannot be read: {error}");
        }
    }
    Ok(())
}

fn describe(
    generation: &Generation,
    all: &Generations,
    workers: usize,
    bounds: &[(i32, i64, i64)],
    heads: Option<&BTreeMap<i32, i64>>,
) -> String {
    let state = match generation.number {
        number if number == all.read => "read",
        number if number > all.read => "being filled",
        _ => "old",
    };
    let mut text = format!(
        "generation {}  {}  {state}  {workers} workers feed it",
        generation.number, generation.database
    );
    for &(partition, _, end) in heads.map_or(&[][..], |_| bounds) {
        let begin = stores::begin(generation, partition);
        let head = heads.and_then(|heads| heads.get(&partition)).copied().unwrap_or(begin - 1);
        let lag = (end - 1 - head).max(0);
        text.push_str(&format!("\n  partition {partition}: head {head}, lag {lag}"));
    }
    text
}

/// Ends a generation: it is fed no more, then its database goes.
pub async fn end(generator: &Generator, settings: &Settings, number: u32) -> Result<(), Failure> {
    let listed = lock::change(generator, &settings.common.redis_url, |all| {
        if all.read == number {
            return Err(format!("generation {number} is the one that is read; it cannot be dropped").into());
        }
        if number == 0 || number > all.last_number {
            return Err(format!("there never was a generation {number}; `generations list` shows all").into());
        }
        let found = all.generations.iter().position(|generation| generation.number == number);
        Ok(found.map(|index| all.generations.remove(index)))
    });
    // Not listed any more: an earlier try was broken off before the database went.
    let database = listed.await?.map_or_else(
        || generation::database(&generator.namespace, &format!("g{number}")),
        |found| found.database,
    );
    tokio::time::sleep(LATE_QUERIES).await;
    let mut said = false;
    while stores::feeders(generator, &database).await? > 0 || in_use(generator, &database).await? {
        if !std::mem::replace(&mut said, true) {
            println!("waiting until workers and queries have left {database}");
        }
        tokio::time::sleep(PAUSE).await;
    }
    generator.client.query_raw(&format!("DROP DATABASE IF EXISTS `{database}` SYNC")).execute().await?;
    println!("generation {number} is gone: {database} was dropped");
    Ok(())
}

async fn in_use(generator: &Generator, database: &str) -> Result<bool, Failure> {
    let queries: u64 = generator
        .client
        .query("SELECT count() FROM system.processes WHERE current_database = {database:String}")
        .param("database", database)
        .fetch_one()
        .await?;
    Ok(queries > 0)
}
