//! The worker's settings, and what it can be told to do.

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use service::settings::{Common, Faults, SettingsError};
use std::net::SocketAddr;

/// Writes metrics from Kafka to ClickHouse, each exactly once. Without a command it does just that; the commands work
/// beside running workers and take the same settings.
#[derive(Debug, Parser)]
#[command(name = "ingest-worker", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    common: Common,
    /// ClickHouse, `http://host:port`, or `https://…` over TLS.
    #[arg(long, env = "CLICKHOUSE_URL", default_value = "http://127.0.0.1:8123", value_name = "URL")]
    clickhouse_url: String,
    /// ClickHouse user.
    #[arg(long, env = "CLICKHOUSE_USER", default_value = "", hide_default_value = true)]
    clickhouse_user: String,
    /// ClickHouse password.
    #[arg(
        long,
        env = "CLICKHOUSE_PASSWORD",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true
    )]
    clickhouse_password: String,
    /// Where health and metrics are served.
    #[arg(long, env = "OPS_LISTEN", default_value = "127.0.0.1:9081", value_name = "ADDRESS")]
    ops_listen: String,
}

/// What the worker is told to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Write metrics until told to stop (the default).
    Run,
    /// Ask the process that runs on this machine with the same --ops-listen whether it can serve: ends with 0 if it can.
    Health,
    /// Fill a store anew from Kafka, while all services run.
    #[command(subcommand)]
    Rebuild(Rebuild),
    /// The stores of metrics: list them, drop one.
    Generations {
        #[command(subcommand)]
        command: Option<Generations>,
    },
    /// Records that could not be stored: look at them, send them again, give them up.
    #[command(subcommand)]
    Dead(Dead),
    /// Replay the log, or a part of it, into a scratch database and compare it with the store that is read.
    ///
    /// Nothing is switched, and the scratch database is dropped at the end. Ends with 1 if they differ.
    Verify(Verify),
}

/// What is filled anew.
#[derive(Debug, Clone, Subcommand)]
pub enum Rebuild {
    /// Projects, keys, plans and all other entities in Redis, from the control log.
    ///
    /// Whatever stands there goes first; until the new state is there, lookups are answered 503. Ends when Redis is
    /// filled. Quotas and remembered idempotency keys stay.
    Redis,
    /// The metrics in ClickHouse: a new generation, filled from the beginning of the log by the running workers.
    ///
    /// Shows the progress, waits until the new generation has caught up, compares it with the one that is read, and
    /// switches. Ingestion and queries go on meanwhile. It can be broken off at any time: run again, it goes on with the
    /// generation that was begun (`generations drop` gives that up).
    Clickhouse(RebuildClickhouse),
}

/// How ClickHouse is filled anew.
#[derive(Debug, Clone, Args)]
pub struct RebuildClickhouse {
    /// Drop the old generation once the new one is read.
    #[arg(long)]
    pub drop_old: bool,
    /// Begin where the log begins, although the store that is read begins earlier: what retention took out of Kafka is
    /// then gone for good with the old generation.
    #[arg(long)]
    pub from_log_start: bool,
    /// Switch although the two generations differ; the differences are printed all the same.
    #[arg(long)]
    pub accept_differences: bool,
}

/// What is done with generations.
#[derive(Debug, Clone, Subcommand)]
pub enum Generations {
    /// Number, database, which one is read, heads and lag of each (the default).
    List,
    /// Stop feeding a generation and drop its database; the one that is read is refused.
    Drop {
        /// Its number.
        number: u32,
    },
}

/// What is done with dead letters. A source is the place where a record stood first, as `list` prints it.
#[derive(Debug, Clone, Subcommand)]
pub enum Dead {
    /// All that were neither sent again nor given up.
    List,
    /// One of them, with its bytes.
    Show {
        /// Its source, `topic/partition/offset`.
        source: String,
    },
    /// Send a record back to its own partition. It is stored once, however often it is sent; if it still cannot be
    /// stored it becomes a dead letter of the same source again.
    Retry {
        /// Its source, `topic/partition/offset`.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        source: Option<String>,
        /// Every one that `list` prints.
        #[arg(long)]
        all: bool,
    },
    /// Give a record up: it is listed no more. Its bytes stay in the topic.
    Drop {
        /// Its source, `topic/partition/offset`.
        source: String,
    },
}

