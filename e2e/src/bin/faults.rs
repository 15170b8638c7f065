//! `faults`: a campaign of faults, as [`e2e::faults`] describes it. `deploy/local/faults` runs it.

use clap::Parser;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Sends metrics while everything fails, and counts whether each accepted one is stored once.
#[derive(Debug, Parser)]
#[command(name = "faults")]
struct Arguments {
    /// How long the faults go on.
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// What the faults are made of: the same seed gives the same faults. A new one if it is left out.
    #[arg(long)]
    seed: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { minutes, seed } = Arguments::parse();
    let seed = seed.unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64 % 1_000_000)
    });
    let stop = match service::stop::on_signal() {
        Ok(stop) => stop,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let verdict = tokio::select! {
        verdict = e2e::faults::run(seed, Duration::from_secs(minutes * 60)) => verdict,
        () = stop.cancelled() => Err("broken off".into()),
    };
    let faults = match verdict {
        Ok(verdict) if verdict.faults.is_empty() => {
            println!("PASSED: seed {seed}, {minutes} minutes");
            return ExitCode::SUCCESS;
        }
        Ok(verdict) => verdict.faults,
        Err(error) => vec![error.to_string()],
    };
    faults.iter().for_each(|fault| println!("  {fault}"));
    println!("FAILED: run it again with: deploy/local/faults --minutes {minutes} --seed {seed}");
    ExitCode::FAILURE
}
