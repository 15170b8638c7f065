//! Runs a fault-injection campaign ([`e2e::faults`]). `deploy/local/faults` starts it.

use clap::Parser;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Sends metrics while services, stores and connections fail, and checks that every accepted metric is stored
/// exactly once.
#[derive(Debug, Parser)]
#[command(name = "faults")]
struct Arguments {
    /// Length of the campaign in minutes
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Seed of the fault schedule; the same seed gives the same faults. A new seed by default
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
        () = stop.cancelled() => Err("interrupted by a signal".into()),
    };
    let violations = match verdict {
        Ok(verdict) if verdict.violations.is_empty() => {
            println!("PASSED: seed {seed}, {minutes} minutes");
            return ExitCode::SUCCESS;
        }
        Ok(verdict) => verdict.violations,
        Err(error) => vec![error.to_string()],
    };
    violations.iter().for_each(|violation| println!("  {violation}"));
    println!("FAILED: to repeat this campaign: deploy/local/faults --minutes {minutes} --seed {seed}");
    ExitCode::FAILURE
}
