//! Values of one window of many series, in few queries.
//!
//! Alert rules that look at the same window share a query: it covers up to [`MAX_SERIES_PER_QUERY`] series
//! and every aggregation of its [`Kind`]. Windows of a day and more take their whole hours from the rollup
//! and only the partial hours at both ends from raw points, so each value covers exactly `[end - length,
//! end)`. A sum or quantile that no double holds is read once more, scaled, as time series do.
//!
//! The store may still hold points that were deleted. Series with such points are read from raw points only,
//! because the rollup knows nothing of deletions.
//!
//! One slow series does not delay the others: a query that times out is repeated by halves until the slow
//! series stands alone. From then on that series is read alone, after all others.

use crate::deletions::{DeletionMask, View};
use crate::error::Error;
use crate::series::aggregation::Aggregation;
use crate::series::buckets::Range;
use crate::series::merge::Partial;
use crate::series::query::{self, Kind};
use crate::store::Store;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Maximum number of series per query.
pub const MAX_SERIES_PER_QUERY: usize = 1000;

/// Project and metric.
pub type Series = (String, String);

/// Length in milliseconds, and the columns that are read.
type WindowKey = (i64, Kind);

/// Windows to be read, and their series.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct WindowQueries(BTreeMap<WindowKey, BTreeSet<Series>>);

impl WindowQueries {
    /// Adds the window of `length_ms` milliseconds of `series`.
    pub fn add(&mut self, series: Series, length_ms: i64, aggregation: Aggregation) {
        self.0.entry((length_ms, Kind::of(aggregation))).or_default().insert(series);
    }

    /// Returns the number of queries, unless one times out.
    pub fn count(&self) -> usize {
        self.0.values().map(|series| series.len().div_ceil(MAX_SERIES_PER_QUERY)).sum()
    }

    /// Returns the projects of the series.
    pub fn projects(&self) -> BTreeSet<&str> {
        self.0.values().flatten().map(|(project, _)| project.as_str()).collect()
    }

    /// Reads all windows, which end at `end_ms`. Updates `slow` with the series that timed out and those that
    /// no longer do.
    pub async fn read(
        &self,
        store: &Store,
        snapshot: &Snapshot,
        end_ms: i64,
        slow: &mut SlowSeries,
    ) -> Result<WindowValues, Error> {
        let mut values = WindowValues::default();
        for (&key, series) in &self.0 {
            let (length_ms, kind) = key;
            let range = Range { start: end_ms - length_ms, end: end_ms };
            let slow = slow.0.entry(key).or_default();
            for (view, series) in snapshot.split(series) {
                let mask = view.hidden.condition();
                let statement = query::window(range, kind, &mask);
                let series = slow_first(series, slow);
                let mut chunks = chunks(&series, slow);
                while let Some(chunk) = chunks.pop() {
                    let parts = store.windows(&view, kind, &statement, chunk).await;
                    chunks.extend(values.add_chunk(key, chunk, parts, slow)?);
                }
                let overflown: Vec<&Series> =
                    series.iter().copied().filter(|series| values.overflows(key, series)).collect();
                let statement = query::scaled_window(range, kind, &mask);
                for chunk in overflown.chunks(MAX_SERIES_PER_QUERY) {
                    let parts = store.windows(&view, kind, &statement, chunk).await?;
                    values.add_scaled(key, chunk, parts);
                }
            }
        }
        Ok(values)
    }
}

/// The store that an evaluation reads throughout, and what of it is hidden.
#[derive(Debug)]
pub struct Snapshot {
    /// The store's database.
    pub database: Arc<str>,
    /// By project, the deletions that the store has not applied; projects without any are left out.
    pub hidden: BTreeMap<String, DeletionMask>,
}

impl Snapshot {
    /// Splits series: those without hidden points together, the others by project with the deletions that
    /// apply to them.
    pub fn split<'a>(&self, series: impl IntoIterator<Item = &'a Series>) -> Vec<(View, Vec<&'a Series>)> {
        let mut whole = Vec::new();
        let mut parts: BTreeMap<&str, Vec<&Series>> = BTreeMap::new();
        for series in series {
            let (project, metric) = series;
            match self.hidden.get(project).filter(|hidden| hidden.affects(metric)) {
                Some(_) => parts.entry(project).or_default().push(series),
                None => whole.push(series),
            }
        }
        let parts = parts.into_iter().map(|(project, series)| {
            let hidden = self.hidden.get(project).cloned().unwrap_or_default();
            let view = View { database: self.database.clone(), hidden };
            (view.for_metrics(series.iter().map(|(_, metric)| metric.as_str())), series)
        });
        let whole = (!whole.is_empty()).then(|| (View::unmasked(&self.database), whole));
        whole.into_iter().chain(parts).collect()
    }
}

