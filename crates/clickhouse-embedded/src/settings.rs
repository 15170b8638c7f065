//! The front's settings: flags, or environment variables of the same meaning.

use clap::Parser;
use service::settings::{Faults, SettingsError};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The ClickHouse engine as a library behind ClickHouse's HTTP interface: a stand-in for a server on one machine.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// Where to listen.
    #[arg(long, env = "CLICKHOUSE_EMBEDDED_LISTEN", default_value = "127.0.0.1:8123")]
    listen: String,
    /// The engine: the file libchdb.so. `deploy/local/up` fetches it.
    #[arg(long, env = "LIBCHDB", value_name = "FILE")]
    library: Option<PathBuf>,
    /// Where the data is; made if it is not there. One process at a time.
    #[arg(
        long,
        env = "CLICKHOUSE_EMBEDDED_PATH",
        default_value = ".local/data/clickhouse",
        value_name = "DIRECTORY"
    )]
    path: PathBuf,
    /// How many queries and inserts run side by side; more wait for one of them.
    #[arg(long, env = "CLICKHOUSE_EMBEDDED_CONNECTIONS", default_value = "8")]
    connections: String,
    /// The user that requests must name. Without user and password, anyone who reaches the port may do anything.
    #[arg(long, env = "CLICKHOUSE_EMBEDDED_USER")]
    user: Option<String>,
    /// The password that requests must give.
    #[arg(long, env = "CLICKHOUSE_EMBEDDED_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// The longest that a request may take, waiting included. A query that takes longer is ended: code 159.
    #[arg(long, env = "CLICKHOUSE_EMBEDDED_QUERY_DEADLINE", default_value = "5m")]
    query_deadline: String,
    /// The longest silence within a request's body. After it an insert is given up and stores nothing.
    #[arg(long, env = "CLICKHOUSE_EMBEDDED_RECEIVE_TIMEOUT", default_value = "30s")]
    receive_timeout: String,
    /// The largest body in MiB, as it is sent.
    #[arg(long, env = "CLICKHOUSE_EMBEDDED_MAX_BODY", default_value = "1024", value_name = "MIB")]
    max_body: String,
    /// How much memory the engine may take, in MiB: queries beyond it fail.
    #[arg(long, env = "CLICKHOUSE_EMBEDDED_MEMORY", default_value = "4096", value_name = "MIB")]
    memory: String,
    /// What is logged: `error`, `warn`, `info`, `debug`, or a filter.
    #[arg(long, env = "LOG", default_value = "info")]
    pub log: String,
    /// Check the settings and exit.
    #[arg(long)]
    pub validate: bool,
}

/// The user and password that requests must give.
#[derive(Clone)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password. Not printed: the type has no `Debug`.
    pub password: String,
}

/// Checked settings.
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The engine's file.
    pub library: PathBuf,
    /// The data's directory.
    pub path: PathBuf,
    /// Statements that run side by side.
    pub connections: u32,
    /// What requests must give; `None`: nothing.
    pub credentials: Option<Credentials>,
    /// The longest that a request may take.
    pub query_deadline: Duration,
    /// The longest silence within a body.
    pub receive_timeout: Duration,
    /// The largest body in bytes.
    pub max_body: u64,
    /// The engine's memory in bytes.
    pub memory: u64,
}

impl Arguments {
    /// Checks all settings; every fault is reported.
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
            "names no file: `deploy/local/up` fetches the engine, or pass the place of libchdb.so",
        );
        faults.check((1..=256).contains(&settings.connections), "--connections", "must be 1 to 256");
        if let Err(error) = self.log.parse::<tracing_subscriber::EnvFilter>() {
            faults.add("--log", format!("`{}` is not a log filter: {error}", self.log));
        }
        faults.into_result(settings)
    }
}

fn mebibytes(faults: &mut Faults, setting: &str, text: &str, least: u64) -> u64 {
    let mebibytes: u64 = faults.parse(setting, text, "a number of MiB", least);
    faults.check(
        (least..=1 << 20).contains(&mebibytes),
        setting,
        format_args!("must be {least} MiB to 1 TiB"),
    );
    mebibytes.min(1 << 20) << 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_reported_at_once_and_the_missing_library_names_the_way_out() {
        let arguments =
            Arguments::parse_from(["x", "--listen=8123", "--connections=0", "--memory=lots", "--max-body=0"]);
        let arguments = Arguments { library: None, ..arguments };
        let Err(error) = arguments.check() else { panic!("five settings are wrong") };
        let message = error.to_string();
        for part in ["--listen", "--connections", "--memory", "--max-body", "deploy/local/up"] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
    }

    #[test]
    fn a_user_without_a_password_has_an_empty_one() {
        let settings = Arguments::parse_from(["x", "--library=l", "--user=u"]).check().expect("valid");
        let credentials = settings.credentials.expect("a user was named");
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("u", ""));
    }
}
