//! Feeds one generation: the group assigns partitions; for each, records are fetched from where the table ends, gathered
//! into blocks, and inserted by the exactly-once protocol. What is deleted is taken out beside it.

use crate::dead_letter::DeadLetters;
use crate::deletion::{self, Deleter};
use crate::fetch::Fetch;
use crate::follow::Followed;
use crate::generation::{GenerationError, Generator};
use crate::log::Log;
use crate::membership::{self, Change, Membership};
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::partition::{Driver, Part, Shared};
use crate::store::Store;
use proto::v1::Generation;
use rdkafka::error::KafkaError;
use service::health::{Condition, Health};
use service::traces::Traces;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const RETRY: Duration = Duration::from_secs(2);
const LAG: Duration = Duration::from_secs(2);

/// What all feeds of a worker share.
#[derive(Clone)]
pub struct Parts {
    /// Checks generations.
    pub generator: Generator,
    /// The control log's id.
    pub log_id: String,
    /// Compares the log with the chains.
    pub log: Log,
    /// How long blocks may be gathered.
    pub pace: Pace,
    /// Traces of records.
    pub traces: Traces,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Health.
    pub health: Health,
    /// Holds once the generation that is read is fed.
    pub ready: Condition,
    /// Which one is read, and what is deleted.
    pub followed: Followed,
}

/// Feeds `generation` until `stop`, then brings what has begun to its end. What is in the way is said, and tried again.
pub async fn feed(parts: Parts, generation: Generation, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let begun = tokio::select! {
            checked = parts.generator.check(&generation) => checked,
            () = stop.cancelled() => return,
        };
        match begun {
            Ok(()) => match serve(&parts, &generation, &stop).await {
                Ok(()) => {}
                Err(error) => tracing::warn!(number = generation.number, %error, "cannot begin yet"),
            },
            Err(error @ GenerationError::Refused(_)) => {
                tracing::error!(number = generation.number, %error, "REFUSED: nothing is written to this generation")
            }
            Err(error) => tracing::warn!(number = generation.number, %error, "cannot begin yet"),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = stop.cancelled() => {}
        }
    }
    parts.metrics.forget_generation(generation.number);
    tracing::info!(number = generation.number, "this generation is fed no more");
}

async fn serve(parts: &Parts, generation: &Generation, stop: &CancellationToken) -> Result<(), KafkaError> {
    let Generation { number, database, .. } = generation;
    let Generator { brokers, topics, client, .. } = &parts.generator;
    // Ends what is begun here, with the worker or before.
    let stop = stop.child_token();
    let (membership, mut changes) =
        Membership::join(brokers, &topics.metrics, &membership::group(database), stop.clone())?;
    // Fetching goes on until the drivers are done.
    let fetching = CancellationToken::new();
    let shared = Shared {
        store: Store::new(client, database, format!("{number}/{}", parts.log_id)),
        fetch: Fetch::start(brokers, &topics.metrics, parts.traces.clone(), fetching.clone())?,
        log: parts.log.clone(),
        membership: Some(membership),
        dead: Some(DeadLetters::new(brokers, &topics.dead, &topics.metrics)?),
        part: Part::default(),
        generation: *number,
        pace: parts.pace.beside(*number),
        traces: parts.traces.clone(),
        metrics: parts.metrics.clone(),
        health: parts.health.clone(),
    };
    tracing::info!(number, database, "writing to this generation");
    if parts.followed.generations.borrow().read == *number {
        parts.ready.set(true);
    }
    tokio::spawn(watch_lag(shared.clone(), stop.clone()));
    let mut owned: HashMap<i32, CancellationToken> = HashMap::new();
    let mut drivers = JoinSet::new();
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = stop.cancelled() => None,
            Some(ended) = drivers.join_next() => {
                if let Err(error) = ended {
                    // A bug: no part of the work may stop without a word. Whoever starts us starts anew.
                    tracing::error!(%error, "the driver of a partition died");
                    std::process::exit(70);
                }
                continue;
            }
        };
        match change {
            Some(Change::Assigned(partitions)) => {
                for partition in partitions {
                    let begin = generation.begins.get(&partition).copied().unwrap_or(0);
                    let token = stop.child_token();
                    drivers.spawn(Driver::new(shared.clone(), partition, begin).run(token.clone()));
                    if partition == deletion::OWNERS_PARTITION {
                        drivers.spawn(deleter(parts, generation).run(token.clone()));
                    }
                    if let Some(earlier) = owned.insert(partition, token) {
                        earlier.cancel();
                    }
                }
            }
            Some(Change::Revoked(partitions)) => {
                for partition in partitions {
                    if let Some(token) = owned.remove(&partition) {
                        token.cancel();
                    }
                }
            }
            Some(Change::Lost) | None => break,
        }
        shared.pace.set_own(owned.len());
        parts.metrics.owned(*number, owned.len());
    }
    stop.cancel();
    while drivers.join_next().await.is_some() {}
    fetching.cancel();
    Ok(())
}

fn deleter(parts: &Parts, generation: &Generation) -> Deleter {
    let deletions = parts.followed.deletions.clone();
    Deleter::new(parts.generator.clone(), generation.clone(), deletions, parts.metrics.clone())
}

async fn watch_lag(shared: Shared, stop: CancellationToken) {
    let mut tick = tokio::time::interval(LAG);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        match shared.log.bounds().await {
            Ok(bounds) => {
                shared.pace.set_all(bounds.len());
                let ends = bounds.into_iter().map(|(partition, _, end)| (partition, end));
                shared.metrics.log_ends(shared.generation, ends);
            }
            Err(error) => tracing::debug!(%error, "the lag could not be read"),
        }
    }
}
