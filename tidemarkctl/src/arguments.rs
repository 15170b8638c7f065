//! The command line. `--help` is its reference.

use crate::error::Error;
use crate::token::RequiredToken;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Parser, Subcommand, ValueEnum};
use std::time::Duration;

/// Maximum grace period that the API accepts.
const MAX_GRACE: Duration = Duration::from_secs(24 * 3600);

#[derive(Parser)]
#[command(
    name = "tidemarkctl",
    version,
    about = "Manages a Tidemark installation through its HTTP API",
    after_help = "Results are printed to standard output, errors to standard error.\nExit codes: 0 success, 1 request rejected or failed, 2 wrong usage."
)]
pub struct Arguments {
    /// Address of query-api.
    #[arg(
        long,
        env = "QUERY_URL",
        default_value = "http://127.0.0.1:8090",
        global = true,
        value_name = "URL"
    )]
    pub url: String,
    /// Key with the scope `manage`, or the operator's token. On the command line it is visible to every user
    /// of the machine in the list of processes: set TIDEMARK_TOKEN instead.
    #[arg(long, env = "TIDEMARK_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    /// Operator's token, for the commands that need it. Set OPERATOR_TOKEN instead.
    #[arg(long, env = "OPERATOR_TOKEN", hide_env_values = true, global = true, value_name = "TOKEN")]
    operator_token: Option<String>,
    /// Print the API's response unchanged (all pages of a list as one document). Prints nothing if the
    /// response has no body.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
    /// True if the token is set on the command line. It then takes precedence over the environment.
    #[arg(skip)]
    token_is_explicit: bool,
}

#[derive(Subcommand)]
pub enum Command {
    /// Manage projects
    #[command(subcommand)]
    Project(Project),
    /// Manage plans, which limit what a project may do
    #[command(subcommand)]
    Plan(Plan),
    /// Manage connections, which send metrics, each with its own key
    #[command(subcommand)]
    Connection(Connection),
    /// Manage keys that belong to no connection
    #[command(subcommand)]
    Key(Key),
    /// Show the outcomes of a project's requests and its remaining quota
    Usage(Usage),
    /// Create a demo project with a connection, and print a command that sends a metric (operator)
    Demo,
}

#[derive(Subcommand)]
pub enum Project {
    /// Create a project and show its first key, once (operator)
    Create {
        /// Name, 1 to 100 characters
        name: String,
        /// Name of a plan; `tidemarkctl plan list` lists them
        #[arg(long)]
        plan: String,
    },
    /// List all projects (operator) or the project of the key
    List,
    /// Show a project
    Show(Id),
    /// Change the plan of a project; takes effect within a second (operator)
    SetPlan {
        /// Id of the project
        #[arg(value_parser = id)]
        id: String,
        /// Name of the plan
        plan: String,
    },
    /// Rename a project
    Rename(Rename),
    /// Delete a project, its keys and its data (operator)
    Delete(Delete),
}

#[derive(Subcommand)]
pub enum Plan {
    /// List all plans
    List,
    /// Create or change a plan (operator)
    Set {
        /// Name of the plan
        #[arg(value_parser = id)]
        name: String,
        /// Maximum number of requests per project and clock hour, or `none` for no limit
        #[arg(long, value_parser = limit, value_name = "N|none")]
        requests_per_hour: Limit,
        /// Allow alerts in projects with this plan
        #[arg(long)]
        alerts: bool,
    },
}

#[derive(Subcommand)]
pub enum Connection {
    /// Create a connection and show its key, once
    Create {
        /// Name, 1 to 100 characters
        name: String,
    },
    /// List the connections of the project
    List,
    /// Show a connection
    Show(Id),
    /// Rename a connection
    Rename(Rename),
    /// Replace the key of a connection and show the new key, once
    Rotate {
        /// Id of the connection
        #[arg(value_parser = id)]
        id: String,
        /// Time for which the previous key stays valid, up to 24h
        #[arg(long, default_value = "0s", value_parser = grace, value_name = "DURATION")]
        grace: Duration,
    },
    /// Revoke the key of a connection immediately
    Revoke(Id),
    /// Delete a connection and its key
    Delete(Delete),
}

#[derive(Subcommand)]
pub enum Key {
    /// Create a key and show it, once
    Create {
        /// Name, 1 to 100 characters
        name: String,
        /// Scope of the key; repeat the option for several scopes
        #[arg(long, required = true)]
        scope: Vec<Scope>,
    },
    /// List the keys of the project
    List,
    /// Revoke and delete a key
    Delete(Id),
}

#[derive(Args)]
pub struct Usage {
    /// Start of the report, as a duration before now
    #[arg(long, default_value = "24h", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub since: Duration,
    /// Interval that each line covers
    #[arg(long, default_value = "hour")]
    pub interval: Interval,
}

