//! Compares two stores over the same part of the log.
//!
//! What is stored follows from the log alone, so the two must hold the same rows. Counts and a sum of hashes over every
//! field that a client gave must be equal; sums of values may differ by the order in which they were added, by
//! [`TOLERANCE`] of what was added without its signs.

use clickhouse::error::Error;
use clickhouse::{Client, Row};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How far two sums of the same values may be apart, relative to the sum of their magnitudes.
pub const TOLERANCE: f64 = 1e-9;

/// A stretch of a Kafka partition; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub first: i64,
    /// The last offset.
    pub last: i64,
}

/// The parts of the log that two chains have in common, by where they begin (0 if it is not said) and their heads.
pub fn in_common(begins: [&dyn Fn(i32) -> i64; 2], heads: [&BTreeMap<i32, i64>; 2]) -> Vec<Stretch> {
    let partitions = heads[0].keys().filter(|partition| heads[1].contains_key(partition));
    let stretch = |&partition: &i32| Stretch {
        partition,
        first: begins[0](partition).max(begins[1](partition)),
        last: heads[0][&partition].min(heads[1][&partition]),
    };
    partitions.map(stretch).filter(|stretch| stretch.first <= stretch.last).collect()
}

/// What a store holds of a project.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Totals {
    /// Metrics.
    pub count: u64,
    /// Of their values.
    pub sum: f64,
    /// Of their values without signs.
    pub magnitude: f64,
    /// Of the hashes of all fields, wrapping.
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

/// By project.
pub type Projects = BTreeMap<String, Totals>;

/// A project of which two stores say different things.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The project.
    pub project_id: String,
    /// What the store that is read holds.
    pub live: Totals,
    /// What the other one holds.
    pub rebuilt: Totals,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project_id, live, rebuilt } = self;
        write!(f, "{project_id}: {} metrics with sum {} are read, ", live.count, live.sum)?;
        match (live.count == rebuilt.count, live.hash == rebuilt.hash) {
            (true, false) => write!(f, "and as many others, with sum {}, follow from the log", rebuilt.sum),
            _ => write!(f, "{} with sum {} follow from the log", rebuilt.count, rebuilt.sum),
        }
    }
}

/// Where two stores differ.
pub fn differences(live: &Projects, rebuilt: &Projects) -> Vec<Difference> {
    let projects: BTreeSet<&String> = live.keys().chain(rebuilt.keys()).collect();
    let of = |store: &Projects, project: &String| store.get(project).copied().unwrap_or_default();
    projects
        .into_iter()
        .map(|project| (project, of(live, project), of(rebuilt, project)))
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

/// What `database` holds of a stretch: of one project, or of all.
pub async fn totals(
    client: &Client,
    database: &str,
    stretch: Stretch,
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
        .param("partition", stretch.partition)
        .param("first", stretch.first)
        .param("last", stretch.last);
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

/// Adds what another stretch holds.
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
    fn sums_may_differ_by_the_order_of_adding_and_nothing_else_may() {
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
    fn a_project_that_one_of_them_lacks_is_a_difference() {
        assert_eq!(differences(&store(SOME), &Projects::new()).len(), 1);
        assert_eq!(differences(&Projects::new(), &store(SOME)).len(), 1);
        assert!(differences(&Projects::new(), &Projects::new()).is_empty());
    }

    #[test]
    fn two_chains_are_compared_from_the_later_beginning_to_the_nearer_head() {
        let heads = [BTreeMap::from([(0, 10), (1, 5), (2, 3)]), BTreeMap::from([(0, 8), (1, 9), (3, 1)])];
        let begins = |partition| if partition == 1 { 7 } else { 2 };
        let stretches = in_common([&|_| 0, &begins], [&heads[0], &heads[1]]);
        // Of partition 1 the one ends before the other begins; the others are in one store only.
        assert_eq!(stretches, [Stretch { partition: 0, first: 2, last: 8 }]);
    }
}
