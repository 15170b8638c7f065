//! The command line. `--help` is its reference.

use crate::calls::Needs;
use crate::error::Error;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Parser, Subcommand, ValueEnum};
use std::time::Duration;

/// The longest grace that the API gives.
const MAX_GRACE: Duration = Duration::from_secs(24 * 3600);

/// The command line.
#[derive(Parser)]
#[command(
    name = "tidemarkctl",
    version,
    about = "Manages a Tidemark installation over its HTTP API",
    after_help = "Results go to standard output, errors to standard error. Exit codes: 0 done, 1 refused or failed, 2 wrong usage."
)]
pub struct Arguments {
    /// The query service.
    #[arg(
        long,
        env = "QUERY_URL",
        default_value = "http://127.0.0.1:8090",
        global = true,
        value_name = "URL"
    )]
    pub url: String,
    /// A key with the scope `manage`, or the operator's token. Everybody on the machine can read it in the list of
    /// processes when it stands on the command line: better set TIDEMARK_TOKEN.
    #[arg(long, env = "TIDEMARK_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    /// The operator's token, for the calls that need it. Better set OPERATOR_TOKEN.
    #[arg(long, env = "OPERATOR_TOKEN", hide_env_values = true, global = true, value_name = "TOKEN")]
    operator_token: Option<String>,
    /// Print the API's answer as it came (of a list of several pages: all items in one); nothing where it has no body.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Whether the token was given on the command line itself, where it goes before whatever the environment says.
    #[arg(skip)]
    token_is_explicit: bool,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Projects: the operator makes them.
    #[command(subcommand)]
    Project(Project),
    /// Plans: what a project may do.
    #[command(subcommand)]
    Plan(Plan),
    /// Connections: what sends metrics, each with a key of its own.
    #[command(subcommand)]
    Connection(Connection),
    /// Keys that belong to no connection.
    #[command(subcommand)]
    Key(Key),
    /// How a project's requests ended, and how many are left.
    Usage(Usage),
    /// Make a project and a connection to try an installation with, and print the line that sends a metric. (operator)
    Demo,
}

/// Commands on projects.
#[derive(Subcommand)]
pub enum Project {
    /// Make a project. Its first key is shown once. (operator)
    Create {
        /// 1 to 100 characters.
        name: String,
        /// The name of a plan: `tidemarkctl plan list`.
        #[arg(long)]
        plan: String,
    },
    /// All projects for the operator, its own for a key.
    List,
    /// One project.
    Show(Id),
    /// Give a project another plan; acts within a second. (operator)
    SetPlan {
        /// The project.
        #[arg(value_parser = id)]
        id: String,
        /// The plan.
        plan: String,
    },
    /// Give a project another name.
    Rename(Rename),
    /// Delete a project, its keys and its data. (operator)
    Delete(Delete),
}

/// Commands on plans.
#[derive(Subcommand)]
pub enum Plan {
    /// All plans.
    List,
    /// Change a plan, or make one. (operator)
    Set {
        /// The plan's name.
        #[arg(value_parser = id)]
        name: String,
        /// Requests per project and clock hour, or `none` for no limit.
        #[arg(long, value_parser = limit, value_name = "N|none")]
        requests_per_hour: Limit,
        /// Its projects may have alerts.
        #[arg(long)]
        alerts: bool,
    },
}

/// Commands on connections.
#[derive(Subcommand)]
pub enum Connection {
    /// Make a connection. Its key is shown once.
    Create {
        /// 1 to 100 characters.
        name: String,
    },
    /// The project's connections.
    List,
    /// One connection.
    Show(Id),
    /// Give a connection another name.
    Rename(Rename),
    /// Give a connection a new key, which is shown once.
    Rotate {
        /// The connection.
        #[arg(value_parser = id)]
        id: String,
        /// How long the previous key goes on, up to 24h.
        #[arg(long, default_value = "0s", value_parser = grace, value_name = "DURATION")]
        grace: Duration,
    },
    /// End a connection's key now.
    Revoke(Id),
    /// Delete a connection and its key.
    Delete(Delete),
}

/// Commands on keys.
#[derive(Subcommand)]
pub enum Key {
    /// Make a key, which is shown once.
    Create {
        /// 1 to 100 characters.
        name: String,
        /// What it may do; give it once for each scope.
        #[arg(long, required = true)]
        scope: Vec<Scope>,
    },
    /// The project's keys.
    List,
    /// End a key and delete it.
    Delete(Id),
}

/// What is asked about usage.
#[derive(Args)]
pub struct Usage {
    /// How far back.
    #[arg(long, default_value = "24h", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub since: Duration,
    /// How long each line's time is.
    #[arg(long, default_value = "hour")]
    pub interval: Interval,
}