/// Which part is verified.
#[derive(Debug, Clone, Args)]
pub struct Verify {
    /// Only this project.
    #[arg(long, value_name = "ID")]
    pub project: Option<String>,
    /// Only what was received from this moment on: Unix milliseconds, or `2026-01-31T12:00:00Z`.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub from: Option<i64>,
}

/// The settings, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What to do.
    pub command: Command,
    /// What every service takes.
    pub common: Common,
    /// ClickHouse.
    pub clickhouse: clickhouse::Client,
    /// Where health and metrics are served.
    pub ops_listen: SocketAddr,
}

/// Unix milliseconds.
fn moment(text: &str) -> Result<i64, String> {
    if let Ok(ms) = text.parse() {
        return Ok(ms);
    }
    let expected =
        || format!("`{text}` is neither Unix milliseconds nor a time such as 2026-01-31T12:00:00Z");
    let time = humantime::parse_rfc3339_weak(text).map_err(|_| expected())?;
    let since = time.duration_since(std::time::UNIX_EPOCH).map_err(|_| expected())?;
    i64::try_from(since.as_millis()).map_err(|_| expected())
}

impl Arguments {
    /// Reads the command line; ends the process if it cannot be read. Settings may stand before or after the command.
    pub fn read() -> Self {
        let everywhere = Self::command().mut_args(|argument| argument.global(true));
        Self::from_arg_matches(&everywhere.get_matches()).unwrap_or_else(|error| error.exit())
    }

    /// The operations port to ask, if that is all that was asked for.
    pub fn health(&self) -> Option<&str> {
        matches!(self.command, Some(Command::Health)).then_some(&*self.ops_listen)
    }

    /// Whether only the check was asked for.
    pub fn validate(&self) -> bool {
        self.common.validate
    }

    /// The settings, or everything that is wrong with them.
    pub fn check(self) -> Result<Settings, SettingsError> {
        let mut faults = Faults::default();
        self.common.check(&mut faults);
        let http = ["http://", "https://"].iter().any(|scheme| self.clickhouse_url.starts_with(scheme));
        faults.check(http, "--clickhouse-url", "must begin with `http://` or `https://`");
        let ops_listen = faults.address("--ops-listen", &self.ops_listen);
        let mut client = service::clickhouse::client(&self.clickhouse_url).unwrap_or_else(|error| {
            faults.add("--clickhouse-url", error);
            clickhouse::Client::default()
        });
        if !self.clickhouse_user.is_empty() {
            client = client.with_user(&self.clickhouse_user).with_password(&self.clickhouse_password);
        }
        let command = self.command.unwrap_or(Command::Run);
        faults.into_result(Settings { command, common: self.common, clickhouse: client, ops_listen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_from_milliseconds_and_from_text() {
        assert_eq!(moment("1790000000000"), Ok(1_790_000_000_000));
        assert_eq!(moment("1970-01-02T00:00:00Z"), Ok(86_400_000));
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn settings_stand_before_or_after_the_command_and_without_one_the_worker_runs() {
        let read = |line: &[&str]| {
            let everywhere = Arguments::command().mut_args(|argument| argument.global(true));
            let words = std::iter::once("ingest-worker").chain(line.iter().copied());
            Arguments::from_arg_matches(&everywhere.get_matches_from(words)).expect("it is valid")
        };
        for line in [["--namespace", "a", "rebuild", "redis"], ["rebuild", "redis", "--namespace", "a"]] {
            let read = read(&line);
            assert_eq!(read.common.namespace, "a");
            assert!(matches!(read.command, Some(Command::Rebuild(Rebuild::Redis))));
        }
        assert!(read(&[]).command.is_none());
    }
}
