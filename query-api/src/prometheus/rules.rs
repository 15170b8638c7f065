//! The project's alert rules in Prometheus's format: one group, in which each rule has an equivalent PromQL
//! query. A project whose plan does not include alerts has no rules.

use super::{Caller, answer};
use crate::app::App;
use crate::error::{Error, directory_unavailable};
use crate::prometheus::failure::Failure;
use crate::prometheus::form::Form;
use alerting::alert_state::RuleState;
use alerting::records::StateWord;
use alerting::rule::Condition;
use alerting::state_machine::State;
use axum::extract;
use axum::response::Response;
use jiff::Timestamp;
use proto::v1;
use reads::series::aggregation::{Aggregation, QUANTILES};
use serde_json::{Value, json};
use service::wire_enum::WireEnum as _;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Number of rules that one lookup in the directory returns.
const PAGE: usize = 1000;
/// Prometheus's `lastEvaluation` of a rule that was never evaluated. Only the evaluating replica knows the
/// time of ours.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Names of the one group and of its file.
const GROUP: &str = "alerts";
const FILE: &str = "tidemark";

/// The filter in the parameters of a request.
struct Filter<'a> {
    names: Vec<&'a str>,
    /// True if the parameters for type, group and file, as far as they are given, match our group of alert
    /// rules.
    group_matches: bool,
}

impl<'a> Filter<'a> {
    fn of(form: &'a Form) -> Result<Self, Failure> {
        let alerting = match form.text("type").map(str::to_ascii_lowercase).as_deref() {
            None | Some("alert") => true,
            Some("record") => false,
            Some(other) => return Err(Failure::parameter("type", format!("not supported value {other:?}"))),
        };
        let matches = |parameter, name: &str| empty_or_contains(&form.texts(parameter), name);
        let group_matches = alerting && matches("rule_group[]", GROUP) && matches("file[]", FILE);
        Ok(Self { names: form.texts("rule_name[]"), group_matches })
    }

    fn matches(&self, alert: &v1::Alert) -> bool {
        self.group_matches && empty_or_contains(&self.names, &alert.name)
    }
}

fn empty_or_contains(names: &[&str], name: &str) -> bool {
    names.is_empty() || names.contains(&name)
}

/// Returns the rules.
pub async fn rules(
    Caller(key): Caller,
    extract::State(app): extract::State<Arc<App>>,
    form: Form,
) -> Result<Response, Failure> {
    let filter = Filter::of(&form)?;
    let rules: Vec<Value> = all(&app, &key.project_id)
        .await?
        .iter()
        .filter(|(alert, _)| filter.matches(alert))
        .map(|(alert, state)| {
            let alerts: Vec<Value> = active(alert, state).into_iter().collect();
            json!({
                "type": "alerting", "name": alert.name, "query": query(alert), "duration": 0, "keepFiringFor": 0,
                "labels": labels(alert), "annotations": {},
                "state": if alerts.is_empty() { "inactive" } else { "firing" },
                "health": if alert.enabled { "ok" } else { "unknown" },
                "alerts": alerts, "evaluationTime": 0, "lastEvaluation": NEVER,
            })
        })
        .collect();
    let group = json!({
        "name": GROUP, "file": FILE, "interval": app.alert_interval.as_secs(), "limit": 0, "rules": rules,
        "evaluationTime": 0, "lastEvaluation": NEVER,
    });
    let groups: &[Value] = if rules.is_empty() { &[] } else { &[group] };
    Ok(answer::plain(&json!({"groups": groups}), &BTreeSet::new()))
}

/// Returns the active alerts: the rules in the state `firing` or `no_data`.
pub async fn alerts(
    Caller(key): Caller,
    extract::State(app): extract::State<Arc<App>>,
) -> Result<Response, Failure> {
    let rules = all(&app, &key.project_id).await?;
    let alerts: Vec<Value> = rules.iter().filter_map(|(alert, state)| active(alert, state)).collect();
    Ok(answer::plain(&json!({"alerts": alerts}), &BTreeSet::new()))
}

