//! Settings: command-line flags or environment variables, validated at startup, with all faults reported at
//! once.
//!
//! The command line collects text only. Each binary converts the text to its own typed settings with
//! [`Faults`].

use crate::connections::{Connections, Security};
pub use crate::faults::{Faults, SettingsError};
use crate::traces::TraceSettings;
use std::fmt;

/// Settings that every service has. Flatten them into the service's own `clap::Parser`.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Kafka brokers: `host:port[,host:port…]`.
    #[arg(long, env = "KAFKA_BROKERS", default_value = "127.0.0.1:9092", value_name = "HOSTS")]
    pub kafka_brokers: String,
    /// Address of Redis: `redis://[user:password@]host:port[/db]`, or `rediss://…` over TLS. For a Redis
    /// Cluster: `redis-cluster://[user:password@]host:port[,host:port…]`, or `rediss-cluster://…` over TLS.
    #[arg(long, env = "REDIS_URL", default_value = "redis://127.0.0.1:6379", hide_env_values = true)]
    pub redis_url: String,
    /// TLS and authentication to the stores.
    #[command(flatten)]
    pub security: Security,
    /// Export of traces.
    #[command(flatten)]
    pub traces: TraceSettings,
    /// Prefix of topics, Redis keys and databases, which separates installations that share their stores
    /// (lower case letters, digits and `_`).
    #[arg(long, env = "NAMESPACE", default_value = "", hide_default_value = true)]
    pub namespace: String,
    /// Log level: `error`, `warn`, `info` or `debug`, or a filter such as `info,gateway=debug`.
    #[arg(long, env = "LOG", default_value = "info")]
    pub log: String,
    /// Validate the settings and exit.
    #[arg(long)]
    pub validate: bool,
}

impl Common {
    /// Validates the settings without connecting to anything. Returns the connection settings, which are incomplete if there
    /// are faults.
    pub fn check(&self, faults: &mut Faults) -> Connections {
        for broker in self.kafka_brokers.split(',') {
            let port =
                broker.trim().rsplit_once(':').map(|(host, port)| (host.is_empty(), port.parse::<u16>()));
            if !matches!(port, Some((false, Ok(_)))) {
                faults.add("--kafka-brokers", format!("`{broker}` is not `host:port`"));
            }
        }
        let schemes = ["redis://", "rediss://", "redis-cluster://", "rediss-cluster://"];
        if !schemes.iter().any(|scheme| self.redis_url.starts_with(scheme)) {
            faults.add(
                "--redis-url",
                "must begin with `redis://`, `rediss://`, `redis-cluster://` or `rediss-cluster://`",
            );
        }
        let connections = self.security.check(&self.kafka_brokers, &self.redis_url, faults);
        self.traces.check(faults);
        if !self.namespace.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
            faults.add("--namespace", "may contain only lower case letters, digits and `_`");
        }
        if let Err(error) = self.log.parse::<tracing_subscriber::EnvFilter>() {
            faults.add("--log", format!("`{}` is not a log filter: {error}", self.log));
        }
        connections
    }
}

/// Returns the settings to run with. For `--validate` and for invalid settings, prints the result and returns
/// the exit code of the process instead.
pub fn resolve<T>(result: Result<T, SettingsError>, validate: bool) -> Result<T, std::process::ExitCode> {
    match result {
        Ok(_) if validate => {
            println!("the settings are valid");
            Err(std::process::ExitCode::SUCCESS)
        }
        Ok(settings) => Ok(settings),
        Err(error) => {
            eprintln!("{error}");
            Err(std::process::ExitCode::from(2))
        }
    }
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn common() -> Common {
        Common {
            kafka_brokers: "127.0.0.1:9092".into(),
            redis_url: "redis://127.0.0.1:6379".into(),
            security: Security::default(),
            traces: TraceSettings::default(),
            namespace: String::new(),
            log: "info".into(),
            validate: false,
        }
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let mut faults = Faults::default();
        let invalid = Common {
            kafka_brokers: "localhost".into(),
            redis_url: "localhost:6379".into(),
            namespace: "Big Name".into(),
            ..common()
        };
        invalid.check(&mut faults);
        faults.address("--listen", "8080");
        faults.duration("--timeout", "5 parsecs", Duration::ZERO..=Duration::from_secs(60));
        let message = faults.into_result(()).expect_err("five settings are invalid").to_string();
        for setting in ["--kafka-brokers", "--redis-url", "--namespace", "--listen", "--timeout"] {
            assert!(message.contains(setting), "{setting} is missing in: {message}");
        }
    }

    #[test]
    fn valid_settings_have_no_faults() {
        let mut faults = Faults::default();
        common().check(&mut faults);
        assert_eq!(
            faults.duration("--timeout", "1s 500ms", Duration::ZERO..=Duration::from_secs(2)),
            Duration::from_millis(1500)
        );
        assert!(faults.into_result(()).is_ok());
    }
}
