//! What the stores and the consumer groups say of a generation.

use super::Failure;
use crate::generation::Generator;
use crate::membership;
use crate::store::Store;
use clickhouse::Client;
use clickhouse::error::Error;
use proto::v1::Generation;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::collections::BTreeMap;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The head of every partition that has a chain in `database`.
pub async fn heads(client: &Client, database: &str) -> Result<BTreeMap<i32, i64>, Error> {
    Store::new(client, database, String::new()).heads().await
}

/// Where the chain of a partition begins.
pub fn begin(generation: &Generation, partition: i32) -> i64 {
    generation.begins.get(&partition).copied().unwrap_or(0)
}

/// How many workers feed the generation in `database`.
pub async fn feeders(generator: &Generator, database: &str) -> Result<usize, Failure> {
    let config = service::kafka::client(&generator.brokers, "tidemark-ingest-command");
    let group = membership::group(database);
    let ask = move || {
        let consumer: BaseConsumer = config.create()?;
        let groups = consumer.client().fetch_group_list(Some(&group), TIMEOUT)?;
        Ok::<_, rdkafka::error::KafkaError>(groups.groups().iter().map(|group| group.members().len()).sum())
    };
    Ok(tokio::task::spawn_blocking(ask).await??)
}
