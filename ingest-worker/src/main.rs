//! The ingest worker: from Kafka into ClickHouse, each metric exactly once. [`pipeline`] shows the way of the data,
//! [`chain`] the protocol. Beside it, every worker follows the control log into Redis, and stores how requests ended
//! ([`usage`]). What operators may tell it to do is in [`commands`].

mod block;
mod chain;
mod commands;
mod dead_letter;
mod deletion;
mod feed;
mod fetch;
mod follow;
mod generation;
mod idempotency;
mod log;
mod membership;
mod metrics;
mod migrations;
mod pace;
mod partition;
mod pipeline;
mod record;
mod rows;
mod settings;
mod store;
mod usage;

use accounts::commands::PUBLISH_TIMEOUT;
use accounts::control_log::ControlWriter;
use accounts::projector::Projector;
use metrics::Metrics;
use pipeline::Pipeline;
use prometheus_client::registry::Registry;
use proto::topics::Topics;
use service::health::Health;
use service::traces::{Decided, Traces};
use settings::{Command, Settings};
use std::process::ExitCode;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use usage::Usage;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = settings::Arguments::read();
    if let Some(ops_listen) = arguments.health() {
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
            tracing::error!(%error, "the worker ends");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings) -> Result<(), Box<dyn std::error::Error>> {
    let stop = service::stop::on_signal()?;
    // What is stored half is finished by the next worker.
    service::stop::end_in_time(stop.clone());
    let health = Health::default();
    let mut registry = Registry::with_prefix("tidemark");
    let metrics = Arc::new(Metrics::new(&mut registry, health.condition("clickhouse")));
    let common = settings.common.clone();
    let topics = Topics::new(&common.namespace);
    let usage = Usage::new(&common, &topics, &settings.clickhouse, &mut registry)?;
    let listener = service::http::bind(settings.ops_listen, "--ops-listen").await?;
    let ops_stop = CancellationToken::new();
    let ops =
        tokio::spawn(service::ops::serve(listener, health.clone(), Arc::new(registry), ops_stop.clone()));

    let ready = health.condition("generation");
    let following = health.condition("redis");
    service::kafka::make_topics(&common.kafka_brokers, &topics, &stop).await;
    let writer = ControlWriter::new(&common.kafka_brokers, &topics, PUBLISH_TIMEOUT)?;
    let projector = Projector::new(&common, writer.clone())?;
    let projecting = tokio::spawn(projector.run(stop.clone(), move |up_to_date| following.set(up_to_date)));
    let storing_usage = tokio::spawn(usage.run(stop.clone()));
    let stopping = health.clone();
    let stopped = stop.clone();
    tokio::spawn(async move {
        stopped.cancelled().await;
        stopping.stop();
    });

    let traces = Traces::start("tidemark-ingest-worker", &common.traces, Decided::Before)?;
    let pipeline = Pipeline { settings, topics, writer, traces: traces.clone(), metrics, health, ready };
    pipeline.run(stop.clone()).await;
    // The pipeline ends only when it was told to.
    let _ = projecting.await;
    let _ = storing_usage.await;
    let _ = tokio::task::spawn_blocking(move || traces.stop()).await;
    ops_stop.cancel();
    let _ = ops.await;
    tracing::info!("stopped");
    Ok(())
}
