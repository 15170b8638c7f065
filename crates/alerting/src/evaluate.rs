//! Evaluation of many rules: read windows, run each rule's state machine, collect the transitions.
//!
//! The evaluator holds the part of the state machines that is not recorded (that a state was observed once). Transitions are
//! applied once they are in the topic. If that is unknown, leadership ends, and the next leader starts from the topic.

use super::alert_state::RuleState;
use super::directory::Entries;
use super::records;
use super::rule::Condition;
use super::state_machine::{Observation, RuleStatus, State, Transition};
use proto::v1::{Alert, AlertRecord, AlertSubject, alert_record::Kind};
use reads::windows::{Series, WindowQueries, WindowValue, WindowValues};
use std::collections::{HashMap, HashSet};

/// Rules to evaluate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All rules.
    All,
    /// Rules over these series.
    Series(HashSet<Series>),
    /// These rules, by id.
    Rules(HashSet<String>),
}

/// Returns what `condition` observes of `series`; none if that could not be read.
pub(crate) fn observation(
    values: &WindowValues,
    series: &Series,
    condition: &Condition,
) -> Option<Observation> {
    match values.value(series, condition.window.length_ms(), condition.aggregation) {
        WindowValue::Unread => None,
        WindowValue::Some(value) => Some(Observation::Value(value)),
        WindowValue::None => Some(Observation::NoPoints),
    }
}

impl Scope {
    fn contains(&self, alert: &Alert) -> bool {
        match self {
            Self::All => true,
            Self::Series(series) => series.contains(&(alert.project_id.clone(), alert.metric_id.clone())),
            Self::Rules(rules) => rules.contains(&alert.alert_id),
        }
    }
}

/// Rules of an evaluation, and the windows that it reads.
#[derive(Debug, Default)]
pub struct EvaluationPlan {
    rules: Vec<(Alert, Condition)>,
    /// Rules that are no longer active but have not ended.
    ended: Vec<AlertSubject>,
    /// The windows of the rules.
    pub windows: WindowQueries,
}

impl EvaluationPlan {
    /// Returns the number of rules to evaluate.
    pub fn rules(&self) -> usize {
        self.rules.len()
    }

    /// Returns whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.ended.is_empty()
    }
}

/// A rule's transition, with the rule's current definition.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleTransition {
    /// The rule.
    pub subject: AlertSubject,
    /// The transition.
    pub transition: Transition,
}

impl RuleTransition {
    /// Returns the record for the topic.
    pub fn record(&self) -> AlertRecord {
        let record = records::transition_to_record(self.subject.clone(), &self.transition);
        AlertRecord { kind: Some(Kind::Transition(record)) }
    }
}

/// State machines of all rules.
#[derive(Debug, Default)]
pub struct Evaluator {
    statuses: HashMap<String, RuleStatus>,
    /// Definitions of the rules at their last transitions: for messages about removed rules, and to detect edits.
    subjects: HashMap<String, AlertSubject>,
    /// Definitions of the active rules at the last check for edits.
    definitions: HashMap<String, Definition>,
}

/// The part of a rule that determines its state. Other edits do not affect the state.
#[derive(Debug, PartialEq)]
struct Definition {
    metric_id: String,
    aggregation: String,
    operator: String,
    threshold: f64,
    range: String,
    no_data: String,
}

impl Definition {
    fn of(alert: &Alert) -> Self {
        Self {
            metric_id: alert.metric_id.clone(),
            aggregation: alert.aggregation.clone(),
            operator: alert.operator.clone(),
            threshold: alert.threshold,
            range: alert.range.clone(),
            no_data: alert.no_data.clone(),
        }
    }
}

