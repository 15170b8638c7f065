//! What rules of all projects are measured by. They do not wait for a project's turn.

use super::Store;
use crate::alerts::measure::{self, Part, Seen, Series};
use crate::error::Error;
use crate::hidden::View;
use crate::source::{Source, Statement};
use crate::title::title_case;
use std::collections::{HashMap, HashSet};

impl Store {
    /// Parts of the windows of `series`, by a statement of [`crate::alerts::measure`] whose text has the mask of what is
    /// hidden in `view`.
    pub async fn windows(
        &self,
        view: &View,
        statement: &Statement,
        series: &[&Series],
    ) -> Result<Vec<Part>, Error> {
        let query = self.reading(statement.source, view, &statement.text).param("series", series);
        self.all("windows", query).await
    }

    /// The newest names and units that came with the points of `series` in the 30 days before `now_ms`: no rule looks
    /// further back, and a series may be long.
    pub async fn names(
        &self,
        seen: &Seen,
        series: &HashSet<Series>,
        now_ms: i64,
    ) -> Result<HashMap<Series, (String, String)>, Error> {
        const DAYS_MS: i64 = 30 * 24 * 3_600_000;
        let (start, end) = (now_ms - DAYS_MS, now_ms + 1);
        let mut names = HashMap::new();
        for (view, series) in seen.apart(series) {
            let mask = view.hidden.mask();
            let sql = format!(
                "SELECT project_id, metric_id, \
                argMaxIf(metric_name, (received_at, partition, offset, index), notEmpty(metric_name)) AS newest_name, \
                argMaxIf(unit, (received_at, partition, offset, index), notEmpty(unit)) AS newest_unit \
                FROM samples WHERE kind = 'sample' AND (project_id, metric_id) IN {{series:Array(Tuple(String, String))}} \
                AND time >= fromUnixTimestamp64Milli({start}, 'UTC') AND time < fromUnixTimestamp64Milli({end}, 'UTC'){mask} \
                GROUP BY project_id, metric_id"
            );
            for chunk in series.chunks(measure::SERIES) {
                let query = self.reading(Source::Rows, &view, &sql).param("series", chunk);
                let rows: Vec<(String, String, String, String)> = self.all("names", query).await?;
                for (project_id, metric_id, name, unit) in rows {
                    let series = (project_id, metric_id);
                    let name = if name.is_empty() { title_case(&series.1) } else { name };
                    names.insert(series, (name, unit));
                }
            }
        }
        Ok(names)
    }
}
