//! Starts the gateway, runs it, and shuts it down in order: readiness goes false, requests in flight are
//! answered, prefetched quota is refunded, outcomes are reported, and queued records are flushed.

use ::idempotency::Claims;
use ::quota::Quotas;
use clap::Parser;
use control::keys::{KeyCache, KeyCacheSettings};
use gateway::Gateway;
use gateway::idempotency::{self, Idempotency};
use gateway::kafka::{self, KafkaSetupError, TopicSetup};
use gateway::metrics::Metrics;
use gateway::outcomes::Outcomes;
use gateway::outcomes::report::OutcomeTopic;
use gateway::publish::{self, KafkaPublisher};
use gateway::settings::{Arguments, Settings};
use hyper::service::service_fn;
use prometheus_client::registry::Registry;
use proto::topics::Topics;
use service::auth_throttle::AuthThrottle;
use service::client::Clients;
use service::health::{Condition, Health, Watch};
use service::traces::{Sampling, Traces};
use service::{http, logs, ops, settings, stop};
use std::convert::Infallible;
use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

/// Time without a delivery report after which the process no longer counts as live. The producer reports every
/// delivery, successful or not, long before.
const DELIVERY_STALL_LIMIT: Duration = Duration::from_secs(180);

/// Interval at which readiness follows the state of the Redis connection.
const READINESS_INTERVAL: Duration = Duration::from_millis(250);

/// The gateway over the real Redis and Kafka.
type ProductionGateway = Gateway<KeyCache, Quotas, Claims, Arc<KafkaPublisher>>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(service::probe::Command::Health) = arguments.command {
        return service::probe::health(&arguments.ops_listen);
    }
    if arguments.openapi {
        // The reader may close the pipe early; that is not an error.
        let _ = writeln!(std::io::stdout(), "{}", gateway::openapi::text());
        return ExitCode::SUCCESS;
    }
    let validate = arguments.common.validate;
    let settings = match settings::resolve(arguments.check(), validate) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    logs::init(&settings.common.log);
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run(settings)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "gateway failed");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings) -> Result<(), Box<dyn Error>> {
    let stop = stop::on_signal()?;
    let client_socket = http::reserve(settings.listen, "--listen")?;
    let ops_listener = http::bind(settings.ops_listen, "--ops-listen").await?;

    let (health, telemetry) = (Health::default(), Telemetry::default());
    // Registered before the operations port answers: a service without conditions counts as ready.
    let (kafka_reachable, redis_reachable) = (health.condition("kafka"), health.condition("redis"));
    let deliveries = health.watch("deliveries", DELIVERY_STALL_LIMIT);
    let ops_stop = CancellationToken::new();
    let registry = Arc::new(telemetry.registry());
    let ops = tokio::spawn(ops::serve(ops_listener, health.clone(), registry, ops_stop.clone()));

    let common = &settings.common;
    let topics = Topics::new(&common.namespace);
    let publisher = Arc::new(KafkaPublisher::new(
        &settings.connections.kafka,
        topics.metrics.clone(),
        settings.delivery_timeout,
        telemetry.metrics.clone(),
    )?);
    let traces =
        Traces::start("tidemark-gateway", &common.traces, &settings.connections.roots, Sampling::ByRatio)?;
    let gateway = build_gateway(&settings, &telemetry, publisher.clone(), traces.clone(), ops_stop.clone())?;
    let gateway = Arc::new(gateway);
    report_readiness(health.clone(), redis_reachable, gateway.keys.clone(), stop.clone());

    let outcome_topic = OutcomeTopic { publisher: publisher.clone(), topic: topics.outcomes.clone() };
    let reporting_stop = CancellationToken::new();
    let reporting =
        tokio::spawn(telemetry.outcomes.clone().report_until(outcome_topic, reporting_stop.clone()));

    tracing::info!(listen = %settings.listen, ops_listen = %settings.ops_listen, "gateway started");
    let setup = TopicSetup {
        brokers: settings.connections.kafka.clone(),
        topics,
        allow_single_replica: settings.allow_single_replica,
    };
    let result: Result<(), Box<dyn Error>> = tokio::select! {
        served = serve(client_socket, settings.listen, gateway.clone(), &health, stop) => served.map_err(Into::into),
        error = run_kafka(setup, publisher.clone(), kafka_reachable, deliveries) => Err(error.into()),
    };
    gateway.quota.stop().await;
    reporting_stop.cancel();
    let _ = reporting.await;
    let _ = spawn_blocking(move || publisher.flush(settings.delivery_timeout)).await;
    let _ = spawn_blocking(move || traces.stop()).await;
    ops_stop.cancel();
    let _ = ops.await;
    result
}

