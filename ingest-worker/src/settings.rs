//! The settings of the worker and its commands, as clap parses and `--help` prints them.

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use service::clickhouse::Server;
use service::connections::Connections;
use service::settings::{Common, Faults, Secret, SettingsError};
use std::net::SocketAddr;

/// Copies metrics from Kafka to ClickHouse and stores each exactly once. Without a command it runs until it is stopped.
/// The other commands can be used while workers are running and take the same settings.
#[derive(Debug, Parser)]
#[command(name = "ingest-worker", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    common: Common,
    /// URL of ClickHouse: `http://host:port`, or `https://…` for TLS.
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
    /// Address and port of the health and metrics endpoints.
    #[arg(long, env = "OPS_LISTEN", default_value = "127.0.0.1:9081", value_name = "ADDRESS")]
    ops_listen: String,
}

/// A command of the worker.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Store metrics until stopped (the default).
    Run,
    /// Check whether the worker on this machine with the same --ops-listen is ready; exits with 0 if it is.
    Health,
    /// Rebuild a store from Kafka while all services keep running.
    #[command(subcommand)]
    Rebuild(Rebuild),
    /// List the generations of the metrics store, or drop one.
    Generations {
        /// Action; lists the generations if none is given.
        #[command(subcommand)]
        command: Option<Generations>,
    },
    /// List, show, retry or drop dead letters: records that could not be stored.
    #[command(subcommand)]
    Dead(Dead),
    /// Replay the log, or a part of it, into a scratch database and compare the result with the live generation.
    ///
    /// The live generation does not change, and the scratch database is dropped at the end. Exits with 1 if they differ.
    Verify(Verify),
}

/// The store to rebuild.
#[derive(Debug, Clone, Subcommand)]
pub enum Rebuild {
    /// Rebuild projects, keys, plans and all other entities in Redis from the control log.
    ///
    /// Removes the existing entities first; lookups are answered with 503 until the new ones are complete. Returns when
    /// Redis is complete. Quotas and remembered idempotency keys are kept.
    Redis,
    /// Rebuild the metrics in ClickHouse: the running workers fill a new generation from the beginning of the log.
    ///
    /// Prints progress, waits until the new generation has caught up, compares it with the live one, and switches queries
    /// to it. Ingestion and queries continue meanwhile. If interrupted, run it again: it resumes the generation that it
    /// started (`generations drop` discards that one).
    Clickhouse(RebuildClickhouse),
}

/// Options of `rebuild clickhouse`.
#[derive(Debug, Clone, Args)]
pub struct RebuildClickhouse {
    /// Drop the old generation after the switch.
    #[arg(long)]
    pub drop_old: bool,
    /// Start at the beginning of the log even though the live generation starts earlier. Metrics that retention has removed
    /// from Kafka are then lost when the old generation is dropped.
    #[arg(long)]
    pub from_log_start: bool,
    /// Switch even if the two generations differ. The differences are still printed.
    #[arg(long)]
    pub accept_differences: bool,
}

/// An action on generations.
#[derive(Debug, Clone, Subcommand)]
pub enum Generations {
    /// Print number, database, state, and the head and lag of every partition (the default).
    List,
    /// Stop writing to a generation and drop its database. The live generation cannot be dropped.
    Drop {
        /// Number of the generation.
        number: u32,
    },
}

/// An action on dead letters. The source of a dead letter is the position where its record stood first.
#[derive(Debug, Clone, Subcommand)]
pub enum Dead {
    /// List all dead letters that were neither retried nor dropped.
    List,
    /// Show a dead letter and its bytes.
    Show {
        /// Source as printed by `list`: `topic/partition/offset`.
        source: String,
    },
    /// Send a record back to its partition. It is stored once, however often it is sent. If it still cannot be stored, it
    /// becomes a dead letter with the same source again.
    Retry {
        /// Source as printed by `list`: `topic/partition/offset`.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        source: Option<String>,
        /// Retry all dead letters that `list` prints.
        #[arg(long)]
        all: bool,
    },
    /// Discard a record: it is no longer listed. Its bytes stay in the topic.
    Drop {
        /// Source as printed by `list`: `topic/partition/offset`.
        source: String,
    },
}

