//! Many time series by few statements: those that are cut into the same buckets, or whose edges are the same, are read
//! together.
//!
//! What adds up, the last points and quantiles are read apart: a median on a dashboard must not make its averages as dear
//! as itself. Within one kind each statement brings all that any aggregation needs.

use super::buckets::Range;
use super::cells::Cut;
use super::query::{Kind, Plan};
use super::question::Question;
use crate::source::Statement;

/// Series that one statement reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    plan: Plan,
    /// What its rows know of their buckets.
    pub kind: Kind,
    starts: Vec<i64>,
    /// The metrics, each once, in the order in which they were asked for.
    pub metrics: Vec<String>,
    /// Which of the series that were asked for it answers, each with its metric's place in `metrics`.
    pub members: Vec<(usize, usize)>,
}

impl Group {
    /// Its statement, with the parameters `project` and `metrics` and those of `mask`.
    pub fn statement(&self, mask: &str) -> Statement {
        self.plan.statement(&self.starts, self.kind, mask)
    }
}

/// A time series that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its place in the request.
    pub place: usize,
    /// The metric.
    pub metric: &'a str,
    /// Whether some of its points are hidden: the rollup knows nothing of that.
    pub hidden: bool,
    /// What is asked for.
    pub question: &'a Question,
    /// The cells that it is made of, if it is: then its edges alone are to be read.
    pub cut: Option<&'a Cut>,
}

/// The groups of what is asked for. What is in none has no points, or no edges.
pub fn groups<'a>(asked: impl IntoIterator<Item = Asked<'a>>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for Asked { place, metric, hidden, question, cut } in asked {
        let kind = Kind::of(question.aggregation);
        let (plan, starts) = match cut {
            Some(cut) => (Plan::edges(&cut.edges), starts_of(&cut.edges, &question.starts)),
            None => {
                let plan = Plan::new(question.range, &question.starts, question.interval, kind, hidden);
                (plan, question.starts.clone())
            }
        };
        let Some(plan) = plan else { continue };
        let same = |group: &Group| group.plan == plan && group.kind == kind && group.starts == starts;
        let group = groups.iter().position(same).unwrap_or(groups.len());
        if group == groups.len() {
            groups.push(Group { plan, kind, starts, metrics: Vec::new(), members: Vec::new() });
        }
        let group = &mut groups[group];
        let known = group.metrics.iter().position(|known| known == metric).unwrap_or(group.metrics.len());
        if known == group.metrics.len() {
            group.metrics.push(metric.to_owned());
        }
        group.members.push((place, known));
    }
    groups
}

/// The starts of the buckets that edges lie in, each once.
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
    use crate::series::question::of_query;

    const END: &str = "endDate=2026-03-02&startDate=2026-03-01";

    fn ask(queries: &[(&str, &str)]) -> Vec<(Vec<String>, Vec<usize>)> {
        let questions: Vec<(&str, Question)> =
            queries.iter().map(|(metric, query)| (*metric, of_query(query))).collect();
        let asked = questions.iter().enumerate().map(|(place, (metric, question))| Asked {
            place,
            metric,
            hidden: *metric == "h",
            question,
            cut: None,
        });
        let members = |group: &Group| group.members.iter().map(|(place, _)| *place).collect();
        groups(asked)
            .into_iter()
            .map(|group| (members(&group), group.metrics))
            .map(|(members, metrics)| (metrics, members))
            .collect()
    }

    fn group(metrics: &[&str], members: &[usize]) -> (Vec<String>, Vec<usize>) {
        (metrics.iter().map(|metric| (*metric).to_owned()).collect(), members.to_vec())
    }

    #[test]
    fn series_in_the_same_buckets_are_read_together_but_not_what_costs_more() {
        let [avg, last, p50, p99] = ["avg", "last", "p50", "p99"]
            .map(|aggregation| format!("{END}&interval=hour&aggregation={aggregation}"));
        let max = avg.replace("avg", "max");
        let groups = ask(&[("b", &avg), ("c", &max), ("a", &p50), ("c", &p99), ("b", &max), ("a", &last)]);
        let apart = [group(&["b", "c"], &[0, 1, 4]), group(&["a", "c"], &[2, 3]), group(&["a"], &[5])];
        assert_eq!(groups, apart);
        let groups = ask(&[("b", &avg), ("h", &avg), ("h", &max)]);
        let apart = [group(&["b"], &[0]), group(&["h"], &[1, 2])];
        assert_eq!(groups, apart, "what is hidden in part is read raw");
    }

    #[test]
    fn fill_and_the_name_of_a_zone_part_nothing_but_other_buckets_do() {
        let zone = |zone: &str, fill: &str| format!("{END}&interval=hour&fill={fill}&timezone={zone}");
        let utc = zone("UTC", "none")
            .replace("2026-03-02", "2026-03-02T00:00Z")
            .replace("2026-03-01", "2026-03-01T00:00Z");
        let accra = utc.replace("UTC", "Africa/Accra").replace("none", "zero");
        let kolkata = utc.replace("UTC", "Asia/Kolkata");
        let groups = ask(&[("b", &utc), ("c", &accra), ("d", &kolkata)]);
        assert_eq!(groups, [group(&["b", "c"], &[0, 1]), group(&["d"], &[2])]);
    }

    #[test]
    fn a_range_that_can_hold_no_points_is_not_read() {
        assert_eq!(ask(&[("a", "startDate=0&endDate=1000")]), []);
    }
}
