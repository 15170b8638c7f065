//! Settings: flags or environment variables, checked at start, all faults reported at once.
//!
//! The command line only collects text; each binary turns it into its own typed settings with a [`Faults`], so that
//! an operator who got three settings wrong reads three messages and not one.

use crate::connections::Security;
use crate::traces::TraceSettings;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// What every service takes. Flatten it into the service's own `clap::Parser`.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Kafka brokers, `host:port[,host:port…]`.
    #[arg(long, env = "KAFKA_BROKERS", default_value = "127.0.0.1:9092", value_name = "HOSTS")]
    pub kafka_brokers: String,
    /// Redis, `redis://[user:password@]host:port[/db]`, or `rediss://…` over TLS. A Redis Cluster:
    /// `redis-cluster://[user:password@]host:port[,host:port…]`, or `rediss-cluster://…`.
    #[arg(long, env = "REDIS_URL", default_value = "redis://127.0.0.1:6379", hide_env_values = true)]
    pub redis_url: String,
    /// TLS and authentication towards the stores.
    #[command(flatten)]
    pub security: Security,
    /// Traces.
    #[command(flatten)]
    pub traces: TraceSettings,
    /// Keeps several installations apart that share their stores: a prefix of topics, Redis keys and databases
    /// (lower case letters, digits and `_`).
    #[arg(long, env = "NAMESPACE", default_value = "", hide_default_value = true)]
    pub namespace: String,
    /// What is logged: `error`, `warn`, `info`, `debug`, or a filter such as `info,gateway=debug`.
    #[arg(long, env = "LOG", default_value = "info")]
    pub log: String,
    /// Check the settings and exit.
    #[arg(long)]
    pub validate: bool,
}

impl Common {
    /// Checks what can be checked without reaching anything, and settles how the stores are reached
    /// ([`crate::connections`]).
    pub fn check(&self, faults: &mut Faults) {
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
        self.security.check(faults);
        self.traces.check(faults);
        if !self.namespace.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
            faults.add("--namespace", "may hold lower case letters, digits and `_` only");
        }
        if let Err(error) = self.log.parse::<tracing_subscriber::EnvFilter>() {
            faults.add("--log", format!("`{}` is not a log filter: {error}", self.log));
        }
    }
}

/// Collects what is wrong with the settings.
#[derive(Debug, Default)]
pub struct Faults(Vec<String>);

impl Faults {
    /// How many things are wrong.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Notes that `setting` is wrong.
    pub fn add(&mut self, setting: &str, message: impl fmt::Display) {
        self.0.push(format!("{setting}: {message}"));
    }

    /// Notes `message` unless `holds`.
    pub fn check(&mut self, holds: bool, setting: &str, message: impl fmt::Display) {
        if !holds {
            self.add(setting, message);
        }
    }

    /// Parses `text`. On a fault it is noted and `fallback` returned, so that the remaining settings are checked too.
    pub fn parse<T: FromStr>(&mut self, setting: &str, text: &str, expected: &str, fallback: T) -> T {
        text.trim().parse().unwrap_or_else(|_| {
            self.add(setting, format!("`{text}` is not {expected}"));
            fallback
        })
    }

    /// An address to listen on, such as `127.0.0.1:8080`.
    pub fn address(&mut self, setting: &str, text: &str) -> SocketAddr {
        let expected = "an address such as 127.0.0.1:8080 or [::]:8080";
        self.parse(setting, text, expected, SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// A duration such as `250ms`, `10s` or `1h 30m`, within `range`.
    pub fn duration(
        &mut self,
        setting: &str,
        text: &str,
        range: std::ops::RangeInclusive<Duration>,
    ) -> Duration {
        let bounds = format!(
            "{} to {}",
            humantime::format_duration(*range.start()),
            humantime::format_duration(*range.end())
        );
        match humantime::parse_duration(text.trim()) {
            Ok(value) if range.contains(&value) => value,
            Ok(_) => {
                self.add(setting, format!("`{text}` is out of range: {bounds}"));
                *range.start()
            }
            Err(_) => {
                self.add(setting, format!("`{text}` is not a duration such as `250ms` or `10s` ({bounds})"));
                *range.start()
            }
        }
    }

    /// `settings` if nothing was wrong.
    pub fn into_result<T>(self, settings: T) -> Result<T, SettingsError> {
        if self.0.is_empty() { Ok(settings) } else { Err(SettingsError(self.0)) }
    }
}

/// Everything that is wrong with the settings, one line each.
#[derive(Debug, thiserror::Error)]
pub struct SettingsError(Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings are not usable ({} of them); `--help` says what each takes", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

/// Ends `main` for `--validate` or for wrong settings: prints and returns the exit code, or gives the settings to go on with.
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
        let wrong = Common {
            kafka_brokers: "localhost".into(),
            redis_url: "localhost:6379".into(),
            namespace: "Big Name".into(),
            ..common()
        };
        wrong.check(&mut faults);
        faults.address("--listen", "8080");
        faults.duration("--timeout", "5 parsecs", Duration::ZERO..=Duration::from_secs(60));
        let message = faults.into_result(()).expect_err("five settings are wrong").to_string();
        for setting in ["--kafka-brokers", "--redis-url", "--namespace", "--listen", "--timeout"] {
            assert!(message.contains(setting), "{setting} is missing in: {message}");
        }
    }

    #[test]
    fn good_settings_have_no_faults() {
        let mut faults = Faults::default();
        common().check(&mut faults);
        assert_eq!(
            faults.duration("--timeout", "1s 500ms", Duration::ZERO..=Duration::from_secs(2)),
            Duration::from_millis(1500)
        );
        assert!(faults.into_result(()).is_ok());
    }

    #[test]
    fn a_duration_out_of_range_names_the_range() {
        let mut faults = Faults::default();
        faults.duration("--timeout", "2h", Duration::from_secs(1)..=Duration::from_secs(60));
        assert!(faults.into_result(()).expect_err("too long").to_string().contains("1s to 1m"));
    }
}
