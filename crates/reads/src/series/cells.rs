//! Division of time series into cells: whole hours or minutes of UTC that can be cached and merged again.
//!
//! A bucket of hours, days, weeks or months that begins on a full hour is merged from whole hours; a minute
//! bucket is one cell. A partial hour at an end of the range is merged from minutes. A partial minute is an
//! *edge*, which is read from raw rows. Quantiles cannot be merged: they use cells only if each bucket is one
//! cell, and partial cells are edges.
//!
//! Cells are read and cached in blocks: a day of hours, an hour of minutes.

use super::buckets::{FIRST_TIME, Interval, LAST_TIME, Range};
use super::merge::Partial;
use super::query::Kind;
use super::resolution::Resolution;
use super::series_query::SeriesQuery;
use std::sync::Arc;

/// Maximum number of cells if a bucket has several: beyond that, reading cells costs more than it saves.
const MAX_HOURS: i64 = 2_000;

/// Cells and edges of a time series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellPlan {
    /// Cells in ascending order. Not empty.
    pub runs: Vec<CellRun>,
    /// Parts of the range outside the cells, each within one bucket.
    pub edges: Vec<Range>,
}

/// Consecutive cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellRun {
    /// Length of the cells.
    pub resolution: Resolution,
    /// Range from the first cell to the end of the last.
    pub range: Range,
}

impl CellPlan {
    /// Divides a series into cells; `None` if it is not to be read by cells.
    pub fn new(query: &SeriesQuery) -> Option<Self> {
        let SeriesQuery { interval, .. } = query;
        let kind = Kind::of(query.aggregation);
        let resolution = if *interval == Interval::Minute { Resolution::Minute } else { Resolution::Hour };
        let one_cell_per_bucket = matches!(interval, Interval::Minute | Interval::Hour);
        if (kind == Kind::Quantiles && !one_cell_per_bucket)
            || query.starts.iter().any(|start| start % resolution.cell_ms() != 0)
        {
            return None;
        }
        let (start, end) = (query.range.start.max(FIRST_TIME), query.range.end.min(LAST_TIME));
        let (whole, edges) = whole_cells(Range { start, end }, resolution)?;
        if !one_cell_per_bucket && (whole.range.end - whole.range.start) / resolution.cell_ms() > MAX_HOURS {
            return None;
        }
        let mut plan = Self { runs: vec![whole], edges: Vec::new() };
        for edge in edges {
            match whole_cells(edge, Resolution::Minute).filter(|_| kind != Kind::Quantiles) {
                Some((minutes, rest)) => {
                    plan.runs.push(minutes);
                    plan.edges.extend(rest);
                }
                None => plan.edges.push(edge),
            }
        }
        plan.runs.sort_unstable_by_key(|run| run.range.start);
        Some(plan)
    }
}

impl CellRun {
    /// Returns whether the run contains a cell of its resolution.
    pub fn contains(&self, cell: &Partial) -> bool {
        (self.range.start..self.range.end).contains(&cell.bucket)
    }

    /// Returns the numbers of the blocks that contain the cells.
    pub fn blocks(&self) -> std::ops::Range<i64> {
        let length = self.resolution.block_ms();
        self.range.start.div_euclid(length)..(self.range.end - 1).div_euclid(length) + 1
    }
}

/// Returns the whole cells of a range, and the parts before and after them; `None` if it contains no whole
/// cell.
fn whole_cells(Range { start, end }: Range, resolution: Resolution) -> Option<(CellRun, Vec<Range>)> {
    let cell = resolution.cell_ms();
    let range = Range { start: start + (-start).rem_euclid(cell), end: end - end.rem_euclid(cell) };
    let edges = [Range { start, end: range.start }, Range { start: range.end, end }];
    let edges = edges.into_iter().filter(|edge| edge.start < edge.end).collect();
    (range.start < range.end).then_some((CellRun { resolution, range }, edges))
}