impl Evaluator {
    /// Creates the evaluator from the recorded states.
    pub fn new<'a>(recorded: impl Iterator<Item = (&'a String, &'a RuleState)>) -> Self {
        let mut evaluator = Self::default();
        for (id, rule) in recorded {
            evaluator.statuses.insert(id.clone(), rule.status.clone());
            evaluator.subjects.insert(id.clone(), rule.subject.clone());
        }
        evaluator
    }

    /// Returns the active rules that are new, or whose condition was edited, since the last call.
    pub fn edited(&mut self, entries: &Entries) -> HashSet<String> {
        let active = entries.active().map(|alert| (alert.alert_id.clone(), Definition::of(alert)));
        let before = std::mem::replace(&mut self.definitions, active.collect());
        let edited = self.definitions.iter().filter(|(id, definition)| before.get(*id) != Some(definition));
        edited.map(|(id, _)| id.clone()).collect()
    }

    /// Returns the rules of `scope` and their windows.
    pub fn plan(&self, entries: &Entries, scope: &Scope) -> EvaluationPlan {
        let mut plan = EvaluationPlan::default();
        let mut active = HashSet::new();
        for alert in entries.active() {
            active.insert(alert.alert_id.as_str());
            if !scope.contains(alert) {
                continue;
            }
            // The rule uses a value of a later version, and waits for a replica of that version.
            let Some(condition) = Condition::of(alert) else { continue };
            let series = (alert.project_id.clone(), alert.metric_id.clone());
            plan.windows.add(series, condition.window.length_ms(), condition.aggregation);
            plan.rules.push((alert.clone(), condition));
        }
        let ended =
            self.statuses.iter().filter(|(id, status)| !status.is_idle() && !active.contains(id.as_str()));
        plan.ended = ended.filter_map(|(id, _)| self.subjects.get(id).cloned()).collect();
        plan
    }

    /// Returns the transitions without applying them.
    pub fn transitions(
        &mut self,
        plan: &EvaluationPlan,
        values: &WindowValues,
        now_ms: i64,
    ) -> Vec<RuleTransition> {
        let mut transitions = Vec::new();
        for (alert, condition) in &plan.rules {
            let series = (alert.project_id.clone(), alert.metric_id.clone());
            // An unread window causes no transition.
            let Some(observation) = observation(values, &series, condition) else { continue };
            let status = self.statuses.entry(alert.alert_id.clone()).or_default();
            let subject = subject(alert);
            let edited = self
                .subjects
                .get(&alert.alert_id)
                .is_some_and(|before| condition_fields(before) != condition_fields(&subject));
            if let Some(transition) = status.observe(condition, edited, observation, now_ms) {
                transitions.push(RuleTransition { subject, transition });
            }
        }
        for subject in &plan.ended {
            let Some(status) = self.statuses.get_mut(&subject.alert_id) else { continue };
            if let Some(transition) = status.observe(&unused_condition(), false, Observation::Ended, now_ms) {
                transitions.push(RuleTransition { subject: subject.clone(), transition });
            }
        }
        transitions
    }

    /// Applies recorded transitions.
    pub fn apply(&mut self, transitions: Vec<RuleTransition>) {
        for RuleTransition { subject, transition } in transitions {
            self.statuses.entry(subject.alert_id.clone()).or_default().apply(&transition);
            self.subjects.insert(subject.alert_id.clone(), subject);
        }
    }

    /// Sets the metric's display name: from `names`, else its last known name, else its id in title case.
    pub fn name(&self, subject: &mut AlertSubject, names: &HashMap<Series, (String, String)>) {
        let known = names.get(&(subject.project_id.clone(), subject.metric_id.clone())).cloned();
        let before = || {
            let before = self.subjects.get(&subject.alert_id)?;
            let same = before.metric_id == subject.metric_id && !before.metric_name.is_empty();
            same.then(|| (before.metric_name.clone(), before.unit.clone()))
        };
        (subject.metric_name, subject.unit) = known
            .or_else(before)
            .unwrap_or_else(|| (reads::display_name::title_case(&subject.metric_id), String::new()));
    }

    /// Returns the rules whose change to a state other than ok is to be confirmed by one more evaluation soon. A change to
    /// ok waits for the next regular evaluation.
    pub fn awaiting_confirmation(&self) -> HashSet<String> {
        self.statuses
            .iter()
            .filter(|(_, status)| status.awaits_confirmation())
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Returns the number of firing rules.
    pub fn firing(&self) -> usize {
        self.statuses.values().filter(|status| status.state == State::Firing).count()
    }
}

/// Returns the rule as messages describe it, still without the metric's name and unit.
pub fn subject(alert: &Alert) -> AlertSubject {
    AlertSubject {
        project_id: alert.project_id.clone(),
        alert_id: alert.alert_id.clone(),
        name: alert.name.clone(),
        metric_id: alert.metric_id.clone(),
        metric_name: String::new(),
        unit: String::new(),
        aggregation: alert.aggregation.clone(),
        operator: alert.operator.clone(),
        threshold: alert.threshold,
        range: alert.range.clone(),
        channels: alert.channels.clone(),
    }
}

/// Returns the recorded fields that determine the state. `no_data` is not recorded and need not be: the state machine knows
/// the states that it leads to.
fn condition_fields(subject: &AlertSubject) -> (&str, &str, &str, f64, &str) {
    let AlertSubject { metric_id, aggregation, operator, threshold, range, .. } = subject;
    (metric_id, aggregation, operator, *threshold, range)
}

