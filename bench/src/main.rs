//! Benchmarks of the whole pipeline with real services and stores. `deploy/local/bench` runs them.
//!
//! Machines are shared and noisy: compare the ratio to the baseline of the same run, and CPU time rather than
//! elapsed time.

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
#[command(name = "bench", version, about = "Benchmarks of the whole pipeline with real services and stores")]
struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// Request rate and CPU per request of the gateway, compared with a bare server that parses the same body
    Gateway {
        /// Duration of the load per case in seconds
        #[arg(long, default_value_t = 10)]
        seconds: u32,
        /// Number of concurrent connections
        #[arg(long, default_value_t = 256)]
        connections: u32,
        /// Pause of a connection between an answer and the next request in milliseconds
        #[arg(long, default_value_t = 0)]
        pause: u32,
    },
    /// Time from the 200 until the point is queryable
    Freshness {
        /// Number of points, which are sent one after the other
        #[arg(long, default_value_t = 200)]
        points: u32,
    },
    /// Rows per second of one worker that processes a backlog
    Backlog {
        /// Number of metrics in the backlog
        #[arg(long, default_value_t = 5_000_000)]
        metrics: u64,
    },
    /// Latency of one project's reads while another project sends as many expensive queries as possible
    Reads {
        /// Duration of the measurement per case in seconds
        #[arg(long, default_value_t = 15)]
        seconds: u64,
        /// Number of points of the other project's metric
        #[arg(long, default_value_t = 4_000_000)]
        points: u64,
    },
    /// Alerts: time from a POST to the receiver's request, and cost of evaluating many rules
    Alerts {
        /// Number of evaluated rules
        #[arg(long, default_value_t = 10_000)]
        rules: usize,
        /// Number of series of the rules
        #[arg(long, default_value_t = 1000)]
        series: usize,
        /// Number of POSTs with a value over a threshold
        #[arg(long, default_value_t = 100)]
        posts: usize,
    },
    /// Rebuild of the store during ingestion and reads
    Rebuild {
        /// Number of metrics to rebuild
        #[arg(long, default_value_t = 10_000_000)]
        metrics: u64,
    },
    /// The pipeline with one, two and four gateways and workers
    Scale {
        /// Number of batches of 100 metrics for each number of processes
        #[arg(long, default_value_t = 20_000)]
        batches: u64,
    },
    /// Time series over a month, compared with VictoriaMetrics with the same points
    Timeseries {
        /// Number of series in each store
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        series: u32,
        /// Number of days with one point every 30 seconds
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=90))]
        days: u32,
        /// Number of repetitions of each query for the warm case
        #[arg(long, default_value_t = 200)]
        warm: usize,
    },
    /// The bare server that `gateway` starts for comparison
    #[command(hide = true)]
    Baseline {
        #[arg(long)]
        listen: std::net::SocketAddr,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Arguments::parse().benchmark {
        Benchmark::Gateway { seconds, connections, pause } => gateway::run(seconds, connections, pause).await,
        Benchmark::Freshness { points } => freshness::run(points).await,
        Benchmark::Backlog { metrics } => backlog::run(metrics).await,
        Benchmark::Reads { seconds, points } => reads::run(seconds, points).await,
        Benchmark::Alerts { rules, series, posts } => alerts::run(rules, series, posts).await,
        Benchmark::Rebuild { metrics } => rebuild::run(metrics).await,
        Benchmark::Scale { batches } => scale::run(batches).await,
        Benchmark::Timeseries { series, days, warm } => {
            timeseries::run(series as usize, i64::from(days), warm).await
        }
        Benchmark::Baseline { listen } => baseline::serve(listen).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
