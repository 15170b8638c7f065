//! Reads the samples of a plan's selectors: those of one selector at once, for the whole range of the query.

use super::failure::Failure;
use crate::app::App;
use promql::budget::{MAX_SAMPLES, MAX_SERIES};
use promql::eval::{Sample, Series};
use promql::labels::Labels;
use promql::plan::Selector;
use promql_parser::label::Matcher;
use reads::deletions::View;
use reads::series::buckets::Range;

/// Maximum number of metrics of a project that can be searched.
const MAX_METRICS: usize = 200_000;
/// Maximum number of bytes of the ids in a statement; ClickHouse refuses longer parameters.
const MAX_IDS_BYTES: usize = 100_000;

/// Returns the labels of the project's metrics that match all matchers of at least one list, ordered by
/// metric id; all metrics if there is no list. With `hours`, only metrics with points in the hours that the
/// range overlaps.
pub async fn metrics(
    app: &App,
    project: &str,
    lists: &[Vec<Matcher>],
    hours: Option<Range>,
) -> Result<Vec<Labels>, Failure> {
    let view = app.reads.view(project).await?;
    let ids = ids(app, &view, project, hours).await?;
    let labels = ids.iter().map(|id| Labels::of_metric(id));
    let wanted = |labels: &Labels| lists.is_empty() || lists.iter().any(|list| labels.matched_by(list));
    Ok(labels.filter(wanted).collect())
}

async fn ids(app: &App, view: &View, project: &str, hours: Option<Range>) -> Result<Vec<String>, Failure> {
    let ids = app.reads.store.metric_ids(view, project, hours, MAX_METRICS + 1).await?;
    if ids.len() > MAX_METRICS {
        return Err(Failure::execution(format!("the project has more than {MAX_METRICS} metrics")));
    }
    Ok(ids)
}

/// Reads the series of each selector.
pub async fn series(app: &App, project: &str, selectors: &[Selector]) -> Result<Vec<Vec<Series>>, Failure> {
    if selectors.is_empty() {
        return Ok(Vec::new());
    }
    let view = app.reads.view(project).await?;
    let ids = ids(app, &view, project, None).await?;
    let (mut all, mut left) = (Vec::with_capacity(selectors.len()), MAX_SAMPLES);
    for selector in selectors {
        let matched = |id: &&String| Labels::of_metric(id).matched_by(&selector.matchers);
        let wanted: Vec<&str> = ids.iter().filter(matched).map(String::as_str).collect();
        if wanted.len() > MAX_SERIES {
            return Err(Failure::execution(format!(
                "a selector matches {} series, more than {MAX_SERIES}: select fewer",
                wanted.len()
            )));
        }
        let read = read(app, &view, (project, &wanted), selector, left).await?;
        left -= read.iter().map(|series| series.samples.len()).sum::<usize>();
        all.push(read);
    }
    Ok(all)
}

async fn read(
    app: &App,
    view: &View,
    (project, ids): (&str, &[&str]),
    selector: &Selector,
    mut left: usize,
) -> Result<Vec<Series>, Failure> {
    let mut all: Vec<Series> = Vec::with_capacity(ids.len());
    for ids in chunks(ids) {
        let base = all.len();
        all.extend(ids.iter().map(|id| Series { labels: Labels::of_metric(id), samples: Vec::new() }));
        let mut rows = 0;
        let take = |row: reads::store::SampleRow| {
            rows += 1;
            let Some(series) = all.get_mut(base + row.series_index as usize) else { return };
            let sample = Sample { at: row.at, value: row.value };
            match series.samples.last_mut() {
                // The last of several samples with the same time counts.
                Some(last) if last.at == sample.at => *last = sample,
                _ => series.samples.push(sample),
            }
        };
        app.reads
            .store
            .samples(view, (project, ids), (selector.after, selector.until), left + 1, take)
            .await?;
        left = left.checked_sub(rows).ok_or_else(|| {
            Failure::execution(format!(
                "the query reads more than {MAX_SAMPLES} samples: ask for a shorter range or fewer series"
            ))
        })?;
    }
    Ok(all)
}

/// Splits ids into chunks that are short enough for a statement.
fn chunks<'a, 'b>(mut ids: &'a [&'b str]) -> Vec<&'a [&'b str]> {
    let mut chunks = Vec::new();
    while !ids.is_empty() {
        let mut length = 0;
        let fits = |id: &&&str| {
            length += id.len() + 3;
            length <= MAX_IDS_BYTES
        };
        let (chunk, rest) = ids.split_at(ids.iter().take_while(fits).count().max(1));
        chunks.push(chunk);
        ids = rest;
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_split_into_chunks_of_bounded_length() {
        let id = "x".repeat(128);
        let ids = vec![id.as_str(); 2000];
        let chunks = chunks(&ids);
        assert_eq!(chunks.iter().map(|chunk| chunk.len()).collect::<Vec<_>>(), [763, 763, 474]);
    }
}
