//! One evaluation of many rules: measure, ask each rule's machine, say what changed.
//!
//! The evaluator keeps what the machines know beyond what is recorded (that a state was seen once). Changes are applied
//! once they are in the topic; if that is not known, the term ends, and the next one begins with what the topic says.

use super::book::RuleState;
use super::directory::Entries;
use super::machine::{Change, Observation, Standing, State};
use super::records;
use super::rule::Condition;
use proto::v1::{Alert, AlertRecord, AlertSubject, alert_record::Kind};
use reads::windows::{Series, WindowQueries, WindowValue, WindowValues};
use std::collections::{HashMap, HashSet};

/// Which rules are evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    All,
    /// Those over these series.
    Series(HashSet<Series>),
    /// These.
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
        WindowValue::None => Some(Observation::Nothing),
    }
}

impl Scope {
    fn holds(&self, alert: &Alert) -> bool {
        match self {
            Self::All => true,
            Self::Series(series) => series.contains(&(alert.project_id.clone(), alert.metric_id.clone())),
            Self::Rules(rules) => rules.contains(&alert.alert_id),
        }
    }
}

/// What is evaluated, and what it needs to know.
#[derive(Debug, Default)]
pub struct Pass {
    rules: Vec<(Alert, Condition)>,
    /// Rules that are evaluated no more, though they have not ended.
    ended: Vec<AlertSubject>,
    /// The windows that the rules look at.
    pub windows: WindowQueries,
}

impl Pass {
    /// How many rules it evaluates.
    pub fn rules(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.ended.is_empty()
    }
}

/// A rule's change, with the rule as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The rule.
    pub subject: AlertSubject,
    /// The change.
    pub change: Change,
}

impl Changed {
    /// Its record.
    pub fn record(&self) -> AlertRecord {
        AlertRecord { kind: Some(Kind::Transition(records::transition(self.subject.clone(), &self.change))) }
    }
}

/// Knows what every rule stands at.
#[derive(Debug, Default)]
pub struct Evaluator {
    standings: HashMap<String, Standing>,
    /// The rules as they were when they changed last: what is said of those that are no more, and by which one sees that
    /// a rule was edited since.
    subjects: HashMap<String, AlertSubject>,
    /// What decided in active rules when they were looked through last.
    definitions: HashMap<String, Definition>,
}

/// What decides in which state a rule is; by other changes it stays what it is.
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
    /// Begins with what is recorded.
    pub fn new<'a>(recorded: impl Iterator<Item = (&'a String, &'a RuleState)>) -> Self {
        let mut evaluator = Self::default();
        for (id, rule) in recorded {
            evaluator.standings.insert(id.clone(), rule.standing.clone());
            evaluator.subjects.insert(id.clone(), rule.subject.clone());
        }
        evaluator
    }

    /// The active rules that are new, or were edited in what decides, since they were looked through last.
    pub fn edited(&mut self, entries: &Entries) -> HashSet<String> {
        let active = entries.active().map(|alert| (alert.alert_id.clone(), Definition::of(alert)));
        let before = std::mem::replace(&mut self.definitions, active.collect());
        let edited = self.definitions.iter().filter(|(id, definition)| before.get(*id) != Some(definition));
        edited.map(|(id, _)| id.clone()).collect()
    }

    /// What is to be evaluated.
    pub fn plan(&self, entries: &Entries, scope: &Scope) -> Pass {
        let mut pass = Pass::default();
        let mut active = HashSet::new();
        for alert in entries.active() {
            active.insert(alert.alert_id.as_str());
            if !scope.holds(alert) {
                continue;
            }
            // A word that this version does not know: the rule waits for one that does.
            let Some(condition) = Condition::of(alert) else { continue };
            let series = (alert.project_id.clone(), alert.metric_id.clone());
            pass.windows.add(series, condition.window.length_ms(), condition.aggregation);
            pass.rules.push((alert.clone(), condition));
        }
        let ended = self
            .standings
            .iter()
            .filter(|(id, standing)| !standing.at_rest() && !active.contains(id.as_str()));
        pass.ended = ended.filter_map(|(id, _)| self.subjects.get(id).cloned()).collect();
        pass
    }

    /// What changes. Nothing is applied yet.
    pub fn changes(&mut self, pass: &Pass, values: &WindowValues, now_ms: i64) -> Vec<Changed> {
        let mut changes = Vec::new();
        for (alert, condition) in &pass.rules {
            let series = (alert.project_id.clone(), alert.metric_id.clone());
            // What is not known changes nothing.
            let Some(seen) = observation(values, &series, condition) else { continue };
            let standing = self.standings.entry(alert.alert_id.clone()).or_default();
            let subject = subject(alert);
            let edited =
                self.subjects.get(&alert.alert_id).is_some_and(|before| decides(before) != decides(&subject));
            if let Some(change) = standing.observe(condition, edited, seen, now_ms) {
                changes.push(Changed { subject, change });
            }
        }
        for subject in &pass.ended {
            let Some(standing) = self.standings.get_mut(&subject.alert_id) else { continue };
            if let Some(change) = standing.observe(&never(), false, Observation::Ended, now_ms) {
                changes.push(Changed { subject: subject.clone(), change });
            }
        }
        changes
    }

    /// Applies what is recorded.
    pub fn apply(&mut self, changes: Vec<Changed>) {
        for Changed { subject, change } in changes {
            self.standings.entry(subject.alert_id.clone()).or_default().apply(&change);
            self.subjects.insert(subject.alert_id.clone(), subject);
        }
    }

    /// Names the metric for people: by `names`, else as it was named last, else by its id.
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

    /// Rules that one more evaluation is to confirm bad news of. Good news waits for the next.
    pub fn suspects(&self) -> HashSet<String> {
        self.standings.iter().filter(|(_, standing)| standing.suspects()).map(|(id, _)| id.clone()).collect()
    }

    /// How many rules fire.
    pub fn firing(&self) -> usize {
        self.standings.values().filter(|standing| standing.state == State::Firing).count()
    }
}