/// Returns a condition for rules that have ended; it is not evaluated.
fn unused_condition() -> Condition {
    use super::rule::{NoData, Operator, Window};
    use reads::series::aggregation::Aggregation;
    Condition {
        aggregation: Aggregation::Count,
        operator: Operator::Less,
        threshold: f64::NEG_INFINITY,
        window: Window::FiveMinutes,
        no_data: NoData::Ignore,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_machine::Notification;
    use proto::control::EntityKey;
    use proto::v1::{Entity, ProjectPlan, entity};

    fn alert() -> Alert {
        Alert {
            alert_id: "alr".to_owned(),
            project_id: "prj".to_owned(),
            metric_id: "m".to_owned(),
            aggregation: "avg".to_owned(),
            operator: ">".to_owned(),
            threshold: 10.0,
            range: "5m".to_owned(),
            no_data: "ignore".to_owned(),
            enabled: true,
            ..Alert::default()
        }
    }

    fn entries(alert: &Alert) -> Entries {
        use proto::Message as _;
        let plan = ProjectPlan { project_id: "prj".to_owned(), plan: "pro".to_owned() };
        let mut entries = Entries::default();
        for kind in [entity::Kind::ProjectPlan(plan), entity::Kind::Alert(alert.clone())] {
            let entity = Entity { kind: Some(kind) };
            let key = EntityKey::of(&entity);
            entries.apply(&control::control_log::Event {
                offset: 0,
                key,
                value: Some(entity.encode_to_vec()),
            });
        }
        entries
    }

    /// Evaluates the rule over a metric without points; returns the transitions as recorded.
    fn evaluate(evaluator: &mut Evaluator, alert: &Alert) -> Vec<(State, State, Notification)> {
        let plan = evaluator.plan(&entries(alert), &Scope::All);
        let transitions = evaluator.transitions(&plan, &WindowValues::default(), 2);
        let recorded = transitions
            .iter()
            .map(|it| (it.transition.from, it.transition.to, it.transition.notification))
            .collect();
        evaluator.apply(transitions);
        recorded
    }

    /// Creates an evaluator with the rule firing.
    fn firing() -> Evaluator {
        let transition = Transition {
            sequence: 1,
            at_ms: 1,
            from: State::Ok,
            to: State::Firing,
            value: Some(11.0),
            notification: Notification::State,
            ended: false,
        };
        let mut evaluator = Evaluator::default();
        evaluator.apply(vec![RuleTransition { subject: subject(&alert()), transition }]);
        evaluator
    }

    #[test]
    fn rule_is_edited_once_after_creation_edit_or_activation() {
        let mut evaluator = Evaluator::default();
        let mut edited = |alert: &Alert| evaluator.edited(&entries(alert)).len();
        assert_eq!((edited(&alert()), edited(&alert())), (1, 0));
        assert_eq!(
            edited(&Alert { name: "Other".to_owned(), version: 2, ..alert() }),
            0,
            "the name does not affect the state"
        );
        let raised = Alert { threshold: 20.0, ..alert() };
        assert_eq!((edited(&raised), edited(&raised)), (1, 0));
        assert_eq!(edited(&Alert { no_data: "fire".to_owned(), ..raised.clone() }), 1);
        assert_eq!(edited(&Alert { enabled: false, ..raised.clone() }), 0);
        assert_eq!(edited(&raised), 1);
    }

    #[test]
    fn edit_is_detected_by_comparison_with_the_recorded_rule() {
        assert_eq!(evaluate(&mut firing(), &alert()), []);
        let edits: [fn(&mut Alert); 5] = [
            |alert| alert.threshold = 20.0,
            |alert| alert.operator = ">=".to_owned(),
            |alert| alert.metric_id = "other".to_owned(),
            |alert| alert.aggregation = "max".to_owned(),
            |alert| alert.range = "1h".to_owned(),
        ];
        for edit in edits {
            let (mut edited, mut evaluator) = (alert(), firing());
            edit(&mut edited);
            let resolved = [(State::Firing, State::Ok, Notification::State)];
            assert_eq!(evaluate(&mut evaluator, &edited), resolved, "{edited:?}");
            assert_eq!(evaluate(&mut evaluator, &edited), [], "{edited:?}");
        }
        let renamed = Alert { name: "Other".to_owned(), channels: vec!["chn".to_owned()], ..alert() };
        assert_eq!(evaluate(&mut firing(), &renamed), []);
    }
}
