//! Erases deleted samples from a store. Markers and receipts are kept, because the protocol and the detection of repeats
//! need them.
//!
//! Runs one lightweight delete per table partition. It hides the rows and rebuilds the ClickHouse projections of each part
//! in the same step (`lightweight_mutation_projection_mode`), so rollups, catalogue and samples agree at any moment. A
//! statement continues in the engine even if the worker that sent it ends; sent again, it finds fewer rows.

use crate::store::Store;
use clickhouse::Client;
use clickhouse::error::Error;
use clickhouse::query::Query;
use control::deletions::cut_off_offset;
use proto::v1::Deletion;

/// Number of deletions per statement.
const BATCH: usize = 100;
/// Sufficient for a batch, because ids are short.
const MAX_QUERY_SIZE: &str = "1048576";

/// Erases samples from the store in one database.
#[derive(Clone)]
pub struct Eraser {
    client: Client,
    store: Store,
}

impl Eraser {
    pub fn new(client: &Client, database: &str) -> Self {
        Self {
            client: client.clone().with_database(database),
            store: Store::new(client, database, String::new()),
        }
    }

    /// Erases all samples that `deletions` cover, and returns their number. Returns an error if any is left.
    pub async fn erase(&self, deletions: &[Deletion]) -> Result<u64, Error> {
        let mut erased = 0;
        if deletions.is_empty() {
            return Ok(erased);
        }
        let partitions: Vec<i32> = self.store.heads().await?.into_keys().collect();
        for batch in deletions.chunks(BATCH) {
            for &partition in &partitions {
                if let Some(filter) = DeletionFilter::new(batch, partition) {
                    erased += self.erase_in(partition, &filter).await?;
                }
            }
        }
        Ok(erased)
    }

    async fn erase_in(&self, partition: i32, filter: &DeletionFilter<'_>) -> Result<u64, Error> {
        let covered = self.count(partition, filter).await?;
        if covered == 0 {
            return Ok(0);
        }
        let sql = format!(
            "DELETE FROM samples IN PARTITION {partition} WHERE kind = 'sample' AND ({})",
            filter.sql
        );
        // 2: the statement returns when every part is done, on every replica.
        filter.bind(self.client.query(&sql)).with_setting("lightweight_deletes_sync", "2").execute().await?;
        match self.count(partition, filter).await? {
            0 => Ok(covered),
            left => Err(Error::Custom(format!("{left} deleted samples are still in partition {partition}"))),
        }
    }

    async fn count(&self, partition: i32, filter: &DeletionFilter<'_>) -> Result<u64, Error> {
        let sql = format!(
            "SELECT count() FROM samples WHERE kind = 'sample' AND partition = {partition} AND ({})",
            filter.sql
        );
        filter.bind(self.client.query(&sql)).fetch_one().await
    }
}

/// SQL condition that matches the covered samples of a partition.
struct DeletionFilter<'a> {
    sql: String,
    /// Ids for the placeholders, in order.
    ids: Vec<&'a str>,
}

impl<'a> DeletionFilter<'a> {
    /// Returns none if the deletions cover nothing in the partition.
    fn new(deletions: &'a [Deletion], partition: i32) -> Option<Self> {
        let (mut conditions, mut ids) = (Vec::new(), Vec::new());
        for deletion in deletions {
            let cut = cut_off_offset(deletion, partition);
            if deletion.metric_id.is_empty() {
                conditions.push("project_id = ?".to_owned());
                ids.push(deletion.project_id.as_str());
            } else if cut > 0 {
                conditions.push(format!("(project_id = ? AND metric_id = ? AND offset < {cut})"));
                ids.extend([deletion.project_id.as_str(), deletion.metric_id.as_str()]);
            }
        }
        (!conditions.is_empty()).then(|| Self { sql: conditions.join(" OR "), ids })
    }

    fn bind(&self, query: Query) -> Query {
        let query = query.with_setting("max_query_size", MAX_QUERY_SIZE);
        self.ids.iter().fold(query, |query, id| query.bind(*id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_matches_below_the_cut_off_and_all_of_a_deleted_project() {
        let deletion = |metric: &str, cuts: &[(i32, i64)]| Deletion {
            project_id: "p".to_owned(),
            metric_id: metric.to_owned(),
            cuts: cuts.iter().copied().collect(),
            ..Deletion::default()
        };
        let deletions = [deletion("m", &[(0, 7)]), deletion("", &[])];
        let in_first = DeletionFilter::new(&deletions, 0).expect("partition 0 has covered samples");
        assert_eq!(in_first.sql, "(project_id = ? AND metric_id = ? AND offset < 7) OR project_id = ?");
        assert_eq!(in_first.ids, ["p", "m", "p"]);
        let in_second =
            DeletionFilter::new(&deletions, 1).expect("the project is deleted in every partition");
        assert_eq!(in_second.sql, "project_id = ?");
        assert!(DeletionFilter::new(&deletions[..1], 1).is_none());
    }
}
