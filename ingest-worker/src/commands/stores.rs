//! State of a generation, read from ClickHouse and from its consumer group.

use super::Failure;
use crate::generation::GenerationManager;
use crate::membership;
use crate::store::Store;
use clickhouse::Client;
use clickhouse::error::Error;
use proto::v1::Generation;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::collections::BTreeMap;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the head of every partition that has a chain in `database`.
pub async fn heads(client: &Client, database: &str) -> Result<BTreeMap<i32, i64>, Error> {
    Store::new(client, database, String::new()).heads().await
}

/// Returns the first offset of the chain of a partition.
pub fn begin(generation: &Generation, partition: i32) -> i64 {
    generation.begins.get(&partition).copied().unwrap_or(0)
}

/// Returns the number of workers that write to the generation in `database`.
pub async fn writer_count(manager: &GenerationManager, database: &str) -> Result<usize, Failure> {
    let config = service::kafka::client(&manager.brokers, "tidemark-ingest-command");
    let group = membership::group_id(database);
    let request = move || {
        let consumer: BaseConsumer = config.create()?;
        let groups = consumer.client().fetch_group_list(Some(&group), TIMEOUT)?;
        Ok::<_, rdkafka::error::KafkaError>(groups.groups().iter().map(|group| group.members().len()).sum())
    };
    Ok(tokio::task::spawn_blocking(request).await??)
}