/// Distributes cells in ascending order to the blocks with these numbers.
pub fn into_blocks(
    cells: Vec<Partial>,
    resolution: Resolution,
    numbers: std::ops::Range<i64>,
) -> Vec<Arc<Vec<Partial>>> {
    let mut cells = cells.into_iter().peekable();
    let mut block = |number: i64| {
        let end = (number + 1) * resolution.block_ms();
        Arc::new(std::iter::from_fn(|| cells.next_if(|cell| cell.bucket < end)).collect())
    };
    numbers.map(&mut block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::merge::Aggregates;
    use crate::series::series_query::parse_query;

    const MINUTE_MS: i64 = 60_000;
    const HOUR_MS: i64 = 60 * MINUTE_MS;
    const DAY_MS: i64 = 24 * HOUR_MS;

    fn plan(query: &str) -> Option<CellPlan> {
        CellPlan::new(&parse_query(query))
    }

    fn runs(plan: &CellPlan) -> Vec<(Resolution, i64, i64)> {
        plan.runs.iter().map(|run| (run.resolution, run.range.start, run.range.end)).collect()
    }

    fn edges(plan: &CellPlan) -> Vec<(i64, i64)> {
        plan.edges.iter().map(|edge| (edge.start, edge.end)).collect()
    }

    #[test]
    fn range_is_divided_into_hours_then_minutes_then_edges() {
        use Resolution::{Hour, Minute};
        let day = plan("startDate=2026-03-01&endDate=2026-03-02&interval=hour").expect("cells");
        let start = day.runs[0].range.start;
        assert_eq!((runs(&day), edges(&day)), (vec![(Hour, start, start + DAY_MS)], vec![]));
        assert_eq!(day.runs[0].blocks(), start / DAY_MS..start / DAY_MS + 1);
        let (from, to) = (start + 7 * MINUTE_MS, start + 3 * HOUR_MS + MINUTE_MS + 7);
        let odd = format!("startDate={from}&endDate={to}");
        let hours = plan(&format!("{odd}&interval=hour")).expect("cells");
        let (first, last) = (start + HOUR_MS, start + 3 * HOUR_MS);
        let end = last + MINUTE_MS;
        assert_eq!(runs(&hours), [(Minute, from, first), (Hour, first, last), (Minute, last, end)]);
        assert_eq!(edges(&hours), [(end, to)]);
        let minutes = plan(&format!("{odd}&interval=minute")).expect("cells");
        assert_eq!((runs(&minutes), edges(&minutes)), (vec![(Minute, from, end)], vec![(end, to)]));
        assert_eq!(minutes.runs[0].blocks(), start / HOUR_MS..start / HOUR_MS + 4);
        let quantiles = plan(&format!("{odd}&interval=hour&aggregation=p50")).expect("cells");
        assert_eq!(runs(&quantiles), [(Hour, first, last)]);
        assert_eq!(edges(&quantiles), [(from, first), (last, to)]);
    }

    #[test]
    fn series_without_whole_cells_have_no_cell_plan() {
        let day = "startDate=2026-03-01&endDate=2026-03-06";
        let long = "startDate=2020-01-01&endDate=2026-01-01&interval=month";
        for query in [
            &format!("{day}&interval=hour&timezone=Asia/Kolkata"),
            &format!("{day}&interval=day&timezone=Asia/Kathmandu"),
            &format!("{day}&interval=day&aggregation=p99"),
            "startDate=1000&endDate=2000&interval=minute",
            "startDate=1767571200001&endDate=1767571200900&interval=minute",
            long,
        ] {
            assert_eq!(plan(query), None, "{query}");
        }
        for query in [
            &format!("{day}&interval=minute&timezone=Asia/Kolkata"),
            &format!("{day}&interval=hour&aggregation=p99&timezone=Europe/Berlin"),
            &format!("{day}&interval=week&aggregation=last&timezone=America/New_York"),
        ] {
            assert!(plan(query).is_some(), "{query}");
        }
    }

    #[test]
    fn each_cell_is_in_its_block() {
        let cell = |bucket| Partial { bucket, points: 1, aggregates: Aggregates::Quantiles(Vec::new()) };
        let cells = [0, MINUTE_MS, HOUR_MS - MINUTE_MS, HOUR_MS, 3 * HOUR_MS].map(cell);
        let blocks = into_blocks(cells.to_vec(), Resolution::Minute, 0..4);
        let lengths: Vec<usize> = blocks.iter().map(|block| block.len()).collect();
        assert_eq!(lengths, [3, 1, 0, 1]);
    }
}
