//! A replica's time as the one that evaluates.
//!
//! It takes the lease, opens the journal (which fences every predecessor off), writes that its term begins and waits
//! until it reads that back: then it knows all that was ever decided. It ends when the lease is lost, the journal fails,
//! or the process stops; whatever it had in hand then, the next term finds in the topic.

use super::arrivals::Arrivals;
use super::deliver::{Deliverer, State};
use super::directory::{Directory, Entries};
use super::evaluate::{Evaluator, Scope};
use super::follower::Follower;
use super::history::History;
use super::journal::{Journal, JournalError};
use super::lease::{INTERVAL, Lease};
use super::metrics::AlertMetrics;
use crate::outgoing::client::Client;
use control::control_log::LogError;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use proto::Message as _;
use proto::topics::Topics;
use proto::v1::{AlertRecord, AlertTerm, MetricBatch, alert_record::Kind};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use reads::Error;
use reads::deletions::DeletionMask;
use reads::engine::Engine;
use reads::windows::{Series, SlowSeries, Snapshot};
use service::kafka::KafkaBrokers;
use service::kafka::reader::{self, Reader};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// How soon bad news is looked at a second time.
const CONFIRM: Duration = Duration::from_secs(1);
/// How long changes of rules are collected before the rules are looked through.
const SETTLE: Duration = Duration::from_millis(50);
/// How soon an evaluation that failed is repeated.
const AGAIN: Duration = Duration::from_secs(2);
/// Of so many projects it is asked at once what was deleted.
const PROJECTS: usize = 32;
/// Between two terms.
const PAUSE: Duration = Duration::from_secs(1);
/// How long Kafka may take to answer each question.
const ANSWER: Duration = Duration::from_secs(5);
/// How often partitions are looked for that were added.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a term needs.
#[derive(Clone)]
pub struct Evaluation {
    /// Kafka.
    pub brokers: KafkaBrokers,
    /// The installation.
    pub namespace: String,
    /// How often all rules are evaluated.
    pub interval: Duration,
    /// Where people find the page.
    pub public_url: Arc<str>,
    /// What was decided.
    pub follower: Follower,
    /// The read engine.
    pub reads: Arc<Engine>,
    /// Where the history is kept.
    pub history: History,
    /// Who calls receivers.
    pub client: Client,
    /// What is counted.
    pub metrics: AlertMetrics,
}

