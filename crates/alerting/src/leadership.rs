//! Leadership: the time in which a replica evaluates rules and delivers messages.
//!
//! The replica acquires the lease, opens the journal (which fences every predecessor), writes a record of the beginning of
//! its leadership, and waits until it has read that record back: then it knows all earlier decisions. Leadership ends when
//! the lease is lost, the journal fails or the process stops. The next leader finds unfinished work in the topic.

use super::delivery::{Deliverer, DelivererState};
use super::directory::Directory;
use super::evaluation_loop::EvaluationLoop;
use super::follower::Follower;
use super::history::History;
use super::journal::{Journal, JournalError};
use super::lease::{INTERVAL, Lease};
use super::metrics::AlertMetrics;
use super::metrics_tail;
use crate::outgoing::client::Client;
use control::control_log::LogError;
use proto::topics::Topics;
use proto::v1::{AlertRecord, AlertTerm, alert_record::Kind};
use rdkafka::error::KafkaError;
use reads::engine::Engine;
use service::kafka::KafkaBrokers;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Delay before the replica tries to lead again.
const LEAD_DELAY: Duration = Duration::from_secs(1);

/// Dependencies of the leader.
#[derive(Clone)]
pub struct Evaluation {
    /// The Kafka cluster.
    pub brokers: KafkaBrokers,
    /// Namespace of the installation.
    pub namespace: String,
    /// Interval between evaluations of all rules.
    pub interval: Duration,
    /// URL of the page, for links in messages.
    pub public_url: Arc<str>,
    /// Alert states.
    pub follower: Follower,
    /// The read engine.
    pub reads: Arc<Engine>,
    /// Alert history.
    pub history: History,
    /// HTTP client for receivers.
    pub client: Client,
    /// Prometheus metrics.
    pub metrics: AlertMetrics,
}

/// Reason why leadership ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeadershipError {
    #[error("journal: {0}")]
    Journal(#[from] JournalError),
    #[error("control log: {0}")]
    Control(#[from] LogError),
    #[error("metrics topic: {0}")]
    MetricsTopic(#[from] KafkaError),
    #[error("a task ended unexpectedly")]
    TaskEnded,
}

/// Leads whenever this replica holds the lease, until `stop`.
pub async fn run(evaluation: Evaluation, lease: Lease, stop: CancellationToken) {
    let lead_repeatedly = async {
        loop {
            match lease.acquire().await {
                Ok(true) => {}
                Ok(false) => {
                    sleep(INTERVAL).await;
                    continue;
                }
                Err(error) => {
                    tracing::debug!(%error, "lease not acquired: Redis unavailable");
                    sleep(INTERVAL).await;
                    continue;
                }
            }
            tokio::select! {
                Err(error) = lead(&evaluation, &lease) => {
                    tracing::warn!(%error, "alert evaluation interrupted; retrying");
                }
                () = lease.hold() => tracing::info!("leadership lost: another replica evaluates alert rules"),
            }
            evaluation.metrics.evaluates.set(0);
            sleep(LEAD_DELAY).await;
        }
    };
    tokio::select! {
        () = lead_repeatedly => {}
        () = stop.cancelled() => {}
    }
    lease.release().await;
}

async fn lead(evaluation: &Evaluation, lease: &Lease) -> Result<std::convert::Infallible, LeadershipError> {
    let topics = Topics::new(&evaluation.namespace);
    // All spawned tasks end with the leadership.
    let mut tasks: JoinSet<LeadershipError> = JoinSet::new();
    let (journal, failed) = Journal::open(&evaluation.brokers, &evaluation.namespace).await?;
    tasks.spawn(async move { failed.await.map_or(LeadershipError::TaskEnded, LeadershipError::Journal) });
    let term_id = uuid::Uuid::new_v4().to_string();
    let start = AlertRecord { kind: Some(Kind::Term(AlertTerm { term_id })) };
    let offset = journal.write(vec![start]).await?;
    evaluation.follower.reached(offset).await;

    let directory = Directory::new();
    let (reader, brokers, control_topics) = (directory.clone(), evaluation.brokers.clone(), topics.clone());
    tasks.spawn(async move { LeadershipError::Control(reader.follow(&brokers, &control_topics).await) });
    let (sender, batches) = mpsc::channel(1024);
    let (consumer, partitions) = metrics_tail::open(&evaluation.brokers, &topics.metrics).await?;
    tasks.spawn(async move {
        LeadershipError::MetricsTopic(metrics_tail::forward(consumer, partitions, sender).await)
    });
    let work = async {
        directory.loaded().await;
        tracing::info!("leadership acquired: this replica evaluates alert rules");
        evaluation.metrics.evaluates.set(1);
        let deliverer = Deliverer {
            follower: evaluation.follower.clone(),
            journal: journal.clone(),
            directory: directory.clone(),
            client: evaluation.client.clone(),
            lease: lease.clone(),
            public_url: evaluation.public_url.clone(),
            metrics: evaluation.metrics.clone(),
            state: Arc::new(DelivererState::default()),
        };
        let evaluations = EvaluationLoop::new(evaluation, &journal, &directory);
        tokio::join!(deliverer.run(), evaluation.history.clone().run(), evaluations.run(batches)).2
    };
    tokio::select! {
        error = work => Err(error),
        ended = tasks.join_next() => Err(ended.and_then(Result::ok).unwrap_or(LeadershipError::TaskEnded)),
    }
}
