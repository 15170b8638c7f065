//! Current value of one rule, outside of evaluations.

use super::evaluate::{observation, subject};
use super::rule::Condition;
use super::state_machine::Observation;
use proto::v1::{Alert, AlertSubject};
use reads::Error;
use reads::deletions::View;
use reads::display_name::title_case;
use reads::store::Store;
use reads::windows::{SlowSeries, Snapshot, WindowQueries};
use std::collections::HashSet;

/// Returns the rule with its metric's newest name and unit, and the value of its window; none if the window has no points.
/// Uses a query slot of the project.
pub async fn current_value(
    store: &Store,
    view: View,
    alert: &Alert,
    now_ms: i64,
) -> Result<(AlertSubject, Option<f64>), Error> {
    let condition = Condition::of(alert).ok_or(Error::QueryFailed)?;
    let series = (alert.project_id.clone(), alert.metric_id.clone());
    let hidden = Some(view.hidden).filter(|hidden| !hidden.is_empty());
    let hidden = hidden.map(|hidden| (alert.project_id.clone(), hidden)).into_iter().collect();
    let snapshot = Snapshot { database: view.database, hidden };
    let mut windows = WindowQueries::default();
    windows.add(series.clone(), condition.window.length_ms(), condition.aggregation);
    let _slot = store.acquire_slot(&alert.project_id).await?;
    let values = windows.read(store, &snapshot, now_ms, &mut SlowSeries::default()).await?;
    let value = match observation(&values, &series, &condition).ok_or(Error::QueryTimeout)? {
        Observation::Value(value) => Some(value),
        Observation::NoPoints | Observation::Ended => None,
    };
    let mut names = store.names(&snapshot, &HashSet::from([series.clone()]), now_ms).await?;
    let mut subject = subject(alert);
    (subject.metric_name, subject.unit) =
        names.remove(&series).unwrap_or_else(|| (title_case(&alert.metric_id), String::new()));
    Ok((subject, value))
}