/// Why a term ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the journal: {0}")]
    Journal(#[from] JournalError),
    #[error("the control log: {0}")]
    Control(#[from] LogError),
    #[error("the metrics' topic: {0}")]
    Tail(#[from] KafkaError),
    #[error("a part of it ended")]
    Part,
}

/// Evaluates whenever this replica is the one to do it, until `stop`.
pub async fn run(evaluation: Evaluation, lease: Lease, stop: CancellationToken) {
    let terms = async {
        loop {
            match lease.acquire().await {
                Ok(true) => {}
                Ok(false) => {
                    sleep(INTERVAL).await;
                    continue;
                }
                Err(error) => {
                    tracing::debug!(%error, "the lease cannot be taken");
                    sleep(INTERVAL).await;
                    continue;
                }
            }
            tokio::select! {
                Err(end) = term(&evaluation, &lease) => tracing::warn!(%end, "the evaluation of alerts was interrupted"),
                () = lease.hold() => tracing::info!("another replica evaluates alerts now"),
            }
            evaluation.metrics.evaluates.set(0);
            sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = terms => {}
        () = stop.cancelled() => {}
    }
    lease.release().await;
}

async fn term(of: &Evaluation, lease: &Lease) -> Result<std::convert::Infallible, End> {
    let topics = Topics::new(&of.namespace);
    // All that is spawned ends with the term.
    let mut parts: JoinSet<End> = JoinSet::new();
    let (journal, failed) = Journal::open(&of.brokers, &of.namespace).await?;
    parts.spawn(async move { failed.await.map_or(End::Part, End::Journal) });
    let term_id = uuid::Uuid::new_v4().to_string();
    let begin = AlertRecord { kind: Some(Kind::Term(AlertTerm { term_id })) };
    let offset = journal.write(vec![begin]).await?;
    of.follower.reached(offset).await;

    let directory = Directory::new();
    let (entries, brokers, followed) = (directory.clone(), of.brokers.clone(), topics.clone());
    parts.spawn(async move { End::Control(entries.follow(&brokers, &followed).await) });
    let (arrived, arrivals) = mpsc::channel(1024);
    let (consumer, partitions) = tail(&of.brokers, &topics.metrics).await?;
    parts.spawn(async move { End::Tail(forward(consumer, partitions, arrived).await) });
    let evaluate = async {
        directory.filled().await;
        tracing::info!("this replica evaluates alerts");
        of.metrics.evaluates.set(1);
        let deliverer = Deliverer {
            follower: of.follower.clone(),
            journal: journal.clone(),
            directory: directory.clone(),
            client: of.client.clone(),
            lease: lease.clone(),
            public_url: of.public_url.clone(),
            metrics: of.metrics.clone(),
            state: Arc::new(State::default()),
        };
        let rounds = Rounds {
            of,
            journal: &journal,
            directory: &directory,
            evaluator: of.follower.look(|book| Evaluator::new(book.rules())),
            watched: HashSet::new(),
            confirm: HashMap::new(),
            slow: SlowSeries::default(),
        };
        tokio::join!(deliverer.run(), of.history.clone().run(), rounds.run(arrivals)).2
    };
    tokio::select! {
        end = evaluate => Err(end),
        end = parts.join_next() => Err(end.and_then(Result::ok).unwrap_or(End::Part)),
    }
}

/// The evaluations of a term.
struct Rounds<'a> {
    of: &'a Evaluation,
    journal: &'a Journal,
    directory: &'a Directory,
    evaluator: Evaluator,
    /// The series that rules are over.
    watched: HashSet<Series>,
    /// When suspects are looked at again: each at its own time, or evaluations of others would put it off for ever.
    confirm: HashMap<String, Instant>,
    slow: SlowSeries,
}

/// A batch, and where it is in the log.
type Arrived = (MetricBatch, (i32, i64));

impl Rounds<'_> {
    async fn run(mut self, mut arrived: mpsc::Receiver<Arrived>) -> End {
        let mut arrivals = Arrivals::default();
        let mut planned = Instant::now();
        let mut look: Option<Instant> = None;
        let mut versions = self.directory.versions();
        versions.mark_changed();
        let mut settled: Option<Instant> = None;
        // The first evaluation is of all rules.
        let _ = self.directory.look(|entries| self.evaluator.edited(entries));
        loop {
            // Set once and kept, or batches that never cease would put it off for ever.
            look = look.or_else(|| arrivals.wait(Instant::now()).map(|wait| Instant::now() + wait));
            let scope = tokio::select! {
                () = at(Some(planned)) => {
                    self.of.metrics.lateness.observe(planned.elapsed().as_secs_f64());
                    planned = next(planned, self.of.interval);
                    Scope::All
                }
                () = at(self.confirm.values().min().copied()) => {
                    let now = Instant::now();
                    let due = self.confirm.extract_if(|_, at| *at <= now);
                    Scope::Rules(due.map(|(rule, _)| rule).collect())
                }
                () = at(look) => {
                    look = None;
                    match self.due(&mut arrivals).await {
                        Ok(due) if !due.is_empty() => Scope::Series(due),
                        Ok(_) => continue,
                        Err(_) => {
                            look = Some(Instant::now() + AGAIN);
                            continue;
                        }
                    }
                }
                changed = versions.changed(), if settled.is_none() => {
                    if changed.is_err() {
                        return End::Part;
                    }
                    settled = Some(Instant::now() + SETTLE);
                    continue;
                }
                () = at(settled) => {
                    settled = None;
                    self.watched = self.directory.look(Entries::watched);
                    arrivals.watch(&self.watched, Instant::now());
                    // And, in whatever scope, those that are no more and did not end well.
                    Scope::Rules(self.directory.look(|entries| self.evaluator.edited(entries)))
                }
                batch = arrived.recv() => {
                    let Some((batch, place)) = batch else { return End::Part };
                    arrivals.note(batch, place, &self.watched, Instant::now());
                    continue;
                }
            };
            match self.evaluate(&scope).await {
                Ok(()) => {}
                Err(Failed::Store(error)) => {
                    tracing::warn!(%error, "alerts could not be evaluated; trying again");
                    self.of.metrics.failures.inc();
                    planned = planned.min(Instant::now() + AGAIN);
                }
                Err(Failed::Journal(error)) => return End::Journal(error),
            }
            let (suspects, at) = (self.evaluator.suspects(), Instant::now() + CONFIRM);
            self.confirm.retain(|rule, _| suspects.contains(rule));
            for rule in suspects {
                self.confirm.entry(rule).or_insert(at);
            }
        }
    }

    async fn evaluate(&mut self, scope: &Scope) -> Result<(), Failed> {
        let begun = Instant::now();
        let pass = self.directory.look(|entries| self.evaluator.plan(entries, scope));
        if *scope == Scope::All {
            self.of.metrics.rules.set(i64::try_from(pass.rules()).unwrap_or(i64::MAX));
        }
        if pass.is_empty() {
            return Ok(());
        }
        let seen = self.seen(pass.windows.projects()).await?;
        let now_ms = service::clock::now_ms();
        let answers = pass.windows.read(&self.of.reads.store, &seen, now_ms, &mut self.slow).await?;
        if answers.unread() > 0 {
            tracing::warn!(
                series = answers.unread(),
                "series of alert rules are too long to be read in time"
            );
            self.of.metrics.unread.inc_by(answers.unread() as u64);
        }
        self.of.metrics.queries.inc_by(answers.queries());
        let mut changes = self.evaluator.changes(&pass, &answers, now_ms);
        if !changes.is_empty() {
            let series: HashSet<Series> = changes
                .iter()
                .map(|changed| (changed.subject.project_id.clone(), changed.subject.metric_id.clone()))
                .collect();
            let names = self.of.reads.store.names(&seen, &series, now_ms).await?;
            for changed in &mut changes {
                self.evaluator.name(&mut changed.subject, &names);
            }
            let records = changes.iter().map(super::evaluate::Changed::record).collect();
            let offset = self.journal.write(records).await?;
            self.of.follower.reached(offset).await;
            let moved = changes.iter().filter(|changed| changed.change.from != changed.change.to);
            self.of.metrics.changes.inc_by(moved.count() as u64);
            self.evaluator.apply(changes);
        }
        self.of.metrics.duration.observe(begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// What there is to read, and what was deleted of these projects.
    async fn seen(&self, projects: BTreeSet<&str>) -> Result<Snapshot, Error> {
        let store = self.of.reads.generations.current().await?;
        let open = |project: String| async move {
            let open = self.of.reads.deletions.of_project(&project, store.number).await?.unapplied;
            Ok::<_, Error>((project, open))
        };
        let projects: Vec<_> = projects.into_iter().map(|project| open(project.to_owned())).collect();
        let open: Vec<(String, DeletionMask)> =
            stream::iter(projects).buffer_unordered(PROJECTS).try_collect().await?;
        let hidden = open.into_iter().filter(|(_, open)| !open.is_empty()).collect();
        Ok(Snapshot { database: store.database, hidden })
    }

    /// The series that received points which can be read now.
    async fn due(&self, arrivals: &mut Arrivals) -> Result<HashSet<Series>, Error> {
        let database = self.of.reads.generations.current().await?.database;
        let heads = self.of.reads.store.heads(&database).await?;
        Ok(arrivals.take(&heads.last, Instant::now(), service::clock::now_ms()))
    }
}

/// Why an evaluation failed.
enum Failed {
    /// The store was not read: it is repeated.
    Store(Error),
    /// What became of its changes is not known: the term ends.
    Journal(JournalError),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<JournalError> for Failed {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

/// Waits for the moment; for ever if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// The next planned moment; those that have passed meanwhile are left out.
fn next(planned: Instant, interval: Duration) -> Instant {
    let now = Instant::now();
    if planned + interval > now { planned + interval } else { now + interval }
}

/// Reads the topic from its present end on; says how many partitions it has.
async fn tail(brokers: &KafkaBrokers, topic: &str) -> Result<(Reader, i32), KafkaError> {
    let mut config = service::kafka::client(brokers, "tidemark-alerts-tail");
    config
        .set("group.id", "tidemark-alerts-tail")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "latest")
        .set("fetch.wait.max.ms", "50");
    let consumer = Reader::new(&config, topic)?;
    let topic = topic.to_owned();
    // Asked now: what arrives after this is seen, what arrived before is in the first evaluation.
    let work = move || {
        let partitions = reader::partitions(&*consumer, &topic, ANSWER)?;
        let mut places = TopicPartitionList::new();
        for partition in partitions.clone() {
            let (_, end) = consumer.fetch_watermarks(&topic, partition, ANSWER)?;
            places.add_partition_offset(&topic, partition, Offset::Offset(end))?;
        }
        consumer.assign(&places)?;
        Ok((consumer, partitions.end))
    };
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(KafkaError::Canceled))
}

/// Passes batches on as they come, those of partitions that are added meanwhile too.
async fn forward(consumer: Reader, mut partitions: i32, arrived: mpsc::Sender<Arrived>) -> KafkaError {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        let message = tokio::select! {
            message = consumer.recv() => message,
            _ = look.tick() => {
                // Kafka being away is no reason to end anything.
                let Ok(found) = consumer.partitions(ANSWER).await else { continue };
                for partition in partitions..found.end {
                    if let Err(error) = consumer.add_partition(partition) {
                        return error;
                    }
                }
                partitions = partitions.max(found.end);
                continue;
            }
        };
        let message = match message {
            Ok(message) => message,
            Err(error) => return error,
        };
        // What is no batch is the worker's to deal with.
        let Ok(batch) = MetricBatch::decode(message.payload().unwrap_or_default()) else { continue };
        if arrived.send((batch, (message.partition(), message.offset()))).await.is_err() {
            return KafkaError::Canceled;
        }
    }
}
