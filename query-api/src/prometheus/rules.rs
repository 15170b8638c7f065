//! The project's alert rules as Prometheus lists them: one group, each rule as the query that says the same. Projects
//! whose plan has no alerts have no rules.

use super::{Caller, answer};
use crate::app::App;
use crate::error::{Error, directory_unavailable};
use crate::prometheus::failure::Failure;
use crate::prometheus::form::Form;
use alerting::book::RuleState;
use alerting::machine::State as Stands;
use alerting::records::StateWord;
use alerting::rule::Condition;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use proto::v1;
use reads::series::aggregation::{Aggregation, QUANTILES};
use serde_json::{Value, json};
use service::wire_enum::WireEnum as _;
use std::collections::BTreeSet;
use std::sync::Arc;

/// So many rules are asked for at once.
const PAGE: usize = 1000;
/// What Prometheus says of a rule that it has not evaluated; when ours were is known to their evaluator alone.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The one group, and the file that it would stand in.
const GROUP: &str = "alerts";
const FILE: &str = "tidemark";

/// Which rules are asked for.
struct Asked<'a> {
    names: Vec<&'a str>,
    /// Whether ours are of the type, in the group and in the file; what is not named is not asked about.
    ours: bool,
}

impl<'a> Asked<'a> {
    fn of(form: &'a Form) -> Result<Self, Failure> {
        let alerting = match form.text("type").map(str::to_ascii_lowercase).as_deref() {
            None | Some("alert") => true,
            Some("record") => false,
            Some(other) => return Err(Failure::parameter("type", format!("not supported value {other:?}"))),
        };
        let names = |parameter, ours: &str| among(&form.texts(parameter), ours);
        let ours = alerting && names("rule_group[]", GROUP) && names("file[]", FILE);
        Ok(Self { names: form.texts("rule_name[]"), ours })
    }

    fn holds(&self, alert: &v1::Alert) -> bool {
        self.ours && among(&self.names, &alert.name)
    }
}

fn among(names: &[&str], name: &str) -> bool {
    names.is_empty() || names.contains(&name)
}

/// The rules.
pub async fn rules(
    Caller(key): Caller,
    State(app): State<Arc<App>>,
    form: Form,
) -> Result<Response, Failure> {
    let asked = Asked::of(&form)?;
    let rules: Vec<Value> = all(&app, &key.project_id)
        .await?
        .iter()
        .filter(|(alert, _)| asked.holds(alert))
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

/// Those that fire, or say that there are no points.
pub async fn alerts(Caller(key): Caller, State(app): State<Arc<App>>) -> Result<Response, Failure> {
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
        let page = app.directory.all_owned::<v1::Alert>(project_id, after.as_deref(), PAGE).await;
        let page = page.map_err(directory_unavailable)?;
        app.alerts.look(|book| {
            rules.extend(page.items.into_iter().map(|alert| {
                let state = book.rule(&alert.alert_id);
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
    let stands = state.standing.state;
    if stands == Stands::Ok {
        return None;
    }
    let since = Timestamp::from_millisecond(state.standing.since_ms).map(|at| at.to_string());
    let (mut labels, word) = (labels(alert), StateWord::from(stands).as_str());
    labels["alertname"] = alert.name.clone().into();
    labels["state"] = word.into();
    Some(json!({
        "labels": labels, "annotations": {}, "state": "firing", "activeAt": since.unwrap_or_default(),
        "value": state.value.map_or_else(|| "NaN".to_owned(), |value| value.to_string()),
    }))
}

/// What the rule says, as PromQL.
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
            let level = condition.aggregation.quantile().map_or(0.0, |place| QUANTILES[place]);
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
    fn rules_are_found_by_type_name_group_and_file() {
        let rule = v1::Alert { name: "Too slow".to_owned(), ..alert("max") };
        let finds = |query: &str| {
            let form = Form(form_urlencoded::parse(query.as_bytes()).into_owned().collect());
            Asked::of(&form).map(|asked| asked.holds(&rule)).ok()
        };
        for query in
            ["", "type=alert", "rule_name[]=x&rule_name[]=Too+slow", "rule_group[]=alerts&file[]=tidemark"]
        {
            assert_eq!(finds(query), Some(true), "{query}");
        }
        for query in ["type=record", "rule_name[]=x", "rule_group[]=x", "file[]=x"] {
            assert_eq!(finds(query), Some(false), "{query}");
        }
        assert_eq!(finds("type=x"), None);
    }

    #[test]
    fn a_rule_is_the_query_that_says_the_same() {
        assert_eq!(query(&alert("max")), r#"max_over_time({metric_id="api.time"}[15m]) >= 2.5"#);
        assert_eq!(query(&alert("p90")), r#"quantile_over_time(0.9, {metric_id="api.time"}[15m]) >= 2.5"#);
        for aggregation in ["avg", "sum", "min", "max", "count", "last", "p50", "p90", "p99"] {
            let query = query(&alert(aggregation));
            assert!(promql_parser::parser::parse(&query).is_ok(), "{query}");
        }
    }
}
