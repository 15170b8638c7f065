//! What one rule sees at this moment, outside of any evaluation.

use super::evaluate::subject;
use super::machine::Observation;
use super::measure::{Questions, Seen, Slow};
use super::rule::Condition;
use crate::error::{Error, Unavailable};
use crate::hidden::View;
use crate::store::Store;
use crate::title::title_case;
use proto::v1::{Alert, AlertSubject};
use std::collections::HashSet;

/// The rule with its metric's newest name and unit, and its window's value; none if that has no points. The project waits
/// for its turn, as for any other query.
pub async fn present(
    store: &Store,
    view: View,
    alert: &Alert,
    now_ms: i64,
) -> Result<(AlertSubject, Option<f64>), Error> {
    let condition = Condition::of(alert).ok_or(Error::Unavailable(Unavailable::Query))?;
    let series = (alert.project_id.clone(), alert.metric_id.clone());
    let hidden = Some(view.hidden).filter(|hidden| !hidden.is_empty());
    let hidden = hidden.map(|hidden| (alert.project_id.clone(), hidden)).into_iter().collect();
    let seen = Seen { database: view.database, hidden };
    let mut questions = Questions::default();
    questions.ask(series.clone(), &condition);
    let _place = store.place(&alert.project_id).await?;
    let answers = questions.answer(store, &seen, now_ms, &mut Slow::default()).await?;
    let value = match answers.observation(&series, &condition).ok_or(Error::QueryTimeout)? {
        Observation::Value(value) => Some(value),
        Observation::Nothing | Observation::Ended => None,
    };
    let mut names = store.names(&seen, &HashSet::from([series.clone()]), now_ms).await?;
    let mut subject = subject(alert);
    (subject.metric_name, subject.unit) =
        names.remove(&series).unwrap_or_else(|| (title_case(&alert.metric_id), String::new()));
    Ok((subject, value))
}