/// Everything that is served at `/metrics`.
#[derive(Default)]
struct Telemetry {
    metrics: Metrics,
    outcomes: Outcomes,
    auth_throttle: AuthThrottle,
}

impl Telemetry {
    fn registry(&self) -> Registry {
        let mut registry = Registry::default();
        self.metrics.register(&mut registry);
        self.outcomes.register(&mut registry);
        self.auth_throttle.register(registry.sub_registry_with_prefix("tidemark_gateway"));
        registry
    }
}

/// Connects the request handler to Redis and Kafka. The key cache runs until `cache_stop`.
fn build_gateway(
    settings: &Settings,
    telemetry: &Telemetry,
    publisher: Arc<KafkaPublisher>,
    traces: Traces,
    cache_stop: CancellationToken,
) -> Result<ProductionGateway, Box<dyn Error>> {
    let (common, metrics) = (&settings.common, telemetry.metrics.clone());
    let cache = KeyCacheSettings { outage_grace: settings.key_outage_grace, ..KeyCacheSettings::default() };
    let keys = KeyCache::start(&settings.connections.redis, &common.namespace, cache, cache_stop)?;
    metrics.quota.set_policy(settings.quota_outage);
    let quota = Quotas::new(
        &settings.connections.redis,
        &common.namespace,
        settings.quota_outage,
        metrics.quota.clone(),
    )?;
    let lease = idempotency::lease_duration(settings.delivery_timeout + publish::DEADLINE_MARGIN);
    let claims = Claims::new(&settings.connections.redis, &common.namespace, lease)?;
    // Longer than the lease, so that a retry right after a gateway crash outlasts the dead gateway's claim.
    let max_wait = lease + Duration::from_secs(1);
    let idempotency = Idempotency::new(claims, max_wait, metrics.idempotency.clone());
    if settings.address_hash_key.is_none() {
        tracing::warn!(
            "--address-hash-key is not set: the usage report counts each client address anew for every gateway and restart"
        );
    }
    Ok(Gateway {
        keys,
        quota,
        idempotency,
        publisher,
        body_timeouts: settings.body_timeouts,
        clients: Clients::new(settings.trusted_proxies.clone(), settings.address_hash_key.as_deref()),
        auth_throttle: telemetry.auth_throttle.clone(),
        outcomes: telemetry.outcomes.clone(),
        traces,
        metrics,
    })
}

/// Serves clients until `stop`, starting once the gateway is ready.
async fn serve(
    socket: TcpSocket,
    listen: SocketAddr,
    gateway: Arc<ProductionGateway>,
    health: &Health,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let service = move |peer: SocketAddr| {
        let (gateway, peer) = (gateway.clone(), gateway.clients.peer(peer.ip()));
        service_fn(move |request| {
            let gateway = gateway.clone();
            async move { Ok::<_, Infallible>(gateway.handle(request, peer).await) }
        })
    };
    let listener = http::open(socket, health).await?;
    tracing::info!(%listen, "listening for clients");
    http::serve(listener, service, http::HalfClosed::Answer, stop, stop::GRACE).await;
    Ok(())
}

/// Prepares the topics, then monitors Kafka. Returns only if Kafka cannot keep what an acknowledgement
/// promises.
async fn run_kafka(
    setup: TopicSetup,
    publisher: Arc<KafkaPublisher>,
    reachable: Condition,
    deliveries: Watch,
) -> KafkaSetupError {
    if let Err(error) = kafka::prepare(setup, &publisher).await {
        return error;
    }
    match kafka::monitor(publisher, reachable, deliveries).await {}
}

/// Sets the readiness condition `redis` while keys can be looked up, and marks the service as stopping at
/// `stop`.
fn report_readiness(health: Health, redis: Condition, keys: KeyCache, stop: CancellationToken) {
    tokio::spawn(async move {
        loop {
            redis.set(keys.connected());
            tokio::select! {
                () = stop.cancelled() => break health.stop(),
                () = tokio::time::sleep(READINESS_INTERVAL) => {}
            }
        }
    });
}
