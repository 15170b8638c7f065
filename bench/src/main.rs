//! Benchmarks on the real parts; `deploy/local/bench` starts them. Machines are shared and noisy: what counts is the ratio
//! to the baseline of the same run, and CPU time rather than time.

mod alerts;
mod backlog;
mod baseline;
mod freshness;
mod gateway;
mod reads;
mod rebuild;
mod scale;
mod statistics;
mod timeseries;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "bench", version, about = "Benchmarks of the whole pipeline on the real parts")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Requests a second and CPU a request of the gateway, beside a bare server that parses the same body.
    Gateway {
        /// Seconds that each case is loaded for.
        #[arg(long, default_value_t = 10)]
        seconds: u32,
        /// Connections of the load.
        #[arg(long, default_value_t = 256)]
        connections: u32,
        /// Milliseconds between an answer and the next request of a connection.
        #[arg(long, default_value_t = 0)]
        pause: u32,
    },
    /// From the 200 to the point being queryable.
    Freshness {
        /// Points that are sent, one after the other.
        #[arg(long, default_value_t = 200)]
        points: u32,
    },
    /// Rows a second of one worker that catches up.
    Backlog {
        /// Metrics in the backlog.
        #[arg(long, default_value_t = 5_000_000)]
        metrics: u64,
    },
    /// A project's reads beside another one's that asks for as much as it can.
    Reads {
        /// Seconds that each case is measured for.
        #[arg(long, default_value_t = 15)]
        seconds: u64,
        /// Points of the other project's metric.
        #[arg(long, default_value_t = 4_000_000)]
        points: u64,
    },
    /// Alert rules: from a POST to the receiver's request, and the evaluation of many.
    Alerts {
        /// Rules that are evaluated.
        #[arg(long, default_value_t = 10_000)]
        rules: usize,
        /// Series that they are over.
        #[arg(long, default_value_t = 1000)]
        series: usize,
        /// POSTs over a threshold.
        #[arg(long, default_value_t = 100)]
        posts: usize,
    },
    /// A rebuild of the store beside running ingestion and reads.
    Rebuild {
        /// Metrics that are rebuilt.
        #[arg(long, default_value_t = 10_000_000)]
        metrics: u64,
    },
    /// The pipeline with one, two and four gateways and workers.
    Scale {
        /// Batches of 100 metrics that are sent through each.
        #[arg(long, default_value_t = 20_000)]
        batches: u64,
    },
    /// Time series over a month, beside VictoriaMetrics with the same points.
    Timeseries {
        /// Series in each store.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        series: u32,
        /// Days of points, one every 30 seconds.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=90))]
        days: u32,
        /// How often each question is asked again.
        #[arg(long, default_value_t = 200)]
        warm: usize,
    },
    /// The bare server that `gateway` compares with; started by it.
    #[command(hide = true)]
    Baseline {
        /// Where it listens.
        #[arg(long)]
        listen: std::net::SocketAddr,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().what {
        What::Gateway { seconds, connections, pause } => gateway::run(seconds, connections, pause).await,
        What::Freshness { points } => freshness::run(points).await,
        What::Backlog { metrics } => backlog::run(metrics).await,
        What::Reads { seconds, points } => reads::run(seconds, points).await,
        What::Alerts { rules, series, posts } => alerts::run(rules, series, posts).await,
        What::Rebuild { metrics } => rebuild::run(metrics).await,
        What::Scale { batches } => scale::run(batches).await,
        What::Timeseries { series, days, warm } => {
            timeseries::run(series as usize, i64::from(days), warm).await
        }
        What::Baseline { listen } => baseline::serve(listen).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
