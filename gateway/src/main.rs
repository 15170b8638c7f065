//! Wires the gateway up, runs it, and stops it in order: not ready, requests in flight answered, outcomes reported,
//! records flushed.

use accounts::claims::Claims;
use accounts::keys::{KeyCache, KeyCacheSettings};
use accounts::quota::Quotas;
use clap::Parser;
use gateway::Gateway;
use gateway::idempotency::{self, Idempotency};
use gateway::kafka::{self, Preparation, Unfit};
use gateway::metrics::Metrics;
use gateway::outcomes::Outcomes;
use gateway::outcomes::report::OutcomeTopic;
use gateway::publish::{self, KafkaPublisher};
use gateway::settings::{Arguments, Settings};
use hyper::service::service_fn;
use prometheus_client::registry::Registry;
use proto::topics::Topics;
use service::client::Clients;
use service::health::{Condition, Health, Watch};
use service::slowdown::Slowdown;
use service::traces::{Decided, Traces};
use service::{http, logs, ops, settings, stop};
use std::convert::Infallible;
use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

/// How long deliveries may stand still before the process counts as stuck. The producer reports each one, delivered or
/// not, long before.
const STUCK: Duration = Duration::from_secs(180);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(service::probe::Command::Health) = arguments.command {
        return service::probe::health(&arguments.ops_listen);
    }
    if arguments.openapi {
        // A reader that has seen enough is no fault.
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
            tracing::error!(%error, "the gateway cannot run");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings) -> Result<(), Box<dyn Error>> {
    let stop = stop::on_signal()?;
    let clients = http::reserve(settings.listen, "--listen")?;
    let operators = http::bind(settings.ops_listen, "--ops-listen").await?;

    let (mut registry, metrics, health) = (Registry::default(), Metrics::default(), Health::default());
    let (outcomes, slowdown) = (Outcomes::default(), Slowdown::default());
    metrics.register(&mut registry);
    outcomes.register(&mut registry);
    slowdown.register(registry.sub_registry_with_prefix("tidemark_gateway"));
    // Before anybody can ask: what has no conditions is ready.
    let (kafka_reached, redis_reached) = (health.condition("kafka"), health.condition("redis"));
    let deliveries = health.watch("deliveries", STUCK);
    let ops_stop = CancellationToken::new();
    let ops = tokio::spawn(ops::serve(operators, health.clone(), Arc::new(registry), ops_stop.clone()));

    let common = &settings.common;
    let topics = Topics::new(&common.namespace);
    let cache = KeyCacheSettings { outage_grace: settings.key_outage_grace, ..KeyCacheSettings::default() };
    let keys = KeyCache::start(&common.redis_url, &common.namespace, cache, ops_stop.clone())?;
    metrics.quota.policy(settings.quota_outage);
    let quota =
        Quotas::new(&common.redis_url, &common.namespace, settings.quota_outage, metrics.quota.clone())?;
    let lease = idempotency::lease(settings.delivery_timeout + publish::SLACK);
    let claims = Claims::new(&common.redis_url, &common.namespace, lease)?;
    // A repeat that comes just after a crash outlasts the lease.
    let idempotency = Idempotency::new(claims, lease + Duration::from_secs(1), metrics.idempotency.clone());
    let publisher = Arc::new(KafkaPublisher::new(
        &common.kafka_brokers,
        topics.metrics.clone(),
        settings.delivery_timeout,
        metrics.clone(),
    )?);
    let destination = OutcomeTopic { publisher: publisher.clone(), topic: topics.outcomes.clone() };
    let last_answer = CancellationToken::new();
    let reporting = tokio::spawn(outcomes.clone().keep_reporting(destination, last_answer.clone()));
    if settings.address_hash_key.is_none() {
        tracing::warn!(
            "no --address-hash-key is set: the usage report counts a client's address anew for each gateway and start"
        );
    }
    let preparation = Preparation {
        brokers: common.kafka_brokers.clone(),
        topics,
        allow_single_replica: settings.allow_single_replica,
    };
    watch_readiness(health.clone(), redis_reached, keys.clone(), stop.clone());

    let traces = Traces::start("tidemark-gateway", &settings.common.traces, Decided::Here)?;
    let gateway = Arc::new(Gateway {
        keys,
        quota: quota.clone(),
        idempotency,
        publisher: publisher.clone(),
        body_times: settings.body_times,
        clients: Clients::new(settings.trusted_proxies, settings.address_hash_key.as_deref()),
        slowdown,
        outcomes,
        traces: traces.clone(),
        metrics,
    });
    let service = move |peer: SocketAddr| {
        let (gateway, peer) = (gateway.clone(), gateway.clients.peer(peer.ip()));
        service_fn(move |request| {
            let gateway = gateway.clone();
            async move { Ok::<_, Infallible>(gateway.handle(request, peer).await) }
        })
    };
    tracing::info!(listen = %settings.listen, ops_listen = %settings.ops_listen, "the gateway runs");
    let serving = async {
        let listener = http::open(clients, &health).await?;
        tracing::info!(listen = %settings.listen, "clients are let in");
        http::serve(listener, service, http::HalfClosed::Answer, stop, stop::GRACE).await;
        Ok::<_, std::io::Error>(())
    };
    let result: Result<(), Box<dyn Error>> = tokio::select! {
        served = serving => served.map_err(Into::into),
        error = keep_kafka(preparation, publisher.clone(), kafka_reached, deliveries) => Err(error.into()),
    };
    quota.stop().await;
    last_answer.cancel();
    let _ = reporting.await;
    let _ = spawn_blocking(move || publisher.flush(settings.delivery_timeout)).await;
    let _ = spawn_blocking(move || traces.stop()).await;
    ops_stop.cancel();
    let _ = ops.await;
    result
}

/// Runs until Kafka turns out to be unfit.
async fn keep_kafka(
    preparation: Preparation,
    publisher: Arc<KafkaPublisher>,
    reachable: Condition,
    deliveries: Watch,
) -> Unfit {
    if let Err(error) = kafka::open(preparation, &publisher).await {
        return error;
    }
    match kafka::watch(publisher, reachable, deliveries).await {}
}

/// Ready while keys can be looked up, and not from the moment of the stop.
fn watch_readiness(health: Health, redis: Condition, keys: KeyCache, stop: CancellationToken) {
    tokio::spawn(async move {
        loop {
            redis.set(keys.connected());
            tokio::select! {
                () = stop.cancelled() => break health.stop(),
                () = tokio::time::sleep(Duration::from_millis(250)) => {}
            }
        }
    });
}