async fn all(app: &App, project_id: &str) -> Result<Vec<(v1::Alert, RuleState)>, Error> {
    match crate::auth::require_alerts(app, project_id).await {
        Err(Error::PlanRequired) => return Ok(Vec::new()),
        allowed => allowed?,
    }
    let (mut rules, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = app.directory.list_entities::<v1::Alert>(project_id, after.as_deref(), PAGE).await;
        let page = page.map_err(directory_unavailable)?;
        app.alerts.read(|states| {
            rules.extend(page.items.into_iter().map(|alert| {
                let state = states.rule(&alert.alert_id);
                (alert, state)
            }));
        });
        after = page.next;
        if after.is_none() {
            return Ok(rules);
        }
    }
}

fn labels(alert: &v1::Alert) -> Value {
    json!({"alert_id": alert.alert_id, "metric_id": alert.metric_id})
}

fn active(alert: &v1::Alert, state: &RuleState) -> Option<Value> {
    if state.status.state == State::Ok {
        return None;
    }
    let since = Timestamp::from_millisecond(state.status.since_ms).map(|at| at.to_string());
    let mut labels = labels(alert);
    labels["alertname"] = alert.name.clone().into();
    labels["state"] = StateWord::from(state.status.state).as_str().into();
    Some(json!({
        "labels": labels, "annotations": {}, "state": "firing", "activeAt": since.unwrap_or_default(),
        "value": state.value.map_or_else(|| "NaN".to_owned(), |value| value.to_string()),
    }))
}

/// Returns the PromQL query that is equivalent to the rule.
fn query(alert: &v1::Alert) -> String {
    let window = format!("{{metric_id=\"{}\"}}[{}]", alert.metric_id, alert.range);
    let Some(condition) = Condition::of(alert) else { return window };
    let value = match condition.aggregation {
        Aggregation::Avg => format!("avg_over_time({window})"),
        Aggregation::Sum => format!("sum_over_time({window})"),
        Aggregation::Min => format!("min_over_time({window})"),
        Aggregation::Max => format!("max_over_time({window})"),
        Aggregation::Count => format!("count_over_time({window})"),
        Aggregation::Last => format!("last_over_time({window})"),
        Aggregation::P50 | Aggregation::P90 | Aggregation::P99 => {
            let level = condition.aggregation.quantile_index().map_or(0.0, |index| QUANTILES[index]);
            format!("quantile_over_time({level}, {window})")
        }
    };
    format!("{value} {} {}", alert.operator, alert.threshold)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(aggregation: &str) -> v1::Alert {
        v1::Alert {
            metric_id: "api.time".to_owned(),
            aggregation: aggregation.to_owned(),
            operator: ">=".to_owned(),
            threshold: 2.5,
            range: "15m".to_owned(),
            no_data: "ignore".to_owned(),
            ..v1::Alert::default()
        }
    }

    #[test]
    fn rules_are_filtered_by_type_name_group_and_file() {
        let rule = v1::Alert { name: "Too slow".to_owned(), ..alert("max") };
        let matches = |query: &str| {
            let form = Form(form_urlencoded::parse(query.as_bytes()).into_owned().collect());
            Filter::of(&form).map(|filter| filter.matches(&rule)).ok()
        };
        for query in
            ["", "type=alert", "rule_name[]=x&rule_name[]=Too+slow", "rule_group[]=alerts&file[]=tidemark"]
        {
            assert_eq!(matches(query), Some(true), "{query}");
        }
        for query in ["type=record", "rule_name[]=x", "rule_group[]=x", "file[]=x"] {
            assert_eq!(matches(query), Some(false), "{query}");
        }
        assert_eq!(matches("type=x"), None);
    }

    #[test]
    fn rule_becomes_an_equivalent_promql_query() {
        assert_eq!(query(&alert("max")), r#"max_over_time({metric_id="api.time"}[15m]) >= 2.5"#);
        assert_eq!(query(&alert("p90")), r#"quantile_over_time(0.9, {metric_id="api.time"}[15m]) >= 2.5"#);
        for aggregation in ["avg", "sum", "min", "max", "count", "last", "p50", "p90", "p99"] {
            let query = query(&alert(aggregation));
            assert!(promql_parser::parser::parse(&query).is_ok(), "{query}");
        }
    }
}