/// The rule as it is said of. The metric's name and unit are added by whoever knows them.
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

/// What decides of what is recorded. What a window without points means is not, and need not be: the machine knows which
/// states it leads to.
fn decides(subject: &AlertSubject) -> (&str, &str, &str, f64, &str) {
    let AlertSubject { metric_id, aggregation, operator, threshold, range, .. } = subject;
    (metric_id, aggregation, operator, *threshold, range)
}

/// What a rule that ended is judged by: its end decides, not its condition.
fn never() -> Condition {
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
    use crate::machine::Notice;
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

    /// Evaluates the rule over a metric without points; gives the changes as they are recorded.
    fn evaluate(evaluator: &mut Evaluator, alert: &Alert) -> Vec<(State, State, Notice)> {
        let pass = evaluator.plan(&entries(alert), &Scope::All);
        let changes = evaluator.changes(&pass, &WindowValues::default(), 2);
        let seen = changes.iter().map(|it| (it.change.from, it.change.to, it.change.notice)).collect();
        evaluator.apply(changes);
        seen
    }

    /// One that begins with the rule firing.
    fn firing() -> Evaluator {
        let change = Change {
            sequence: 1,
            at_ms: 1,
            from: State::Ok,
            to: State::Firing,
            value: Some(11.0),
            notice: Notice::Told,
            ended: false,
        };
        let mut evaluator = Evaluator::default();
        evaluator.apply(vec![Changed { subject: subject(&alert()), change }]);
        evaluator
    }

    #[test]
    fn rules_are_looked_at_once_after_they_were_made_edited_or_switched_on() {
        let mut evaluator = Evaluator::default();
        let mut edited = |alert: &Alert| evaluator.edited(&entries(alert)).len();
        assert_eq!((edited(&alert()), edited(&alert())), (1, 0));
        assert_eq!(
            edited(&Alert { name: "Other".to_owned(), version: 2, ..alert() }),
            0,
            "a name decides nothing"
        );
        let raised = Alert { threshold: 20.0, ..alert() };
        assert_eq!((edited(&raised), edited(&raised)), (1, 0));
        assert_eq!(edited(&Alert { no_data: "fire".to_owned(), ..raised.clone() }), 1);
        assert_eq!(edited(&Alert { enabled: false, ..raised.clone() }), 0);
        assert_eq!(edited(&raised), 1);
    }

    #[test]
    fn what_was_recorded_tells_that_a_rule_was_edited_since() {
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
            let resolved = [(State::Firing, State::Ok, Notice::Told)];
            assert_eq!(evaluate(&mut evaluator, &edited), resolved, "{edited:?}");
            assert_eq!(evaluate(&mut evaluator, &edited), [], "{edited:?}");
        }
        let renamed = Alert { name: "Other".to_owned(), channels: vec!["chn".to_owned()], ..alert() };
        assert_eq!(evaluate(&mut firing(), &renamed), []);
    }
}
