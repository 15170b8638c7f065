//! The binary `ingest-worker`: reads the settings, then runs the worker or one of its commands.

use control::control_log::{ControlWriter, PUBLISH_TIMEOUT};
use control::projector::Projector;
use ingest_worker::commands;
use ingest_worker::metrics::Metrics;
use ingest_worker::settings::{Arguments, Command, Settings};
use ingest_worker::supervisor::Supervisor;
use ingest_worker::usage::Usage;
use prometheus_client::registry::Registry;
use proto::topics::Topics;
use service::health::Health;
use service::traces::{Sampling, Traces};
use std::process::ExitCode;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse_or_exit();
    if let Some(ops_listen) = arguments.health_probe() {
        return service::probe::health(ops_listen);
    }
    let validate = arguments.validate();
    let settings = match service::settings::resolve(arguments.check(), validate) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    service::logs::init(&settings.common.log);
    if !matches!(settings.command, Command::Run) {
        return match commands::run(&settings, &settings.command).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    match run(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "worker failed to start");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings) -> Result<(), Box<dyn std::error::Error>> {
    let stop = service::stop::on_signal()?;
    // Nothing is lost if the deadline passes: another worker continues from the head of each chain.
    service::stop::exit_after_grace(stop.clone());
    let health = Health::default();
    let mut registry = Registry::with_prefix("tidemark");
    let metrics = Arc::new(Metrics::new(&mut registry, health.condition("clickhouse")));
    let (common, connections) = (settings.common.clone(), settings.connections.clone());
    let topics = Topics::new(&common.namespace);
    let usage =
        Usage::new(&connections.kafka, &common.namespace, &topics, &settings.clickhouse, &mut registry)?;
    let listener = service::http::bind(settings.ops_listen, "--ops-listen").await?;
    let stop_ops = CancellationToken::new();
    let ops =
        tokio::spawn(service::ops::serve(listener, health.clone(), Arc::new(registry), stop_ops.clone()));

    let ready = health.condition("generation");
    let redis_ready = health.condition("redis");
    service::kafka::create_topics(&connections.kafka, &topics, &stop).await;
    let writer = ControlWriter::new(&connections.kafka, &topics, PUBLISH_TIMEOUT)?;
    let projector = Projector::new(&connections, &common.namespace, writer.clone())?;
    let projector = tokio::spawn(projector.run(stop.clone(), move |up_to_date| redis_ready.set(up_to_date)));
    let usage = tokio::spawn(usage.run(stop.clone()));
    tokio::spawn({
        let (health, stop) = (health.clone(), stop.clone());
        async move {
            stop.cancelled().await;
            health.stop();
        }
    });

    let traces =
        Traces::start("tidemark-ingest-worker", &common.traces, &connections.roots, Sampling::FollowCaller)?;
    let supervisor = Supervisor { settings, topics, writer, traces: traces.clone(), metrics, health, ready };
    supervisor.run(stop).await;
    // The supervisor returns only after a stop, which ends the other tasks too.
    let _ = projector.await;
    let _ = usage.await;
    let _ = tokio::task::spawn_blocking(move || traces.stop()).await;
    stop_ops.cancel();
    let _ = ops.await;
    tracing::info!("stopped");
    Ok(())
}
