//! Time series cut into whole hours or minutes of UTC, which can be held and put together again.
//!
//! A bucket of hours, days, weeks or months is made of whole hours where it begins on one; a bucket of a minute is one
//! cell. The part of an hour that an end of the range cuts off is made of minutes, and what is cut off a minute is an
//! *edge*, which is read as it is. Quantiles cannot be put together: they are cut only where each bucket is a cell, and
//! what is cut off that is an edge.
//!
//! Cells are read and held by blocks: a day of hours, an hour of minutes.

use super::buckets::{Interval, Range};
use super::merge::Partial;
use super::query::{FIRST_TIME, Kind, LAST_TIME};
use super::question::Question;
use std::sync::Arc;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Where a bucket has many cells, reading a longer range by cells costs more than it saves.
const MOST_HOURS: i64 = 2_000;

/// How long cells are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl Resolution {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Minute, Self::Hour];

    /// The length of a cell, milliseconds.
    pub fn cell(self) -> i64 {
        match self {
            Self::Minute => MINUTE_MS,
            Self::Hour => HOUR_MS,
        }
    }

    /// The length of a block, milliseconds.
    pub fn block(self) -> i64 {
        match self {
            Self::Minute => HOUR_MS,
            Self::Hour => DAY_MS,
        }
    }
}

/// A time series that is made of cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The cells, ascending. Not empty.
    pub pieces: Vec<Piece>,
    /// What the range has beside them, each in one bucket.
    pub edges: Vec<Range>,
}

/// Cells without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// How long they are.
    pub resolution: Resolution,
    /// From the first to the end of the last.
    pub range: Range,
}

impl Cut {
    /// Cuts what is asked for; none if it is not made of cells.
    pub fn new(question: &Question) -> Option<Self> {
        let Question { interval, .. } = question;
        let kind = Kind::of(question.aggregation);
        let resolution = if *interval == Interval::Minute { Resolution::Minute } else { Resolution::Hour };
        let alone = matches!(interval, Interval::Minute | Interval::Hour);
        if (kind == Kind::Quantiles && !alone)
            || question.starts.iter().any(|start| start % resolution.cell() != 0)
        {
            return None;
        }
        let (start, end) = (question.range.start.max(FIRST_TIME), question.range.end.min(LAST_TIME));
        let (whole, edges) = cut(Range { start, end }, resolution)?;
        if !alone && (whole.range.end - whole.range.start) / resolution.cell() > MOST_HOURS {
            return None;
        }
        let mut found = Self { pieces: vec![whole], edges: Vec::new() };
        for edge in edges {
            match cut(edge, Resolution::Minute).filter(|_| kind != Kind::Quantiles) {
                Some((minutes, rest)) => {
                    found.pieces.push(minutes);
                    found.edges.extend(rest);
                }
                None => found.edges.push(edge),
            }
        }
        found.pieces.sort_unstable_by_key(|piece| piece.range.start);
        Some(found)
    }
}

impl Piece {
    /// Whether a cell of its resolution is one of them.
    pub fn has(&self, cell: &Partial) -> bool {
        (self.range.start..self.range.end).contains(&cell.bucket)
    }

    /// The numbers of the blocks that they lie in.
    pub fn blocks(&self) -> std::ops::Range<i64> {
        let length = self.resolution.block();
        self.range.start.div_euclid(length)..(self.range.end - 1).div_euclid(length) + 1
    }
}

/// The whole cells of a range, and what it has before and after them; none if it has no whole one.
fn cut(Range { start, end }: Range, resolution: Resolution) -> Option<(Piece, Vec<Range>)> {
    let cell = resolution.cell();
    let range = Range { start: start + (-start).rem_euclid(cell), end: end - end.rem_euclid(cell) };
    let edges = [Range { start, end: range.start }, Range { start: range.end, end }];
    let edges = edges.into_iter().filter(|edge| edge.start < edge.end).collect();
    (range.start < range.end).then_some((Piece { resolution, range }, edges))
}

