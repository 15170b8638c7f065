//! Groups time series so that few statements read them: series with the same buckets, or the same edges,
//! share one.
//!
//! Sums, last points and quantiles are read by separate statements, so that a median on a dashboard does not
//! make its averages as expensive as itself. A statement of one kind returns the data for every aggregation
//! of that kind.

use super::buckets::Range;
use super::cells::CellPlan;
use super::query::{Kind, Plan};
use super::series_query::SeriesQuery;
use crate::source::Statement;

/// Series that one statement reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    plan: Plan,
    /// Kind of aggregates in the rows.
    pub kind: Kind,
    starts: Vec<i64>,
    /// Ids of the metrics without repetition, in the order of the requests.
    pub metrics: Vec<String>,
    /// Indexes of the requests that the group answers, each with the index of its metric in `metrics`.
    pub members: Vec<(usize, usize)>,
}

impl Group {
    /// Returns the statement, with the parameters `project` and `metrics` and those of `mask`.
    pub fn statement(&self, mask: &str) -> Statement {
        self.plan.statement(&self.starts, self.kind, mask)
    }
}

/// Request for a time series.
#[derive(Debug, Clone, Copy)]
pub struct SeriesRequest<'a> {
    /// Index among all requests.
    pub index: usize,
    /// Id of the metric.
    pub metric: &'a str,
    /// True if deleted points of the metric are still stored. The rollup cannot exclude them.
    pub hidden: bool,
    /// Query for the series.
    pub query: &'a SeriesQuery,
    /// Cells of the series; only the edges are read by a group then. `None` if the series is not made of cells.
    pub cells: Option<&'a CellPlan>,
}

/// Groups requests. Series without possible points, or made of cells without edges, are in no group.
pub fn groups<'a>(requests: impl IntoIterator<Item = SeriesRequest<'a>>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for SeriesRequest { index, metric, hidden, query, cells } in requests {
        let kind = Kind::of(query.aggregation);
        let (plan, starts) = match cells {
            Some(cells) => (Plan::edges(&cells.edges), starts_of(&cells.edges, &query.starts)),
            None => {
                let plan = Plan::new(query.range, &query.starts, query.interval, kind, hidden);
                (plan, query.starts.clone())
            }
        };
        let Some(plan) = plan else { continue };
        let same = |group: &Group| group.plan == plan && group.kind == kind && group.starts == starts;
        let group = groups.iter().position(same).unwrap_or(groups.len());
        if group == groups.len() {
            groups.push(Group { plan, kind, starts, metrics: Vec::new(), members: Vec::new() });
        }
        let group = &mut groups[group];
        let metric_index = group.metrics.iter().position(|id| id == metric).unwrap_or(group.metrics.len());
        if metric_index == group.metrics.len() {
            group.metrics.push(metric.to_owned());
        }
        group.members.push((index, metric_index));
    }
    groups
}

/// Returns the starts of the buckets that contain edges, without repetition.
fn starts_of(edges: &[Range], starts: &[i64]) -> Vec<i64> {
    let bucket = |edge: &Range| starts.partition_point(|start| *start <= edge.start).checked_sub(1);
    let mut of_edges: Vec<i64> =
        edges.iter().filter_map(bucket).filter_map(|bucket| starts.get(bucket).copied()).collect();
    of_edges.dedup();
    of_edges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::series_query::parse_query;

    const RANGE: &str = "endDate=2026-03-02&startDate=2026-03-01";

    fn group_queries(queries: &[(&str, &str)]) -> Vec<(Vec<String>, Vec<usize>)> {
        let queries: Vec<(&str, SeriesQuery)> =
            queries.iter().map(|(metric, query)| (*metric, parse_query(query))).collect();
        let requests = queries.iter().enumerate().map(|(index, (metric, query))| SeriesRequest {
            index,
            metric,
            hidden: *metric == "h",
            query,
            cells: None,
        });
        let members = |group: &Group| group.members.iter().map(|(index, _)| *index).collect();
        groups(requests)
            .into_iter()
            .map(|group| (members(&group), group.metrics))
            .map(|(members, metrics)| (metrics, members))
            .collect()
    }

    fn group(metrics: &[&str], members: &[usize]) -> (Vec<String>, Vec<usize>) {
        (metrics.iter().map(|metric| (*metric).to_owned()).collect(), members.to_vec())
    }

    #[test]
    fn series_with_equal_buckets_share_a_statement_per_kind() {
        let [avg, last, p50, p99] = ["avg", "last", "p50", "p99"]
            .map(|aggregation| format!("{RANGE}&interval=hour&aggregation={aggregation}"));
        let max = avg.replace("avg", "max");
        let groups =
            group_queries(&[("b", &avg), ("c", &max), ("a", &p50), ("c", &p99), ("b", &max), ("a", &last)]);
        let expected = [group(&["b", "c"], &[0, 1, 4]), group(&["a", "c"], &[2, 3]), group(&["a"], &[5])];
        assert_eq!(groups, expected);
        let groups = group_queries(&[("b", &avg), ("h", &avg), ("h", &max)]);
        let expected = [group(&["b"], &[0]), group(&["h"], &[1, 2])];
        assert_eq!(groups, expected, "metrics with hidden points are read from raw rows");
    }

    #[test]
    fn fill_and_zone_name_do_not_split_groups_but_buckets_do() {
        let zone = |zone: &str, fill: &str| format!("{RANGE}&interval=hour&fill={fill}&timezone={zone}");
        let utc = zone("UTC", "none")
            .replace("2026-03-02", "2026-03-02T00:00Z")
            .replace("2026-03-01", "2026-03-01T00:00Z");
        let accra = utc.replace("UTC", "Africa/Accra").replace("none", "zero");
        let kolkata = utc.replace("UTC", "Asia/Kolkata");
        let groups = group_queries(&[("b", &utc), ("c", &accra), ("d", &kolkata)]);
        assert_eq!(groups, [group(&["b", "c"], &[0, 1]), group(&["d"], &[2])]);
    }

    #[test]
    fn range_without_possible_points_is_not_read() {
        assert_eq!(group_queries(&[("a", "startDate=0&endDate=1000")]), []);
    }
}