/// One thing.
#[derive(Args)]
pub struct Id {
    /// Its id.
    #[arg(value_parser = id)]
    pub id: String,
}

/// A new name for one thing.
#[derive(Args)]
pub struct Rename {
    /// Its id.
    #[arg(value_parser = id)]
    pub id: String,
    /// 1 to 100 characters.
    pub name: String,
}

/// One thing that is to be no more.
#[derive(Args)]
pub struct Delete {
    /// Its id.
    #[arg(value_parser = id)]
    pub id: String,
    /// Yes, delete it. There is no way back.
    #[arg(long, required = true)]
    pub yes: bool,
}

/// Requests per hour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit(pub Option<u64>);

/// What a key may do.
#[derive(Clone, Copy, ValueEnum)]
pub enum Scope {
    /// Send metrics.
    Ingest,
    /// Read.
    Read,
    /// Change, and read.
    Manage,
}

/// How long a bucket of usage is.
#[derive(Clone, Copy, ValueEnum)]
#[allow(missing_docs)]
pub enum Interval {
    Minute,
    Hour,
    Day,
}

impl Arguments {
    /// Notes where the values came from.
    pub fn with_sources(mut self, matches: &ArgMatches) -> Self {
        let mut matches = Some(matches);
        while let Some(level) = matches {
            self.token_is_explicit |= level.value_source("token") == Some(ValueSource::CommandLine);
            matches = level.subcommand().map(|(_, inner)| inner);
        }
        self
    }

    /// The token for a call. What stands on the command line goes first; else the operator's calls take the operator's
    /// token and the project's calls the key.
    pub fn token_for(&self, needs: Needs) -> Result<&str, Error> {
        let key = self.token.as_deref().filter(|token| !token.is_empty());
        let operator = self.operator_token.as_deref().filter(|token| !token.is_empty());
        let chosen = match needs {
            _ if self.token_is_explicit => key,
            Needs::Key => key,
            Needs::Operator | Needs::Either => operator.or(key),
        };
        chosen.ok_or(Error::NoToken(needs))
    }
}

fn id(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !text.is_empty() && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err("letters, digits, `_` and `-` only; `list` shows which there are".to_owned())
}

fn limit(text: &str) -> Result<Limit, String> {
    match text {
        "none" => Ok(Limit(None)),
        _ => text.parse().map(|limit| Limit(Some(limit))).map_err(|_| "a whole number or `none`".to_owned()),
    }
}

fn grace(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(grace) if grace > MAX_GRACE => Err("at most 24h".to_owned()),
        Ok(grace) if grace.subsec_nanos() != 0 => Err("whole seconds only".to_owned()),
        Ok(grace) => Ok(grace),
        Err(_) => Err("a duration such as `90s`, `10m` or `24h`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Arguments {
        let matches = <Arguments as clap::CommandFactory>::command()
            .get_matches_from([&["tidemarkctl"], words].concat());
        let arguments = clap::FromArgMatches::from_arg_matches(&matches);
        arguments
            .map(|found: Arguments| found.with_sources(&matches))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_command_line_is_well_made() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn each_call_gets_the_token_that_may_make_it() {
        let both = Arguments { operator_token: Some("op".into()), ..parse(&["usage"]) };
        let both = Arguments { token: Some("key".into()), ..both };
        assert_eq!(both.token_for(Needs::Operator).ok(), Some("op"));
        assert_eq!(both.token_for(Needs::Either).ok(), Some("op"));
        assert_eq!(both.token_for(Needs::Key).ok(), Some("key"));
        for words in [["--token", "given", "project", "list"], ["project", "list", "--token", "given"]] {
            let given = Arguments { operator_token: Some("op".into()), ..parse(&words) };
            assert_eq!(given.token_for(Needs::Operator).ok(), Some("given"), "what is typed goes first");
        }
        let none = Arguments { token: Some(String::new()), operator_token: None, ..parse(&["usage"]) };
        assert!(matches!(none.token_for(Needs::Key), Err(Error::NoToken(Needs::Key))));
    }

    #[test]
    fn limits_graces_and_ids_are_read_as_people_write_them() {
        assert_eq!((limit("none"), limit("100")), (Ok(Limit(None)), Ok(Limit(Some(100)))));
        assert!(limit("-1").is_err() && limit("many").is_err());
        assert_eq!(grace("10m"), Ok(Duration::from_secs(600)));
        assert!(grace("25h").is_err() && grace("1500ms").is_err() && grace("soon").is_err());
        assert!(id("con_4fQ").is_ok() && id("").is_err() && id("../projects").is_err());
    }
}
