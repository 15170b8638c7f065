//! Evaluation loop of the leader: decides when to evaluate which rules, and records their transitions.

use super::arrivals::Arrivals;
use super::directory::{Directory, Entries};
use super::evaluate::{Evaluator, RuleTransition, Scope};
use super::journal::{Journal, JournalError};
use super::leadership::{Evaluation, LeadershipError};
use super::metrics_tail::PositionedBatch;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use reads::Error;
use reads::deletions::DeletionMask;
use reads::windows::{Series, SlowSeries, Snapshot};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

/// Delay before a second evaluation confirms a change to a state other than ok.
const CONFIRMATION_DELAY: Duration = Duration::from_secs(1);
/// Time for which edits of rules are collected before they are evaluated.
const EDIT_DEBOUNCE: Duration = Duration::from_millis(50);
/// Delay before a failed evaluation is repeated.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// Maximum number of concurrent deletion lookups.
const MAX_DELETION_LOOKUPS: usize = 32;

/// Evaluations of the leader.
pub(super) struct EvaluationLoop<'a> {
    evaluation: &'a Evaluation,
    journal: &'a Journal,
    directory: &'a Directory,
    evaluator: Evaluator,
    /// Series of active rules.
    watched: HashSet<Series>,
    /// Times of the confirming evaluations. Each rule has its own, or evaluations of other rules would delay it for ever.
    confirmations: HashMap<String, Instant>,
    slow: SlowSeries,
}

impl<'a> EvaluationLoop<'a> {
    /// Creates the loop. The rules start with the states that the follower has read.
    pub fn new(evaluation: &'a Evaluation, journal: &'a Journal, directory: &'a Directory) -> Self {
        Self {
            evaluation,
            journal,
            directory,
            evaluator: evaluation.follower.read(|states| Evaluator::new(states.rules())),
            watched: HashSet::new(),
            confirmations: HashMap::new(),
            slow: SlowSeries::default(),
        }
    }

    /// Evaluates rules until the journal fails or a task ends.
    pub async fn run(mut self, mut batches: mpsc::Receiver<PositionedBatch>) -> LeadershipError {
        let mut arrivals = Arrivals::default();
        let mut planned = Instant::now();
        let mut next_check: Option<Instant> = None;
        let mut versions = self.directory.versions();
        versions.mark_changed();
        let mut edits_due: Option<Instant> = None;
        // The first evaluation covers all rules.
        let _ = self.directory.read(|entries| self.evaluator.edited(entries));
        loop {
            // Set once and kept, or a steady flow of batches would delay it for ever.
            next_check =
                next_check.or_else(|| arrivals.next_check(Instant::now()).map(|wait| Instant::now() + wait));
            let scope = tokio::select! {
                () = wait_until(Some(planned)) => {
                    self.evaluation.metrics.lateness.observe(planned.elapsed().as_secs_f64());
                    planned = next_evaluation(planned, self.evaluation.interval);
                    Scope::All
                }
                () = wait_until(self.confirmations.values().min().copied()) => {
                    let now = Instant::now();
                    let due = self.confirmations.extract_if(|_, at| *at <= now);
                    Scope::Rules(due.map(|(rule, _)| rule).collect())
                }
                () = wait_until(next_check) => {
                    next_check = None;
                    match self.due_series(&mut arrivals).await {
                        Ok(due) if !due.is_empty() => Scope::Series(due),
                        Ok(_) => continue,
                        Err(_) => {
                            next_check = Some(Instant::now() + RETRY_DELAY);
                            continue;
                        }
                    }
                }
                changed = versions.changed(), if edits_due.is_none() => {
                    if changed.is_err() {
                        return LeadershipError::TaskEnded;
                    }
                    edits_due = Some(Instant::now() + EDIT_DEBOUNCE);
                    continue;
                }
                () = wait_until(edits_due) => {
                    edits_due = None;
                    self.watched = self.directory.read(Entries::watched);
                    arrivals.collect_unwatched(&self.watched, Instant::now());
                    // Removed rules that have not ended are part of every scope.
                    Scope::Rules(self.directory.read(|entries| self.evaluator.edited(entries)))
                }
                batch = batches.recv() => {
                    let Some((batch, position)) = batch else { return LeadershipError::TaskEnded };
                    arrivals.record(batch, position, &self.watched, Instant::now());
                    continue;
                }
            };
            match self.evaluate(&scope).await {
                Ok(()) => {}
                Err(EvaluationError::Store(error)) => {
                    tracing::warn!(%error, "alert evaluation failed; retrying");
                    self.evaluation.metrics.failures.inc();
                    planned = planned.min(Instant::now() + RETRY_DELAY);
                }
                Err(EvaluationError::Journal(error)) => return LeadershipError::Journal(error),
            }
            let (unconfirmed, at) =
                (self.evaluator.awaiting_confirmation(), Instant::now() + CONFIRMATION_DELAY);
            self.confirmations.retain(|rule, _| unconfirmed.contains(rule));
            for rule in unconfirmed {
                self.confirmations.entry(rule).or_insert(at);
            }
        }
    }