/// Options of `verify`.
#[derive(Debug, Clone, Args)]
pub struct Verify {
    /// Verify this project only.
    #[arg(long, value_name = "ID")]
    pub project: Option<String>,
    /// Verify only records written to Kafka at this time or later: Unix milliseconds, or `2026-01-31T12:00:00Z`.
    #[arg(long, value_name = "TIME", value_parser = parse_time_ms)]
    pub from: Option<i64>,
}

/// Validated settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Command to execute.
    pub command: Command,
    /// Connection settings of the stores.
    pub connections: Connections,
    /// Settings that all services share.
    pub common: Common,
    /// ClickHouse client without a database.
    pub clickhouse: clickhouse::Client,
    /// Address of the health and metrics endpoints.
    pub ops_listen: SocketAddr,
}

/// Parses a time into Unix milliseconds.
fn parse_time_ms(text: &str) -> Result<i64, String> {
    if let Ok(ms) = text.parse() {
        return Ok(ms);
    }
    let expected = || format!("`{text}` is neither Unix milliseconds nor a time like 2026-01-31T12:00:00Z");
    let time = humantime::parse_rfc3339_weak(text).map_err(|_| expected())?;
    let since_epoch = time.duration_since(std::time::UNIX_EPOCH).map_err(|_| expected())?;
    i64::try_from(since_epoch.as_millis()).map_err(|_| expected())
}

impl Arguments {
    /// Parses the command line, or exits the process with clap's message. Settings may precede or follow the command.
    pub fn parse_or_exit() -> Self {
        let global = Self::command().mut_args(|argument| argument.global(true));
        Self::from_arg_matches(&global.get_matches()).unwrap_or_else(|error| error.exit())
    }

    /// Returns the operations address to probe if the command is `health`.
    pub fn health_probe(&self) -> Option<&str> {
        matches!(self.command, Some(Command::Health)).then_some(&*self.ops_listen)
    }

    /// Returns whether `--validate` was given.
    pub fn validate(&self) -> bool {
        self.common.validate
    }

    /// Validates the settings; the error lists every invalid one.
    pub fn check(self) -> Result<Settings, SettingsError> {
        let mut faults = Faults::default();
        let connections = self.common.check(&mut faults);
        let http = ["http://", "https://"].iter().any(|scheme| self.clickhouse_url.starts_with(scheme));
        faults.check(http, "--clickhouse-url", "must begin with `http://` or `https://`");
        let ops_listen = faults.address("--ops-listen", &self.ops_listen);
        let user_is_empty = self.clickhouse_user.is_empty();
        let server = Server {
            url: self.clickhouse_url,
            user: Some(self.clickhouse_user).filter(|user| !user.is_empty()),
            password: (!user_is_empty).then(|| Secret::new(self.clickhouse_password)),
            roots: connections.roots.clone(),
        };
        let client = service::clickhouse::client(&server).unwrap_or_else(|error| {
            faults.add("--clickhouse-url", error);
            clickhouse::Client::default()
        });
        let command = self.command.unwrap_or(Command::Run);
        faults.into_result(Settings {
            command,
            connections,
            common: self.common,
            clickhouse: client,
            ops_listen,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_parsed_from_milliseconds_and_rfc3339() {
        assert_eq!(parse_time_ms("1790000000000"), Ok(1_790_000_000_000));
        assert_eq!(parse_time_ms("1970-01-02T00:00:00Z"), Ok(86_400_000));
        assert!(parse_time_ms("yesterday").is_err());
    }

    #[test]
    fn settings_precede_or_follow_an_optional_command() {
        let parse = |line: &[&str]| {
            let global = Arguments::command().mut_args(|argument| argument.global(true));
            let words = std::iter::once("ingest-worker").chain(line.iter().copied());
            Arguments::from_arg_matches(&global.get_matches_from(words)).expect("the arguments are valid")
        };
        for line in [["--namespace", "a", "rebuild", "redis"], ["rebuild", "redis", "--namespace", "a"]] {
            let parsed = parse(&line);
            assert_eq!(parsed.common.namespace, "a");
            assert!(matches!(parsed.command, Some(Command::Rebuild(Rebuild::Redis))));
        }
        assert!(parse(&[]).command.is_none());
    }
}
