//! Queries over the series of many projects, for alert rules. They take no project's query slot.

use super::Store;
use crate::deletions::View;
use crate::display_name;
use crate::error::Error;
use crate::series::merge::Partial;
use crate::series::query::Kind;
use crate::source::{Source, Statement};
use crate::windows::{MAX_SERIES_PER_QUERY, Series, Snapshot};
use std::collections::{HashMap, HashSet};

impl Store {
    /// Reads the parts of one window of each of `series`, in their order, with a statement of
    /// [`crate::series::query::window`].
    pub(crate) async fn windows(
        &self,
        view: &View,
        kind: Kind,
        statement: &Statement,
        series: &[&Series],
    ) -> Result<Vec<Vec<Partial>>, Error> {
        let keys: Vec<String> =
            series.iter().map(|(project, metric)| format!("{project}/{metric}")).collect();
        let query = self
            .samples_query(statement.source, view, &statement.text)
            .param("series", series)
            .param("keys", keys);
        self.fetch_parts("windows", query, kind, series.len()).await
    }

    /// Reads the newest names and units of `series` that came with points of the 30 days before `now_ms`,
    /// which is as far back as a rule looks.
    pub async fn names(
        &self,
        snapshot: &Snapshot,
        series: &HashSet<Series>,
        now_ms: i64,
    ) -> Result<HashMap<Series, (String, String)>, Error> {
        const MONTH_MS: i64 = 30 * 24 * 3_600_000;
        let (start, end) = (now_ms - MONTH_MS, now_ms + 1);
        let mut names = HashMap::new();
        for (view, series) in snapshot.split(series) {
            let mask = view.hidden.condition();
            let sql = format!(
                "SELECT project_id, metric_id, \
                argMaxIf(metric_name, (received_at, partition, offset, index), notEmpty(metric_name)) AS newest_name, \
                argMaxIf(unit, (received_at, partition, offset, index), notEmpty(unit)) AS newest_unit \
                FROM samples WHERE kind = 'sample' AND (project_id, metric_id) IN {{series:Array(Tuple(String, String))}} \
                AND time >= fromUnixTimestamp64Milli({start}, 'UTC') AND time < fromUnixTimestamp64Milli({end}, 'UTC'){mask} \
                GROUP BY project_id, metric_id"
            );
            for chunk in series.chunks(MAX_SERIES_PER_QUERY) {
                let query = self.samples_query(Source::Rows, &view, &sql).param("series", chunk);
                let rows: Vec<(String, String, String, String)> = self.fetch_all("names", query).await?;
                for (project_id, metric_id, newest_name, unit) in rows {
                    let name = display_name::name(&metric_id, &newest_name);
                    names.insert((project_id, metric_id), (name, unit));
                }
            }
        }
        Ok(names)
    }
}