#[derive(Args)]
pub struct Id {
    /// Id, as printed by `list`
    #[arg(value_parser = id)]
    pub id: String,
}

#[derive(Args)]
pub struct Rename {
    /// Id, as printed by `list`
    #[arg(value_parser = id)]
    pub id: String,
    /// New name, 1 to 100 characters
    pub name: String,
}

#[derive(Args)]
pub struct Delete {
    /// Id, as printed by `list`
    #[arg(value_parser = id)]
    pub id: String,
    /// Confirm the deletion, which cannot be undone
    #[arg(long, required = true)]
    pub yes: bool,
}

/// Maximum number of requests per hour; `None` is unlimited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit(pub Option<u64>);

#[derive(Clone, Copy, ValueEnum)]
pub enum Scope {
    /// Send metrics
    Ingest,
    /// Read metrics and settings
    Read,
    /// Read and change everything in the project
    Manage,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Interval {
    Minute,
    Hour,
    Day,
}

impl Scope {
    /// Name of the scope in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Manage => "manage",
        }
    }
}

impl Interval {
    /// Name of the interval in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

impl Arguments {
    /// Records whether the token comes from the command line.
    pub fn with_sources(mut self, matches: &ArgMatches) -> Self {
        let mut matches = Some(matches);
        while let Some(level) = matches {
            self.token_is_explicit |= level.value_source("token") == Some(ValueSource::CommandLine);
            matches = level.subcommand().map(|(_, inner)| inner);
        }
        self
    }

    /// Returns the token for a call. `--token` on the command line takes precedence. Otherwise a call that
    /// the operator may make uses the operator's token, if set, and every other call uses the key.
    pub fn token_for(&self, required: RequiredToken) -> Result<&str, Error> {
        let key = self.token.as_deref().filter(|token| !token.is_empty());
        let operator = self.operator_token.as_deref().filter(|token| !token.is_empty());
        let chosen = match required {
            _ if self.token_is_explicit => key,
            RequiredToken::Key => key,
            RequiredToken::Operator | RequiredToken::Either => operator.or(key),
        };
        chosen.ok_or(Error::NoToken(required))
    }
}

fn id(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !text.is_empty() && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("must consist of letters, digits, `_` and `-`; `list` prints the existing ones".to_owned())
}

fn limit(text: &str) -> Result<Limit, String> {
    match text {
        "none" => Ok(Limit(None)),
        _ => text
            .parse()
            .map(|limit| Limit(Some(limit)))
            .map_err(|_| "must be a whole number or `none`".to_owned()),
    }
}

fn grace(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(grace) if grace > MAX_GRACE => Err("must be at most 24h".to_owned()),
        Ok(grace) if grace.subsec_nanos() != 0 => Err("must be a whole number of seconds".to_owned()),
        Ok(grace) => Ok(grace),
        Err(_) => Err("must be a duration such as `90s`, `10m` or `24h`".to_owned()),
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
            .map(|arguments: Arguments| arguments.with_sources(&matches))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn command_line_definition_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn calls_use_the_token_with_the_required_rights() {
        let both = Arguments { operator_token: Some("op".into()), ..parse(&["usage"]) };
        let both = Arguments { token: Some("key".into()), ..both };
        assert_eq!(both.token_for(RequiredToken::Operator).ok(), Some("op"));
        assert_eq!(both.token_for(RequiredToken::Either).ok(), Some("op"));
        assert_eq!(both.token_for(RequiredToken::Key).ok(), Some("key"));
        for words in [["--token", "given", "project", "list"], ["project", "list", "--token", "given"]] {
            let given = Arguments { operator_token: Some("op".into()), ..parse(&words) };
            assert_eq!(
                given.token_for(RequiredToken::Operator).ok(),
                Some("given"),
                "--token takes precedence"
            );
        }
        let none = Arguments { token: Some(String::new()), operator_token: None, ..parse(&["usage"]) };
        assert!(matches!(none.token_for(RequiredToken::Key), Err(Error::NoToken(RequiredToken::Key))));
    }

    #[test]
    fn limits_grace_periods_and_ids_are_parsed() {
        assert_eq!((limit("none"), limit("100")), (Ok(Limit(None)), Ok(Limit(Some(100)))));
        assert!(limit("-1").is_err() && limit("many").is_err());
        assert_eq!(grace("10m"), Ok(Duration::from_secs(600)));
        assert!(grace("25h").is_err() && grace("1500ms").is_err() && grace("soon").is_err());
        assert!(id("con_4fQ").is_ok() && id("").is_err() && id("../projects").is_err());
    }
}