/// Puts cells, which ascend, into the blocks of these numbers.
pub fn into_blocks(
    cells: Vec<Partial>,
    resolution: Resolution,
    numbers: std::ops::Range<i64>,
) -> Vec<Arc<Vec<Partial>>> {
    let mut cells = cells.into_iter().peekable();
    let mut block = |number: i64| {
        let end = (number + 1) * resolution.block();
        Arc::new(std::iter::from_fn(|| cells.next_if(|cell| cell.bucket < end)).collect())
    };
    numbers.map(&mut block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::merge::Known;
    use crate::series::question::of_query;

    fn cut(query: &str) -> Option<Cut> {
        Cut::new(&of_query(query))
    }

    fn pieces(cut: &Cut) -> Vec<(Resolution, i64, i64)> {
        cut.pieces.iter().map(|piece| (piece.resolution, piece.range.start, piece.range.end)).collect()
    }

    fn edges(cut: &Cut) -> Vec<(i64, i64)> {
        cut.edges.iter().map(|edge| (edge.start, edge.end)).collect()
    }

    #[test]
    fn hours_that_lie_in_the_range_then_minutes_and_the_rest_are_edges() {
        use Resolution::{Hour, Minute};
        let day = cut("startDate=2026-03-01&endDate=2026-03-02&interval=hour").expect("cells");
        let start = day.pieces[0].range.start;
        assert_eq!((pieces(&day), edges(&day)), (vec![(Hour, start, start + DAY_MS)], vec![]));
        assert_eq!(day.pieces[0].blocks(), start / DAY_MS..start / DAY_MS + 1);
        let (from, to) = (start + 7 * MINUTE_MS, start + 3 * HOUR_MS + MINUTE_MS + 7);
        let odd = format!("startDate={from}&endDate={to}");
        let hours = cut(&format!("{odd}&interval=hour")).expect("cells");
        let (first, last) = (start + HOUR_MS, start + 3 * HOUR_MS);
        let end = last + MINUTE_MS;
        assert_eq!(pieces(&hours), [(Minute, from, first), (Hour, first, last), (Minute, last, end)]);
        assert_eq!(edges(&hours), [(end, to)]);
        let minutes = cut(&format!("{odd}&interval=minute")).expect("cells");
        assert_eq!((pieces(&minutes), edges(&minutes)), (vec![(Minute, from, end)], vec![(end, to)]));
        assert_eq!(minutes.pieces[0].blocks(), start / HOUR_MS..start / HOUR_MS + 4);
        let quantiles = cut(&format!("{odd}&interval=hour&aggregation=p50")).expect("cells");
        assert_eq!(pieces(&quantiles), [(Hour, first, last)]);
        assert_eq!(edges(&quantiles), [(from, first), (last, to)]);
    }

    #[test]
    fn what_is_not_made_of_whole_cells_is_not_cut() {
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
            assert_eq!(cut(query), None, "{query}");
        }
        for query in [
            &format!("{day}&interval=minute&timezone=Asia/Kolkata"),
            &format!("{day}&interval=hour&aggregation=p99&timezone=Europe/Berlin"),
            &format!("{day}&interval=week&aggregation=last&timezone=America/New_York"),
        ] {
            assert!(cut(query).is_some(), "{query}");
        }
    }

    #[test]
    fn each_cell_is_in_its_block() {
        let cell = |bucket| Partial { bucket, points: 1, known: Known::Quantiles(Vec::new()) };
        let cells = [0, MINUTE_MS, HOUR_MS - MINUTE_MS, HOUR_MS, 3 * HOUR_MS].map(cell);
        let blocks = into_blocks(cells.to_vec(), Resolution::Minute, 0..4);
        let lengths: Vec<usize> = blocks.iter().map(|block| block.len()).collect();
        assert_eq!(lengths, [3, 1, 0, 1]);
    }
}
