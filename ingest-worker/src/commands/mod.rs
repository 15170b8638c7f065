//! What an operator tells the worker to do beside running workers. Each command prints its progress on standard output;
//! what goes wrong is one sentence on standard error, and the exit code is 1.

mod compare;
mod dead;
mod deletions;
mod generations;
mod letters;
mod lock;
mod progress;
mod rebuild_clickhouse;
mod rebuild_redis;
mod stores;
mod verify;

use crate::generation::Generator;
use crate::settings::{Command, Generations, Rebuild, Settings};
use accounts::commands::PUBLISH_TIMEOUT;
use accounts::control_log::ControlWriter;
use proto::topics::Topics;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// Why a command did not reach its end.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Carries a command out. [`Command::Run`] and [`Command::Health`] are `main`'s own, and none of these.
pub async fn run(settings: &Settings, command: &Command) -> Result<(), Failure> {
    let topics = Topics::new(&settings.common.namespace);
    let writer = ControlWriter::new(&settings.common.kafka_brokers, &topics, PUBLISH_TIMEOUT)?;
    let generator = Generator::new(settings, &topics, &writer);
    match command {
        Command::Run | Command::Health => Ok(()),
        Command::Rebuild(Rebuild::Redis) => rebuild_redis::run(settings, &writer).await,
        Command::Rebuild(Rebuild::Clickhouse(options)) => {
            rebuild_clickhouse::run(settings, &generator, options).await
        }
        Command::Generations { command: None | Some(Generations::List) } => {
            generations::list(&generator).await
        }
        Command::Generations { command: Some(Generations::Drop { number }) } => {
            generations::end(&generator, settings, *number).await
        }
        Command::Dead(command) => dead::run(settings, &topics, &generator, command).await,
        Command::Verify(part) => verify::run(&generator, part).await,
    }
}

/// Lets a line of progress through once a second on a terminal, and every ten seconds elsewhere.
struct Lines {
    every: Duration,
    last: Option<Instant>,
}

impl Lines {
    fn new() -> Self {
        let every = Duration::from_secs(if std::io::stdout().is_terminal() { 1 } else { 10 });
        Self { every, last: None }
    }

    fn print(&mut self, line: impl FnOnce() -> String) {
        if self.last.is_none_or(|last| last.elapsed() >= self.every) {
            self.last = Some(Instant::now());
            println!("{}", line());
        }
    }
}
