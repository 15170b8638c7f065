//! Settings, as flags or environment variables.

use clap::Parser;
use service::settings::{Faults, SettingsError};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The ClickHouse engine as a library behind ClickHouse's HTTP interface. Replaces a ClickHouse server on one
/// machine.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// Address of the HTTP interface.
    #[arg(long, env = "CLICKHOUSE_EMBEDDED_LISTEN", default_value = "127.0.0.1:8123")]
    listen: String,
    /// Path of the engine, libchdb.so. `deploy/local/up` fetches it.
    #[arg(long, env = "LIBCHDB", value_name = "FILE")]
    library: Option<PathBuf>,
    /// Data directory; created if it does not exist. Only one process can use it at a time.
    #[arg(
        long,
        env = "CLICKHOUSE_EMBEDDED_PATH",
        default_value = ".local/data/clickhouse",
        value_name = "DIRECTORY"
    )]
    path: PathBuf,
    /// Maximum number of queries and inserts that run concurrently. Further ones wait.
    #[arg(long, env = "CLICKHOUSE_EMBEDDED_CONNECTIONS", default_value = "8")]
    connections: String,
    /// User that requests must specify. Without user and password, everyone who can reach the port has full
    /// access.
    #[arg(long, env = "CLICKHOUSE_EMBEDDED_USER")]
    user: Option<String>,
    /// Password that requests must specify.
    #[arg(long, env = "CLICKHOUSE_EMBEDDED_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Maximum duration of a request, including the wait for a connection. A query that takes longer is
    /// cancelled with code 159.
    #[arg(long, env = "CLICKHOUSE_EMBEDDED_QUERY_DEADLINE", default_value = "5m")]
    query_deadline: String,
    /// Maximum time without data within a request's body. After that, the insert is cancelled and stores
    /// nothing.
    #[arg(long, env = "CLICKHOUSE_EMBEDDED_RECEIVE_TIMEOUT", default_value = "30s")]
    receive_timeout: String,
    /// Maximum length of a request's body in MiB, as sent.
    #[arg(long, env = "CLICKHOUSE_EMBEDDED_MAX_BODY", default_value = "1024", value_name = "MIB")]
    max_body: String,
    /// Memory limit of the engine in MiB. A query that would exceed it fails.
    #[arg(long, env = "CLICKHOUSE_EMBEDDED_MEMORY", default_value = "4096", value_name = "MIB")]
    memory: String,
    /// Log level: `error`, `warn`, `info` or `debug`, or a filter.
    #[arg(long, env = "LOG", default_value = "info")]
    pub log: String,
    /// Validate the settings and exit.
    #[arg(long)]
    pub validate: bool,
}

/// User and password that requests must specify. The type has no `Debug`, so that the password is never
/// printed.
#[derive(Clone)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

/// Validated settings.
pub struct Settings {
    pub listen: SocketAddr,
    /// Path of libchdb.so.
    pub library: PathBuf,
    /// Data directory.
    pub path: PathBuf,
    /// Maximum number of concurrent statements.
    pub connections: u32,
    /// Credentials that requests must specify; `None` disables authentication.
    pub credentials: Option<Credentials>,
    /// Maximum duration of a request.
    pub query_deadline: Duration,
    /// Maximum time without data within a body.
    pub receive_timeout: Duration,
    /// Maximum length of a body in bytes.
    pub max_body: u64,
    /// Memory limit of the engine in bytes.
    pub memory: u64,
}

impl Arguments {
    /// Validates the settings and reports all faults.
    pub fn check(&self) -> Result<Settings, SettingsError> {
        let mut faults = Faults::default();
        let hour = Duration::from_secs(3600);
        let settings = Settings {
            listen: faults.address("--listen", &self.listen),
            library: self.library.clone().unwrap_or_default(),
            path: self.path.clone(),
            connections: faults.parse("--connections", &self.connections, "a number such as 8", 1),
            credentials: (self.user.is_some() || self.password.is_some()).then(|| Credentials {
                user: self.user.clone().unwrap_or_else(|| "default".to_owned()),
                password: self.password.clone().unwrap_or_default(),
            }),
            query_deadline: faults.duration(
                "--query-deadline",
                &self.query_deadline,
                Duration::from_millis(100)..=24 * hour,
            ),
            receive_timeout: faults.duration(
                "--receive-timeout",
                &self.receive_timeout,
                Duration::from_millis(100)..=hour,
            ),
            max_body: mebibytes(&mut faults, "--max-body", &self.max_body, 1),
            memory: mebibytes(&mut faults, "--memory", &self.memory, 512),
        };
        faults.check(
            self.library.is_some(),
            "--library",
            "is not set: run `deploy/local/up`, which fetches the engine, or pass the path of libchdb.so",
        );
        faults.check((1..=256).contains(&settings.connections), "--connections", "must be 1 to 256");
        if let Err(error) = self.log.parse::<tracing_subscriber::EnvFilter>() {
            faults.add("--log", format!("`{}` is not a log filter: {error}", self.log));
        }
        faults.into_result(settings)
    }
}

/// Parses a size in MiB from `min` to 1 TiB, and returns it in bytes.
fn mebibytes(faults: &mut Faults, setting: &str, text: &str, min: u64) -> u64 {
    let mebibytes: u64 = faults.parse(setting, text, "a number of MiB", min);
    faults.check((min..=1 << 20).contains(&mebibytes), setting, format_args!("must be {min} MiB to 1 TiB"));
    mebibytes.min(1 << 20) << 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_and_the_missing_library_are_reported_at_once() {
        let arguments =
            Arguments::parse_from(["x", "--listen=8123", "--connections=0", "--memory=lots", "--max-body=0"]);
        let arguments = Arguments { library: None, ..arguments };
        let Err(error) = arguments.check() else { panic!("five settings are invalid") };
        let message = error.to_string();
        for part in ["--listen", "--connections", "--memory", "--max-body", "deploy/local/up"] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
    }

    #[test]
    fn user_without_a_password_has_an_empty_password() {
        let settings = Arguments::parse_from(["x", "--library=l", "--user=u"]).check().expect("valid");
        let credentials = settings.credentials.expect("a user is set");
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("u", ""));
    }
}
