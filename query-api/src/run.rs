//! Builds the query API, runs it, and shuts it down in order: first it stops being ready, then it answers the
//! requests in flight, then it stops the background tasks.
//!
//! It starts without Redis, Kafka and ClickHouse: it connects when they are available, and until then it is
//! not ready and answers 503.

use crate::app::App;
use crate::auth::OperatorToken;
use crate::metrics::Metrics;
use crate::router::router;
use crate::session::Sessions;
use crate::session::ended::EndedSessions;
use crate::settings::Settings;
use crate::usage::Usage;
use alerting::follower::Follower;
use alerting::history::History;
use alerting::journal::UserRecords;
use alerting::leadership::{self, Evaluation};
use alerting::lease::Lease;
use alerting::metrics::AlertMetrics;
use alerting::outgoing::client::Client;
use control::commands::Commands;
use control::directory::Directory;
use control::keys::{KeyCache, KeyCacheSettings};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::service::TowerToHyperService;
use prometheus_client::registry::Registry;
use proto::topics::Topics;
use quota::UsageReader;
use reads::cache::Cache;
use reads::deletions::DeletionReader;
use reads::engine::Engine;
use reads::generations::Generations;
use reads::scheduler::Limits;
use reads::store::Store;
use reads::stream::tail::Streams;
use reads::watermark::Watermarks;
use service::auth_throttle::AuthThrottle;
use service::client::Clients;
use service::health::{Condition, Health};
use service::kafka::KafkaBrokers;
use service::traces::{Sampling, Traces};
use service::{http, ops, stop};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Interval of the readiness checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// Timeout of the requests in flight at shutdown: less than [`stop::GRACE`], the timeout of the whole shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(stop::GRACE.as_secs() - 3);

/// The sockets of the service.
pub struct Listeners {
    /// For clients. It is bound, but accepts connections only when the service is ready.
    pub clients: TcpSocket,
    /// For health checks and metrics.
    pub operators: TcpListener,
}

/// Runs the service until `stop` is cancelled, then shuts it down in order.
pub async fn run(
    settings: Settings,
    listeners: Listeners,
    stop: CancellationToken,
) -> Result<(), Box<dyn Error>> {
    let (mut registry, metrics, health) = (Registry::default(), Metrics::default(), Health::default());
    let auth_throttle = AuthThrottle::default();
    metrics.register(&mut registry);
    let alert_metrics = AlertMetrics::default();
    alert_metrics.register(&mut registry);
    auth_throttle.register(registry.sub_registry_with_prefix("tidemark_query"));
    // Added before the operators' listener answers, as a service without conditions counts as ready.
    let kafka = health.condition("kafka");
    let redis = health.condition("redis");
    let clickhouse = health.condition("clickhouse");
    let last = CancellationToken::new();
    let read_metrics = reads::metrics::Metrics::default();
    read_metrics.register(&mut registry);
    let ops = tokio::spawn(ops::serve(listeners.operators, health.clone(), Arc::new(registry), last.clone()));

    let app = Arc::new(build(&settings, (metrics, read_metrics), auth_throttle, &last, &stop)?);
    let evaluation = evaluation(&settings, &app, alert_metrics);
    let lease = Lease::new(&settings.common.namespace, redis_access::connect(&settings.connections.redis)?);
    let alerts = tokio::spawn(leadership::run(evaluation, lease, stop.clone()));
    tokio::spawn(create_topics(
        settings.connections.kafka.clone(),
        Topics::new(&settings.common.namespace),
        kafka,
        stop.clone(),
    ));
    tokio::spawn(watch_redis(app.keys.clone(), health.clone(), redis, stop.clone()));
    tokio::spawn(watch_clickhouse(app.reads.store.clone(), clickhouse, stop.clone()));

    let traces = app.traces.clone();
    let router = router(app.clone());
    let service = move |peer: SocketAddr| {
        let (routes, peer) = (TowerToHyperService::new(router.clone()), app.clients.peer(peer.ip()));
        service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            routes.call(request)
        })
    };
    tracing::info!(listen = %settings.listen, ops_listen = %settings.ops_listen, "query API started");
    let clients = http::open(listeners.clients, &health).await?;
    tracing::info!(listen = %settings.listen, "listening for clients");
    http::serve(clients, service, http::HalfClosed::Cancel, stop, DRAIN_TIMEOUT).await;
    last.cancel();
    let _ = tokio::task::spawn_blocking(move || traces.stop()).await;
    let _ = tokio::join!(alerts, ops);
    Ok(())
}

