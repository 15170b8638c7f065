//! Generations of the store: finds them, creates them, and checks that each is the one that was created.
//!
//! A generation is one ClickHouse database that is filled from the whole log. It is identified by its number, its database
//! and the UUID of its table `samples`, which are written to `control.v1` when it is created. The *live* generation is the
//! one that queries read. A table that is missing, or that was replaced by another one of the same name, is never silently
//! recreated: its chains would begin at the start of the log and hide the loss.

use clickhouse::Client;
use clickhouse::error::Error as StoreError;
use control::control_log::{self, ControlWriter, Event, LogError};
use proto::Message as _;
use proto::control::{EntityKind, GENERATIONS_ID};
use proto::topics::Topics;
use proto::v1::{Entity, Generation, Generations, entity::Kind};
use rdkafka::error::KafkaError;
use service::kafka::KafkaBrokers;
use std::collections::HashMap;

use crate::kafka_log::KafkaLog;
use crate::migrations;
use crate::settings::Settings;

/// Minimum deduplication window, in blocks. With a smaller one, the engine could forget a token before a stalled writer
/// sends the insert that the token must exclude.
const MIN_DEDUPLICATION_WINDOW: u64 = 10_000;

/// Reason why a generation cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("ClickHouse: {0}")]
    Store(#[from] StoreError),
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The database or its table is missing, or is not the one that was recorded. An operator has to act.
    #[error("{0}")]
    Refused(String),
}

/// Finds, creates and checks generations.
#[derive(Clone)]
pub struct GenerationManager {
    pub brokers: KafkaBrokers,
    pub topics: Topics,
    pub namespace: String,
    /// Writes the control log.
    pub writer: ControlWriter,
    /// ClickHouse client without a database.
    pub client: Client,
}

impl GenerationManager {
    pub fn new(settings: &Settings, topics: &Topics, writer: &ControlWriter) -> Self {
        Self {
            brokers: settings.connections.kafka.clone(),
            topics: topics.clone(),
            namespace: settings.common.namespace.clone(),
            writer: writer.clone(),
            client: settings.clickhouse.clone(),
        }
    }

    /// Reads the generations from the control log; none in a new installation. Also returns the offset after the last
    /// record that was read.
    pub async fn recorded(&self) -> Result<(Option<Generations>, i64), GenerationError> {
        let (events, end) = control_log::snapshot(&self.brokers, &self.topics).await?;
        Ok((find_in_events(&events)?, end))
    }

    /// Creates the first generation if there is none.
    pub async fn create_first(&self) -> Result<(), GenerationError> {
        if self.recorded().await?.0.is_some() {
            return Ok(());
        }
        let bounds = KafkaLog::new(&self.brokers, &self.topics.metrics).bounds().await?;
        let begins = bounds.into_iter().map(|bounds| (bounds.partition, bounds.start)).collect();
        let first = self.create(1, begins).await?;
        // Two workers that start at the same time create the same table, so they write the same event.
        self.publish(Generations { generations: vec![first], read: 1, last_number: 1 }).await
    }

    /// Creates a database whose chains begin at `begins`. A database that was created and not recorded is used if it is
    /// empty.
    pub async fn create(
        &self,
        number: u32,
        mut begins: HashMap<i32, i64>,
    ) -> Result<Generation, GenerationError> {
        let database = database_name(&self.namespace, &format!("g{number}"));
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
                "database {database} already holds samples, but the control log does not list it. Either topic {} was \
                 recreated: restore it. Or the database belongs to another installation: drop it, or choose another \
                 --namespace",
                self.topics.control
            )));
        }
        begins.retain(|_, begin| *begin > 0);
        Ok(Generation { number, table_uuid: self.table_uuid(&database).await?, database, begins })
    }

    /// Writes the list of generations to the control log.
    pub async fn publish(&self, all: Generations) -> Result<(), GenerationError> {
        self.writer.publish(&Entity { kind: Some(Kind::Generations(all)) }).await?;
        Ok(())
    }

    /// Checks that the database is the one that was recorded, applies migrations, and checks that the table has the
    /// properties that the protocol relies on.
    pub async fn check(&self, generation: &Generation) -> Result<(), GenerationError> {
        let Generation { database, table_uuid, number, .. } = generation;
        let found = self.table_uuid(database).await?;
        if &found != table_uuid {
            return Err(GenerationError::Refused(format!(
                "table {database}.samples of generation {number} is {}; it had UUID {table_uuid} when the generation was \
                 created. Nothing is written until it is restored, or rebuilt from Kafka with `ingest-worker rebuild \
                 clickhouse`",
                if found.is_empty() {
                    "missing".to_owned()
                } else {
                    format!("a different table (UUID {found})")
                }
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
        let window = engine_setting(&engine, "non_replicated_deduplication_window").unwrap_or(0);
        if window < MIN_DEDUPLICATION_WINDOW || partition_key != "partition" {
            return Err(GenerationError::Refused(format!(
                "table {database}.samples is partitioned by `{partition_key}` with non_replicated_deduplication_window = \
                 {window}. Exactly-once storage needs `partition` and at least {MIN_DEDUPLICATION_WINDOW}: restore the \
                 table definition"
            )));
        }
        Ok(())
    }

    /// Returns an empty string if there is no such table.
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

/// Finds the list of generations among the newest states of all entities; none in a new installation.
pub fn find_in_events(events: &[Event]) -> Result<Option<Generations>, LogError> {
    events.iter().map(from_event).find_map(Result::transpose).transpose()
}

/// Returns the list of generations if the event holds it.
pub fn from_event(event: &Event) -> Result<Option<Generations>, LogError> {
    let matches =
        event.key.as_ref().is_some_and(|key| key.kind == EntityKind::Generations && key.id == GENERATIONS_ID);
    let Some(value) = event.value.as_ref().filter(|_| matches) else { return Ok(None) };
    let entity =
        Entity::decode(value.as_slice()).map_err(|error| LogError::Undecodable(event.offset, error))?;
    Ok(match entity.kind {
        Some(Kind::Generations(all)) => Some(all),
        _ => None,
    })
}

/// Returns the name of a database of an installation.
pub fn database_name(namespace: &str, suffix: &str) -> String {
    if namespace.is_empty() { format!("tidemark_{suffix}") } else { format!("tidemark_{namespace}_{suffix}") }
}

/// Parses the numeric setting `name = …` from the `engine_full` of a table.
fn engine_setting(engine: &str, name: &str) -> Option<u64> {
    let (_, rest) = engine.split_once(name)?;
    rest.trim_start_matches([' ', '=']).split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_setting_is_parsed_from_engine_full() {
        let engine = "MergeTree PARTITION BY partition ORDER BY x SETTINGS index_granularity = 8192, \
                      non_replicated_deduplication_window = 100000";
        assert_eq!(engine_setting(engine, "non_replicated_deduplication_window"), Some(100_000));
        assert_eq!(engine_setting("MergeTree ORDER BY x", "non_replicated_deduplication_window"), None);
    }
}
