//! Generations: which databases are filled, and that each is the one that it was.
//!
//! A generation is known by its number, its database and the UUID of its table of samples, all written to `control.v1`
//! when it was made. A table that is missing, or another one under the same name, is never silently made anew: its
//! chains would begin at the log's start and hide what was lost.

use accounts::control_log::{self, ControlWriter, Event, LogError};
use clickhouse::Client;
use clickhouse::error::Error as StoreError;
use proto::Message as _;
use proto::control::{EntityKind, GENERATIONS_ID};
use proto::topics::Topics;
use proto::v1::{Entity, Generation, Generations, entity::Kind};
use rdkafka::error::KafkaError;
use std::collections::HashMap;

use crate::log::Log;
use crate::migrations;
use crate::settings::Settings;

/// Too few tokens would be remembered to outlast a stalled writer.
const LEAST_WINDOW: u64 = 10_000;

/// Why there is no generation to write to.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// The control log could not be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// ClickHouse did not do what was asked.
    #[error("ClickHouse: {0}")]
    Store(#[from] StoreError),
    /// Kafka did not answer.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// Something is missing, or was made by other means.
    #[error("{0}")]
    Refused(String),
}

/// Finds the generations, makes and checks them.
#[derive(Clone)]
pub struct Generator {
    /// Kafka.
    pub brokers: String,
    /// The installation's topics.
    pub topics: Topics,
    /// The installation's namespace.
    pub namespace: String,
    /// Writes the control log.
    pub writer: ControlWriter,
    /// ClickHouse, no database chosen.
    pub client: Client,
}

impl Generator {
    /// The generations of this installation.
    pub fn new(settings: &Settings, topics: &Topics, writer: &ControlWriter) -> Self {
        Self {
            brokers: settings.common.kafka_brokers.clone(),
            topics: topics.clone(),
            namespace: settings.common.namespace.clone(),
            writer: writer.clone(),
            client: settings.clickhouse.clone(),
        }
    }

    /// The generations as the control log has them now; none in a new installation. And the offset after what was read.
    pub async fn recorded(&self) -> Result<(Option<Generations>, i64), GenerationError> {
        let (events, end) = control_log::snapshot(&self.brokers, &self.topics).await?;
        Ok((in_events(&events)?, end))
    }

    /// Makes the first generation if there is none.
    pub async fn make_first(&self) -> Result<(), GenerationError> {
        if self.recorded().await?.0.is_some() {
            return Ok(());
        }
        let bounds = Log::new(&self.brokers, &self.topics.metrics).bounds().await?;
        let begins = bounds.into_iter().map(|(id, start, _)| (id, start)).collect();
        let first = self.make(1, begins).await?;
        // Two workers that start together make the same table, so what they write is the same.
        self.record(Generations { generations: vec![first], read: 1, last_number: 1 }).await
    }

    /// Makes a database, whose chains begin at `begins`. One that was made and not recorded is taken if it is empty.
    pub async fn make(
        &self,
        number: u32,
        mut begins: HashMap<i32, i64>,
    ) -> Result<Generation, GenerationError> {
        let database = database(&self.namespace, &format!("g{number}"));
        migrations::apply(&self.client, &database).await?;
        let samples: u64 = self
            .client
            .clone()
            .with_database(&database)
            .query("SELECT count() FROM samples")
            .fetch_one()
            .await?;
        if samples > 0 {
            return Err(GenerationError::Refused(format!(
                "the database {database} already holds samples, but the control log knows nothing of it: either \
                 {} was made anew (restore it), or the database is left from another installation (drop it, or choose \
                 another --namespace)",
                self.topics.control
            )));
        }
        begins.retain(|_, begin| *begin > 0);
        Ok(Generation { number, table_uuid: self.table_uuid(&database).await?, database, begins })
    }

    /// Writes which generations there are.
    pub async fn record(&self, all: Generations) -> Result<(), GenerationError> {
        self.writer.publish(&Entity { kind: Some(Kind::Generations(all)) }).await?;
        Ok(())
    }

    /// Checks that the database is the one that was recorded, and that its table is fit for the protocol.
    pub async fn check(&self, generation: &Generation) -> Result<(), GenerationError> {
        let Generation { database, table_uuid, number, .. } = generation;
        let found = self.table_uuid(database).await?;
        if &found != table_uuid {
            return Err(GenerationError::Refused(format!(
                "the table {database}.samples of generation {number} is {}: it was {table_uuid} when the generation was \
                 made. Its data is lost or elsewhere; nothing is written until it is restored, or rebuilt from Kafka \
                 (ingest-worker rebuild clickhouse)",
                if found.is_empty() { "missing".to_owned() } else { format!("another one ({found})") }
            )));
        }
        migrations::apply(&self.client, database).await?;
        let (engine, partition_key): (String, String) = self
            .client
            .query(
                "SELECT engine_full, partition_key FROM system.tables
                 WHERE database = {database:String} AND name = 'samples'",
            )
            .param("database", database)
            .fetch_one()
            .await?;
        let window = setting(&engine, "non_replicated_deduplication_window").unwrap_or(0);
        if window < LEAST_WINDOW || partition_key != "partition" {
            return Err(GenerationError::Refused(format!(
                "{database}.samples must be partitioned by `partition` with non_replicated_deduplication_window of at \
                 least {LEAST_WINDOW}; it is partitioned by `{partition_key}` with {window}. Without them inserts are \
                 not stored exactly once"
            )));
        }
        Ok(())
    }

    /// Empty if there is no such table.
    async fn table_uuid(&self, database: &str) -> Result<String, StoreError> {
        let found: Option<String> = self
            .client
            .query(
                "SELECT toString(uuid) FROM system.tables WHERE database = {database:String} AND name = 'samples'",
            )
            .param("database", database)
            .fetch_optional()
            .await?;
        Ok(found.unwrap_or_default())
    }
}

/// The generations, as the newest states of all entities have them; none in a new installation.
pub fn in_events(events: &[Event]) -> Result<Option<Generations>, LogError> {
    events.iter().map(in_event).find_map(Result::transpose).transpose()
}

/// The generations, if the event is theirs.
pub fn in_event(event: &Event) -> Result<Option<Generations>, LogError> {
    let ours =
        event.key.as_ref().is_some_and(|key| key.kind == EntityKind::Generations && key.id == GENERATIONS_ID);
    let Some(value) = event.value.as_ref().filter(|_| ours) else { return Ok(None) };
    let entity =
        Entity::decode(value.as_slice()).map_err(|error| LogError::Undecodable(event.offset, error))?;
    Ok(match entity.kind {
        Some(Kind::Generations(all)) => Some(all),
        _ => None,
    })
}

/// The name of one of an installation's databases.
pub fn database(namespace: &str, what: &str) -> String {
    if namespace.is_empty() { format!("tidemark_{what}") } else { format!("tidemark_{namespace}_{what}") }
}

/// The number that `name = …` has among a table's settings.
fn setting(engine: &str, name: &str) -> Option<u64> {
    let (_, rest) = engine.split_once(name)?;
    rest.trim_start_matches([' ', '=']).split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_found_in_what_the_engine_prints() {
        let engine = "MergeTree PARTITION BY partition ORDER BY x SETTINGS index_granularity = 8192, \
                      non_replicated_deduplication_window = 100000";
        assert_eq!(setting(engine, "non_replicated_deduplication_window"), Some(100_000));
        assert_eq!(setting("MergeTree ORDER BY x", "non_replicated_deduplication_window"), None);
    }
}
