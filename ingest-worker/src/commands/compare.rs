//! Compares two stores over the same ranges of the log.
//!
//! The rows of a store are a function of the log alone, so both must hold the same rows. Per project, the number of metrics
//! and a sum of hashes over every field that the client sent must be equal. Sums of values may differ, because they depend
//! on the order of addition: by [`TOLERANCE`] times the sum of the magnitudes.

use clickhouse::error::Error;
use clickhouse::{Client, Row};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Maximum difference of two sums of the same values, relative to the sum of their magnitudes.
pub const TOLERANCE: f64 = 1e-9;

/// A range of offsets of a Kafka partition; includes both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetRange {
    pub partition: i32,
    pub first: i64,
    pub last: i64,
}

/// Returns the ranges that two stores have in common, from the first offsets of their chains and their heads.
pub fn common_ranges(begins: [&dyn Fn(i32) -> i64; 2], heads: [&BTreeMap<i32, i64>; 2]) -> Vec<OffsetRange> {
    let partitions = heads[0].keys().filter(|partition| heads[1].contains_key(partition));
    let range = |&partition: &i32| OffsetRange {
        partition,
        first: begins[0](partition).max(begins[1](partition)),
        last: heads[0][&partition].min(heads[1][&partition]),
    };
    partitions.map(range).filter(|range| range.first <= range.last).collect()
}

/// Totals of the metrics of a project.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Totals {
    pub count: u64,
    pub sum: f64,
    /// Sum of the absolute values.
    pub magnitude: f64,
    /// Wrapping sum of the hashes of all fields.
    pub hash: u64,
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.magnitude += other.magnitude;
        self.hash = self.hash.wrapping_add(other.hash);
    }

    fn equals(&self, other: &Self) -> bool {
        let allowed = TOLERANCE * self.magnitude.max(other.magnitude);
        let sums = (self.sum - other.sum).abs() <= allowed || self.sum.to_bits() == other.sum.to_bits();
        self.count == other.count && self.hash == other.hash && sums
    }
}

/// Totals by project id.
pub type Projects = BTreeMap<String, Totals>;

/// A project whose totals differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    pub project_id: String,
    pub live: Totals,
    pub rebuilt: Totals,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project_id, live, rebuilt } = self;
        write!(f, "{project_id}: {} metrics with sum {} in the live generation, ", live.count, live.sum)?;
        match (live.count == rebuilt.count, live.hash == rebuilt.hash) {
            (true, false) => {
                write!(f, "as many different ones with sum {} according to the log", rebuilt.sum)
            }
            _ => write!(f, "{} with sum {} according to the log", rebuilt.count, rebuilt.sum),
        }
    }
}

/// Returns the projects whose totals differ.
pub fn differences(live: &Projects, rebuilt: &Projects) -> Vec<Difference> {
    let projects: BTreeSet<&String> = live.keys().chain(rebuilt.keys()).collect();
    let totals = |store: &Projects, project: &String| store.get(project).copied().unwrap_or_default();
    projects
        .into_iter()
        .map(|project| (project, totals(live, project), totals(rebuilt, project)))
        .filter(|(_, live, rebuilt)| !live.equals(rebuilt))
        .map(|(project, live, rebuilt)| Difference { project_id: project.clone(), live, rebuilt })
        .collect()
}

#[derive(Row, Deserialize)]
struct TotalsRow {
    project_id: String,
    count: u64,
    sum: f64,
    magnitude: f64,
    hash: u64,
}

/// Reads the totals of a range in `database`, of one project or of all.
pub async fn totals(
    client: &Client,
    database: &str,
    range: OffsetRange,
    project: Option<&str>,
) -> Result<Projects, Error> {
    let mut query = client
        .clone()
        .with_database(database)
        .query(&format!(
            "SELECT project_id, count() AS count, sum(value) AS sum, sum(abs(value)) AS magnitude,
                    sumWithOverflow(cityHash64(project_id, metric_id, toUnixTimestamp64Milli(time), value,
                        toUnixTimestamp64Milli(received_at), partition, offset, `index`, metric_name, unit)) AS hash
             FROM samples
             WHERE kind = 'sample' AND partition = {{partition:Int32}}
               AND offset BETWEEN {{first:Int64}} AND {{last:Int64}} {}
             GROUP BY project_id",
            if project.is_some() { "AND project_id = {project:String}" } else { "" }
        ))
        .param("partition", range.partition)
        .param("first", range.first)
        .param("last", range.last);
    if let Some(project) = project {
        query = query.param("project", project);
    }
    let rows = query.fetch_all::<TotalsRow>().await?;
    let totals = |row: TotalsRow| {
        let TotalsRow { project_id, count, sum, magnitude, hash } = row;
        (project_id, Totals { count, sum, magnitude, hash })
    };
    Ok(rows.into_iter().map(totals).collect())
}

/// Adds the totals of another range.
pub fn add(all: &mut Projects, more: Projects) {
    for (project, totals) in more {
        all.entry(project).or_default().add(totals);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(totals: Totals) -> Projects {
        [("prj".to_owned(), totals)].into()
    }

    const SOME: Totals = Totals { count: 3, sum: 1e9, magnitude: 3e9, hash: 7 };

    #[test]
    fn only_sums_may_differ_and_only_within_the_tolerance() {
        let same = [SOME, Totals { sum: 1e9 + 0.5, ..SOME }];
        for other in same {
            assert!(differences(&store(SOME), &store(other)).is_empty(), "{other:?}");
        }
        let others =
            [Totals { sum: 1e9 + 5.0, ..SOME }, Totals { count: 4, ..SOME }, Totals { hash: 8, ..SOME }];
        for other in others {
            assert_eq!(differences(&store(SOME), &store(other)).len(), 1, "{other:?}");
        }
    }

    #[test]
    fn project_missing_from_one_store_is_a_difference() {
        assert_eq!(differences(&store(SOME), &Projects::new()).len(), 1);
        assert_eq!(differences(&Projects::new(), &store(SOME)).len(), 1);
        assert!(differences(&Projects::new(), &Projects::new()).is_empty());
    }

    #[test]
    fn common_range_is_from_the_later_beginning_to_the_lower_head() {
        let heads = [BTreeMap::from([(0, 10), (1, 5), (2, 3)]), BTreeMap::from([(0, 8), (1, 9), (3, 1)])];
        let begins = |partition| if partition == 1 { 7 } else { 2 };
        let ranges = common_ranges([&|_| 0, &begins], [&heads[0], &heads[1]]);
        // In partition 1 one store ends before the other begins; partitions 2 and 3 are in one store only.
        assert_eq!(ranges, [OffsetRange { partition: 0, first: 2, last: 8 }]);
    }
}
