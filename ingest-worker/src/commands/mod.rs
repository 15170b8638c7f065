//! Commands of the operator, which can be used while workers are running. A command prints its progress on standard output.
//! If it fails, it prints the reason on standard error and exits with 1.

mod compare;
mod dead;
mod dead_letter_topic;
mod deletions;
mod generations;
mod lock;
mod open_dead_letters;
mod progress;
mod rebuild_clickhouse;
mod rebuild_redis;
mod stores;
mod verify;

use crate::generation::GenerationManager;
use crate::settings::{Command, Generations, Rebuild, Settings};
use control::control_log::{ControlWriter, PUBLISH_TIMEOUT};
use proto::topics::Topics;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// Reason why a command failed.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Executes a command. [`Command::Run`] and [`Command::Health`] are executed by `main`, and do nothing here.
pub async fn run(settings: &Settings, command: &Command) -> Result<(), Failure> {
    let topics = Topics::new(&settings.common.namespace);
    let writer = ControlWriter::new(&settings.connections.kafka, &topics, PUBLISH_TIMEOUT)?;
    let manager = GenerationManager::new(settings, &topics, &writer);
    match command {
        Command::Run | Command::Health => Ok(()),
        Command::Rebuild(Rebuild::Redis) => rebuild_redis::run(settings, &writer).await,
        Command::Rebuild(Rebuild::Clickhouse(options)) => {
            rebuild_clickhouse::run(settings, &manager, options).await
        }
        Command::Generations { command: None | Some(Generations::List) } => generations::list(&manager).await,
        Command::Generations { command: Some(Generations::Drop { number }) } => {
            generations::drop_generation(&manager, settings, *number).await
        }
        Command::Dead(command) => dead::run(settings, &topics, &manager, command).await,
        Command::Verify(options) => verify::run(&manager, options).await,
    }
}

/// Prints progress lines: at most one per second on a terminal, and one per ten seconds elsewhere.
struct ProgressPrinter {
    interval: Duration,
    last: Option<Instant>,
}

impl ProgressPrinter {
    fn new() -> Self {
        let interval = Duration::from_secs(if std::io::stdout().is_terminal() { 1 } else { 10 });
        Self { interval, last: None }
    }

    fn print(&mut self, line: impl FnOnce() -> String) {
        if self.last.is_none_or(|last| last.elapsed() >= self.interval) {
            self.last = Some(Instant::now());
            println!("{}", line());
        }
    }
}