/// Builds the dependencies of the handlers. `last` is cancelled after the last request was answered, `stop`
/// when the service stops accepting requests.
fn build(
    settings: &Settings,
    (metrics, read_metrics): (Metrics, reads::metrics::Metrics),
    auth_throttle: AuthThrottle,
    last: &CancellationToken,
    stop: &CancellationToken,
) -> Result<App, Box<dyn Error>> {
    let (connections, namespace) = (&settings.connections, &settings.common.namespace);
    let redis = redis_access::connect(&connections.redis)?;
    let topics = Topics::new(namespace);
    let store = Store::new(&settings.clickhouse, settings.query_timeout, read_metrics.clone())?
        .with_limits(Limits::for_slots(settings.concurrent_queries));
    let cache = Cache::new(read_metrics.clone());
    let reads = Engine {
        watermarks: Watermarks::start(
            &connections.kafka,
            &topics.metrics,
            settings.max_publish_time,
            read_metrics,
            last.clone(),
        )?,
        streams: Streams::start(
            &connections.kafka,
            &topics.metrics,
            settings.streams.clone(),
            cache.clone(),
            stop.clone(),
        )?,
        generations: Generations::new(namespace, redis.clone()),
        deletions: DeletionReader::new(namespace, redis.clone()),
        store: store.clone(),
        cache,
    };
    Ok(App {
        keys: KeyCache::start(&connections.redis, namespace, KeyCacheSettings::default(), last.clone())?,
        directory: Directory::new(namespace, redis.clone()),
        commands: Commands::new(&connections.kafka, namespace, redis.clone())?,
        operator: OperatorToken::new(&settings.operator_token),
        sessions: Sessions::new(&settings.operator_token),
        ended_sessions: EndedSessions::new(namespace, redis.clone()),
        quota_usage: UsageReader::new(namespace, redis.clone()),
        usage: Usage::new(namespace, store, redis, settings.notices),
        reads: Arc::new(reads),
        clients: Clients::new(settings.trusted_proxies.clone(), None),
        auth_throttle,
        alerts: Follower::start(&connections.kafka, namespace, stop.clone()),
        user_records: UserRecords::new(&connections.kafka, namespace)?,
        history: History::new(&settings.clickhouse, &connections.kafka, namespace)?,
        alert_interval: settings.alert_interval,
        outgoing: Client::new(settings.allow_outgoing.clone())?,
        webhook_url: settings.webhook_url.clone(),
        traces: Traces::start(
            "tidemark-query-api",
            &settings.common.traces,
            &connections.roots,
            Sampling::ByRatio,
        )?,
        metrics,
    })
}

fn evaluation(settings: &Settings, app: &App, metrics: AlertMetrics) -> Evaluation {
    Evaluation {
        brokers: settings.connections.kafka.clone(),
        namespace: settings.common.namespace.clone(),
        interval: settings.alert_interval,
        public_url: settings.public_url.as_str().into(),
        follower: app.alerts.clone(),
        reads: app.reads.clone(),
        history: app.history.clone(),
        client: app.outgoing.clone(),
        metrics,
    }
}

/// Creates missing topics, and retries until Kafka is available.
async fn create_topics(brokers: KafkaBrokers, topics: Topics, made: Condition, stop: CancellationToken) {
    made.set(service::kafka::create_topics(&brokers, &topics, &stop).await);
}

async fn watch_redis(keys: KeyCache, health: Health, believed: Condition, stop: CancellationToken) {
    loop {
        believed.set(keys.connected());
        tokio::select! {
            () = stop.cancelled() => break health.stop(),
            () = sleep(CHECK_INTERVAL / 2) => {}
        }
    }
}

async fn watch_clickhouse(store: Store, answers: Condition, stop: CancellationToken) {
    let check = async {
        loop {
            answers.set(store.is_reachable().await);
            sleep(CHECK_INTERVAL).await;
        }
    };
    tokio::select! {
        () = check => {}
        () = stop.cancelled() => {}
    }
}