/// Series that timed out when they were last read.
#[derive(Debug, Default)]
pub struct SlowSeries(HashMap<WindowKey, HashSet<Series>>);

/// Value of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WindowValue {
    /// The window could not be read in time.
    Unread,
    /// The window has no points, or no double holds the value.
    None,
    /// The aggregated points. The count of an empty window is 0.
    Some(f64),
}

/// Windows that were read.
#[derive(Debug, Default)]
pub struct WindowValues {
    parts: HashMap<WindowKey, HashMap<Series, Partial>>,
    /// Parts with scaled sums or quantiles, where the others overflow.
    scaled: HashMap<WindowKey, HashMap<Series, Partial>>,
    unread: HashSet<(WindowKey, Series)>,
    queries: u64,
}

impl WindowValues {
    /// Adds the parts of a chunk. After a timeout returns its halves, which are to be read instead.
    fn add_chunk<'a>(
        &mut self,
        key: WindowKey,
        chunk: &'a [&'a Series],
        parts: Result<Vec<Vec<Partial>>, Error>,
        slow: &mut HashSet<Series>,
    ) -> Result<Vec<&'a [&'a Series]>, Error> {
        self.queries += 1;
        match (parts, chunk) {
            (Ok(parts), _) => {
                let all = self.parts.entry(key).or_default();
                for (series, parts) in chunk.iter().zip(parts) {
                    add_parts(all, series, parts);
                }
                if let [series] = chunk {
                    slow.remove(*series);
                }
                Ok(Vec::new())
            }
            (Err(Error::QueryTimeout), [series]) => {
                slow.insert((*series).clone());
                self.unread.insert((key, (*series).clone()));
                Ok(Vec::new())
            }
            (Err(Error::QueryTimeout), _) => {
                let (first, second) = chunk.split_at(chunk.len() / 2);
                Ok(vec![first, second])
            }
            (Err(error), _) => Err(error),
        }
    }

    fn add_scaled(&mut self, key: WindowKey, chunk: &[&Series], parts: Vec<Vec<Partial>>) {
        self.queries += 1;
        let all = self.scaled.entry(key).or_default();
        for (series, parts) in chunk.iter().zip(parts) {
            add_parts(all, series, parts);
        }
    }

    /// Returns whether the window has a sum or a quantile that no double holds.
    fn overflows(&self, key: WindowKey, series: &Series) -> bool {
        self.parts.get(&key).and_then(|parts| parts.get(series)).is_some_and(Partial::overflows)
    }

    /// Returns the number of queries that were sent.
    pub fn queries(&self) -> u64 {
        self.queries
    }

    /// Returns the number of windows that could not be read in time.
    pub fn unread(&self) -> usize {
        self.unread.len()
    }

    /// Returns the aggregated value of a window.
    pub fn value(&self, series: &Series, length_ms: i64, aggregation: Aggregation) -> WindowValue {
        let key = (length_ms, Kind::of(aggregation));
        if !self.unread.is_empty() && self.unread.contains(&(key, series.clone())) {
            return WindowValue::Unread;
        }
        let part = |parts: &'_ HashMap<WindowKey, HashMap<Series, Partial>>| {
            parts.get(&key).and_then(|parts| parts.get(series)).cloned()
        };
        let value = part(&self.parts).map(|part| part.value(aggregation)).filter(|value| value.is_finite());
        let value = value.or_else(|| {
            let scaled = part(&self.scaled).filter(|_| aggregation.is_within_values())?;
            scaled.scaled_value(aggregation)
        });
        match value {
            Some(value) => WindowValue::Some(value),
            None if aggregation == Aggregation::Count => WindowValue::Some(0.0),
            None => WindowValue::None,
        }
    }
}

fn add_parts(all: &mut HashMap<Series, Partial>, series: &Series, parts: Vec<Partial>) {
    let mut parts = parts.into_iter();
    let Some(mut whole) = parts.next() else { return };
    parts.for_each(|part| whole.absorb(&part));
    all.insert(series.clone(), whole);
}

/// Orders series so that the slow ones come first: chunks are taken from the end.
fn slow_first<'a>(series: Vec<&'a Series>, slow: &HashSet<Series>) -> Vec<&'a Series> {
    let (mut alone, together): (Vec<&Series>, Vec<&Series>) =
        series.into_iter().partition(|series| slow.contains(*series));
    alone.extend(together);
    alone
}

/// Splits series in the order of [`slow_first`] into chunks, to be read from the end: each slow series is its
/// own chunk.
fn chunks<'a>(series: &'a [&'a Series], slow: &HashSet<Series>) -> Vec<&'a [&'a Series]> {
    let alone = series.iter().take_while(|series| slow.contains(**series)).count();
    let (alone, together) = series.split_at(alone);
    alone.chunks(1).chain(together.chunks(MAX_SERIES_PER_QUERY)).collect()
}

#[cfg(test)]
mod tests;
