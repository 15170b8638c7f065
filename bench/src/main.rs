//! Benchmarks on the real parts; `deploy/local/bench` starts them. Machines are shared and noisy: what counts is the ratio
//! to the baseline of the same run, and CPU time rather than time.

mod alerts;
mod backlog;
mod baseline;
mod freshness;
mod gateway;
mod reads;
mod statistics;

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
        What::Gateway { seconds, connections } => gateway::run(seconds, connections).await,
        What::Freshness { points } => freshness::run(points).await,
        What::Backlog { metrics } => backlog::run(metrics).await,
        What::Reads { seconds, points } => reads::run(seconds, points).await,
        What::Alerts { rules, series, posts } => alerts::run(rules, series, posts).await,
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
