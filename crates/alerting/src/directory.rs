//! Rules and channels of all projects, followed from `control.v1` while this replica leads.
//!
//! A rule is active if it is enabled, its project was not removed, and the project's plan allows alerts.

use control::control_log::{self, ControlReader, Event, LogError};
use control::plans;
use proto::Message as _;
use proto::control::{EntityKey, EntityKind};
use proto::topics::Topics;
use proto::v1::{Alert, Channel, Entity, Plan, entity::Kind};
use reads::windows::Series;
use service::kafka::KafkaBrokers;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;

/// Entities of the control log that alerting uses.
#[derive(Debug, Default)]
pub struct Entries {
    alerts: HashMap<String, Alert>,
    channels: HashMap<String, Channel>,
    project_plans: HashMap<String, String>,
    plans: HashMap<String, Plan>,
    removed: HashSet<String>,
    /// Project and metrics of each dashboard.
    dashboards: BTreeMap<String, (String, HashSet<String>)>,
    /// Incremented by every event that may change the set of active rules.
    version: u64,
}

impl Entries {
    /// Applies an event. An undecodable event is from a later version and is ignored.
    pub fn apply(&mut self, event: &Event) {
        let Some(EntityKey { kind, id }) = &event.key else { return };
        let entity = event.value.as_deref().and_then(|value| Entity::decode(value).ok()?.kind);
        let may_change_rules = match &entity {
            Some(Kind::Alert(_) | Kind::ProjectPlan(_) | Kind::Plan(_) | Kind::Removal(_)) => true,
            Some(_) => false,
            None => *kind == EntityKind::Alert,
        };
        self.version += u64::from(may_change_rules);
        match entity {
            Some(Kind::Alert(alert)) => drop(self.alerts.insert(alert.alert_id.clone(), alert)),
            Some(Kind::Channel(channel)) => drop(self.channels.insert(channel.channel_id.clone(), channel)),
            Some(Kind::ProjectPlan(plan)) => drop(self.project_plans.insert(plan.project_id, plan.plan)),
            Some(Kind::Plan(plan)) => drop(self.plans.insert(plan.name.clone(), plan)),
            Some(Kind::Removal(removal)) => drop(self.removed.insert(removal.removed_id)),
            Some(Kind::Dashboard(dashboard)) => {
                let series = dashboard.widgets.into_iter().flat_map(|widget| widget.series);
                let metrics = series.map(|series| series.metric_id).collect();
                self.dashboards.insert(dashboard.dashboard_id, (dashboard.project_id, metrics));
            }
            Some(_) => {}
            None => match kind {
                EntityKind::Alert => drop(self.alerts.remove(id)),
                EntityKind::Channel => drop(self.channels.remove(id)),
                EntityKind::Dashboard => drop(self.dashboards.remove(id)),
                _ => {}
            },
        }
    }

    /// Returns the active rules.
    pub fn active(&self) -> impl Iterator<Item = &Alert> {
        self.alerts
            .values()
            .filter(|alert| alert.enabled && !self.is_inactive(&alert.alert_id, &alert.project_id))
    }

    /// Returns the channel, unless it or its project was removed.
    pub fn channel(&self, id: &str) -> Option<&Channel> {
        let channel = self.channels.get(id)?;
        let removed = self.removed.contains(id) || self.removed.contains(&channel.project_id);
        (!removed).then_some(channel)
    }

    /// Returns the series of active rules.
    pub fn watched(&self) -> HashSet<Series> {
        self.active().map(|alert| (alert.project_id.clone(), alert.metric_id.clone())).collect()
    }

    /// Returns the version of the set of active rules.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns a dashboard of the project that shows the metric, if there is one.
    pub fn dashboard(&self, project_id: &str, metric_id: &str) -> Option<&str> {
        let shows = |(id, (project, metrics)): &(&String, &(String, HashSet<String>))| {
            project == project_id && metrics.contains(metric_id) && !self.removed.contains(*id)
        };
        self.dashboards.iter().find(shows).map(|(id, _)| id.as_str())
    }

