//! Takes deleted samples out of a store. Markers and receipts stay: they are the ledger of what is stored.
//!
//! A lightweight delete of one table partition after the other. It hides the rows, and rebuilds the projections of each
//! part in the same step (`lightweight_mutation_projection_mode`), so that rollups, catalogue and samples agree at any
//! moment. A statement that was begun goes on in the engine even if whoever sent it ends; sent again it finds less to do.

use crate::store::Store;
use accounts::deletions::cut;
use clickhouse::Client;
use clickhouse::error::Error;
use clickhouse::query::Query;
use proto::v1::Deletion;

/// So many deletions are carried out by one statement.
const BATCH: usize = 100;
/// Room for a batch: ids are short.
const MAX_QUERY_SIZE: &str = "1048576";

/// Takes samples out of the store in one database.
#[derive(Clone)]
pub struct Eraser {
    client: Client,
    store: Store,
}

impl Eraser {
    /// The eraser of `database`.
    pub fn new(client: &Client, database: &str) -> Self {
        Self {
            client: client.clone().with_database(database),
            store: Store::new(client, database, String::new()),
        }
    }

    /// Takes out all that `deletions` cover; tells how many samples that were. When it is done, none is left.
    pub async fn erase(&self, deletions: &[Deletion]) -> Result<u64, Error> {
        let mut erased = 0;
        if deletions.is_empty() {
            return Ok(erased);
        }
        let partitions: Vec<i32> = self.store.heads().await?.into_keys().collect();
        for batch in deletions.chunks(BATCH) {
            for &partition in &partitions {
                if let Some(covered) = Covered::of(batch, partition) {
                    erased += self.erase_in(partition, &covered).await?;
                }
            }
        }
        Ok(erased)
    }

    async fn erase_in(&self, partition: i32, covered: &Covered<'_>) -> Result<u64, Error> {
        let left = self.count(partition, covered).await?;
        if left == 0 {
            return Ok(0);
        }
        let sql = format!(
            "DELETE FROM samples IN PARTITION {partition} WHERE kind = 'sample' AND ({})",
            covered.text
        );
        // It returns when every part is done, on every replica.
        covered.bind(self.client.query(&sql)).with_setting("lightweight_deletes_sync", "2").execute().await?;
        match self.count(partition, covered).await? {
            0 => Ok(left),
            left => Err(Error::Custom(format!("{left} deleted samples are still in partition {partition}"))),
        }
    }

    async fn count(&self, partition: i32, covered: &Covered<'_>) -> Result<u64, Error> {
        let sql = format!(
            "SELECT count() FROM samples WHERE kind = 'sample' AND partition = {partition} AND ({})",
            covered.text
        );
        covered.bind(self.client.query(&sql)).fetch_one().await
    }
}

/// A condition that the covered samples of a partition fulfil, with the names that stand for its question marks.
struct Covered<'a> {
    text: String,
    names: Vec<&'a str>,
}

impl<'a> Covered<'a> {
    /// None if nothing of the partition is covered.
    fn of(deletions: &'a [Deletion], partition: i32) -> Option<Self> {
        let (mut conditions, mut names) = (Vec::new(), Vec::new());
        for deletion in deletions {
            let cut = cut(deletion, partition);
            if deletion.metric_id.is_empty() {
                conditions.push("project_id = ?".to_owned());
                names.push(deletion.project_id.as_str());
            } else if cut > 0 {
                conditions.push(format!("(project_id = ? AND metric_id = ? AND offset < {cut})"));
                names.extend([deletion.project_id.as_str(), deletion.metric_id.as_str()]);
            }
        }
        (!conditions.is_empty()).then(|| Self { text: conditions.join(" OR "), names })
    }

    fn bind(&self, query: Query) -> Query {
        let query = query.with_setting("max_query_size", MAX_QUERY_SIZE);
        self.names.iter().fold(query, |query, name| query.bind(*name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_covers_below_the_cut_of_its_partition_and_all_of_a_removed_project() {
        let deletion = |metric: &str, cuts: &[(i32, i64)]| Deletion {
            project_id: "p".to_owned(),
            metric_id: metric.to_owned(),
            cuts: cuts.iter().copied().collect(),
            ..Deletion::default()
        };
        let deletions = [deletion("m", &[(0, 7)]), deletion("", &[])];
        let in_first = Covered::of(&deletions, 0).expect("something");
        assert_eq!(in_first.text, "(project_id = ? AND metric_id = ? AND offset < 7) OR project_id = ?");
        assert_eq!(in_first.names, ["p", "m", "p"]);
        assert_eq!(Covered::of(&deletions, 1).expect("the project").text, "project_id = ?");
        assert!(Covered::of(&deletions[..1], 1).is_none());
    }
}