    async fn evaluate(&mut self, scope: &Scope) -> Result<(), EvaluationError> {
        let started = Instant::now();
        let plan = self.directory.read(|entries| self.evaluator.plan(entries, scope));
        if *scope == Scope::All {
            self.evaluation.metrics.rules.set(i64::try_from(plan.rules()).unwrap_or(i64::MAX));
        }
        if plan.is_empty() {
            return Ok(());
        }
        let snapshot = self.snapshot(plan.windows.projects()).await?;
        let now_ms = service::clock::now_ms();
        let values =
            plan.windows.read(&self.evaluation.reads.store, &snapshot, now_ms, &mut self.slow).await?;
        if values.unread() > 0 {
            tracing::warn!(series = values.unread(), "series of alert rules not read: time limit exceeded");
            self.evaluation.metrics.unread.inc_by(values.unread() as u64);
        }
        self.evaluation.metrics.queries.inc_by(values.queries());
        let mut transitions = self.evaluator.transitions(&plan, &values, now_ms);
        if !transitions.is_empty() {
            let series: HashSet<Series> = transitions
                .iter()
                .map(|changed| (changed.subject.project_id.clone(), changed.subject.metric_id.clone()))
                .collect();
            let names = self.evaluation.reads.store.names(&snapshot, &series, now_ms).await?;
            for changed in &mut transitions {
                self.evaluator.name(&mut changed.subject, &names);
            }
            let records = transitions.iter().map(RuleTransition::record).collect();
            let offset = self.journal.write(records).await?;
            self.evaluation.follower.reached(offset).await;
            let changed = transitions.iter().filter(|it| it.transition.from != it.transition.to);
            self.evaluation.metrics.changes.inc_by(changed.count() as u64);
            self.evaluator.apply(transitions);
        }
        self.evaluation.metrics.duration.observe(started.elapsed().as_secs_f64());
        Ok(())
    }

    /// Returns the store to read, with the unapplied deletions of these projects.
    async fn snapshot(&self, projects: BTreeSet<&str>) -> Result<Snapshot, Error> {
        let store = self.evaluation.reads.generations.current().await?;
        let open = |project: String| async move {
            let open = self.evaluation.reads.deletions.of_project(&project, store.number).await?.unapplied;
            Ok::<_, Error>((project, open))
        };
        let projects: Vec<_> = projects.into_iter().map(|project| open(project.to_owned())).collect();
        let open: Vec<(String, DeletionMask)> =
            stream::iter(projects).buffer_unordered(MAX_DELETION_LOOKUPS).try_collect().await?;
        let hidden = open.into_iter().filter(|(_, open)| !open.is_empty()).collect();
        Ok(Snapshot { database: store.database, hidden })
    }

    /// Returns the series with new points that are stored.
    async fn due_series(&self, arrivals: &mut Arrivals) -> Result<HashSet<Series>, Error> {
        let database = self.evaluation.reads.generations.current().await?.database;
        let heads = self.evaluation.reads.store.heads(&database).await?;
        Ok(arrivals.take_due(&heads.last, Instant::now(), service::clock::now_ms()))
    }
}

/// Reason why an evaluation failed.
enum EvaluationError {
    /// The store could not be read. The evaluation is repeated.
    Store(Error),
    /// The outcome of the transitions is unknown. Leadership ends.
    Journal(JournalError),
}

impl From<Error> for EvaluationError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<JournalError> for EvaluationError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

/// Waits until the instant; for ever if there is none.
async fn wait_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

/// Returns the next scheduled instant, skipping those that have passed.
fn next_evaluation(planned: Instant, interval: Duration) -> Instant {
    let now = Instant::now();
    if planned + interval > now { planned + interval } else { now + interval }
}