    fn is_inactive(&self, alert_id: &str, project_id: &str) -> bool {
        self.removed.contains(alert_id)
            || self.removed.contains(project_id)
            || !self.allows_alerts(project_id)
    }

    fn allows_alerts(&self, project_id: &str) -> bool {
        let Some(name) = self.project_plans.get(project_id) else { return false };
        self.plans.get(name).cloned().or_else(|| plans::built_in(name)).is_some_and(|plan| plan.alerts)
    }
}

/// The entities, kept up to date. Clones share them.
#[derive(Clone)]
pub struct Directory {
    entries: Arc<RwLock<Entries>>,
    loaded: watch::Sender<bool>,
    version: watch::Sender<u64>,
}

impl Directory {
    /// Creates an empty directory.
    pub fn new() -> Self {
        Self { entries: Arc::default(), loaded: watch::Sender::new(false), version: watch::Sender::new(0) }
    }

    /// Reads the entities under their lock.
    pub fn read<T>(&self, read: impl FnOnce(&Entries) -> T) -> T {
        read(&self.entries.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until everything is applied that the log contained when reading began.
    pub async fn loaded(&self) {
        let _ = self.loaded.subscribe().wait_for(|loaded| *loaded).await;
    }

    /// Returns the version of the set of active rules, as it changes.
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Reads the log from its beginning until it fails.
    pub async fn follow(&self, brokers: &KafkaBrokers, topics: &Topics) -> LogError {
        match self.consume(brokers, topics).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn consume(
        &self,
        brokers: &KafkaBrokers,
        topics: &Topics,
    ) -> Result<std::convert::Infallible, LogError> {
        let end = control_log::end_offset(brokers, topics).await?;
        self.loaded.send_replace(end == 0);
        let reader = ControlReader::starting_at(brokers, topics, 0)?;
        loop {
            let event = reader.next().await?;
            let version = {
                let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
                entries.apply(&event);
                entries.version()
            };
            self.version.send_if_modified(|known| std::mem::replace(known, version) != version);
            if event.offset + 1 >= end {
                self.loaded.send_replace(true);
            }
        }
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::{ProjectPlan, Removal};

    fn event(kind: Kind) -> Event {
        let entity = Entity { kind: Some(kind) };
        Event { offset: 0, key: EntityKey::of(&entity), value: Some(entity.encode_to_vec()) }
    }

    fn alert(id: &str) -> Event {
        event(Kind::Alert(Alert {
            alert_id: id.to_owned(),
            project_id: "prj".to_owned(),
            enabled: true,
            ..Alert::default()
        }))
    }

    fn plan(plan: &str) -> Event {
        event(Kind::ProjectPlan(ProjectPlan { project_id: "prj".to_owned(), plan: plan.to_owned() }))
    }

    fn entries(events: &[Event]) -> Entries {
        let mut entries = Entries::default();
        events.iter().for_each(|event| entries.apply(event));
        entries
    }

    #[test]
    fn rule_is_active_unless_removed_or_excluded_by_the_plan() {
        let active = |events: &[Event]| entries(events).active().count();
        assert_eq!(active(&[plan("pro"), alert("a")]), 1);
        assert_eq!(active(&[plan("pro"), alert("a"), plan("free")]), 0);
        assert_eq!(active(&[alert("a")]), 0);
        let key = EntityKey { kind: EntityKind::Alert, id: "a".to_owned() };
        let tombstone = Event { offset: 0, key: Some(key), value: None };
        assert_eq!(active(&[plan("pro"), alert("a"), tombstone]), 0);
        for removed in ["a", "prj"] {
            let removal = Removal { removed_id: removed.to_owned(), ..Removal::default() };
            assert_eq!(active(&[plan("pro"), event(Kind::Removal(removal)), alert("a")]), 0, "{removed}");
        }
        let without_alerts =
            event(Kind::Plan(Plan { name: "pro".to_owned(), alerts: false, ..Plan::default() }));
        assert_eq!(active(&[plan("pro"), alert("a"), without_alerts]), 0);
    }
}
