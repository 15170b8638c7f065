//! The gateway's settings. `--help` is their reference.

use crate::request::body::BodyTimes;
use accounts::quota::Outage;
use service::client::TrustedProxies;
use service::settings::{Common, Faults, SettingsError};
use std::net::SocketAddr;
use std::time::Duration;

/// The command line.
#[derive(Debug, Clone, clap::Parser)]
#[command(
    name = "gateway",
    version,
    about = "Takes batches of metrics over HTTP and answers once Kafka has them"
)]
pub struct Arguments {
    /// What to do instead of running.
    #[command(subcommand)]
    pub command: Option<service::probe::Command>,
    /// Where clients send metrics: address and port.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: String,
    /// Where health and metrics are served: address and port. Keep it off the public side.
    #[arg(long, env = "OPS_LISTEN", default_value = "127.0.0.1:9080", value_name = "ADDRESS")]
    pub ops_listen: String,
    /// How long Kafka may take to acknowledge a batch, 1s to 2m; then the answer is 503.
    #[arg(long, env = "DELIVERY_TIMEOUT", default_value = "5s", value_name = "DURATION")]
    pub delivery_timeout: String,
    /// How long a body may stand still, 1s to 5m; then the answer is 408.
    #[arg(long, env = "BODY_TIMEOUT", default_value = "10s", value_name = "DURATION")]
    pub body_timeout: String,
    /// How long a body may take in all, 1s to 1h; then the answer is 408.
    #[arg(long, env = "BODY_TOTAL_TIMEOUT", default_value = "60s", value_name = "DURATION")]
    pub body_total_timeout: String,
    /// How long keys that are known go on while Redis cannot be reached, 0s to 1h; then the answer is 503. In that time
    /// a revoked key may still be accepted.
    #[arg(long, env = "KEY_OUTAGE_GRACE", default_value = "60s", value_name = "DURATION")]
    pub key_outage_grace: String,
    /// What happens to projects with a quota while Redis cannot be reached. `open`: each gateway counts alone, so that an
    /// hour may see up to its limit from each of them. `closed`: the answer is 503. Anything else is refused at start.
    #[arg(long, env = "QUOTA_OUTAGE", default_value = "open", value_name = "open|closed")]
    pub quota_outage: String,
    /// Run on a cluster although a batch may be acknowledged by a single replica: one lost broker may then lose
    /// acknowledged data.
    #[arg(long, env = "ALLOW_SINGLE_REPLICA")]
    pub allow_single_replica: bool,
    /// Proxies whose X-Forwarded-For is believed: addresses or networks with commas between them, such as
    /// `10.0.0.0/8,fd00::/8`. Of everybody else the address is the connection's. Name none that clients can reach
    /// directly: they could pass for anybody.
    #[arg(
        long,
        env = "TRUSTED_PROXIES",
        default_value = "",
        hide_default_value = true,
        value_name = "NETWORKS"
    )]
    pub trusted_proxies: String,
    /// The secret under which addresses of clients are hashed for the usage report: at least 16 characters, the same for
    /// all gateways and for good. Without one each process takes its own at random, and counts an address anew.
    #[arg(long, env = "ADDRESS_HASH_KEY", hide_env_values = true, value_name = "SECRET")]
    pub address_hash_key: Option<String>,
    /// Print the OpenAPI description of the HTTP interface and exit.
    #[arg(long)]
    pub openapi: bool,
    /// What all services share.
    #[command(flatten)]
    pub common: Common,
}

/// The settings, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where clients send metrics.
    pub listen: SocketAddr,
    /// Where health and metrics are served.
    pub ops_listen: SocketAddr,
    /// How long Kafka may take to acknowledge.
    pub delivery_timeout: Duration,
    /// How long a body may take.
    pub body_times: BodyTimes,
    /// How long known keys outlive Redis.
    pub key_outage_grace: Duration,
    /// What happens to projects with a quota while Redis cannot be reached.
    pub quota_outage: Outage,
    /// Whether one replica is enough on a cluster.
    pub allow_single_replica: bool,
    /// Whose word about their clients is believed.
    pub trusted_proxies: TrustedProxies,
    /// The secret for hashes of addresses.
    pub address_hash_key: Option<String>,
    /// What all services share.
    pub common: Common,
}

impl Arguments {
    /// The settings, or all that is wrong with them.
    pub fn check(self) -> Result<Settings, SettingsError> {
        let mut faults = Faults::default();
        let seconds = Duration::from_secs;
        self.common.check(&mut faults);
        let settings = Settings {
            listen: faults.address("--listen", &self.listen),
            ops_listen: faults.address("--ops-listen", &self.ops_listen),
            delivery_timeout: faults.duration(
                "--delivery-timeout",
                &self.delivery_timeout,
                seconds(1)..=seconds(120),
            ),
            body_times: BodyTimes {
                idle: faults.duration("--body-timeout", &self.body_timeout, seconds(1)..=seconds(300)),
                total: faults.duration(
                    "--body-total-timeout",
                    &self.body_total_timeout,
                    seconds(1)..=seconds(3600),
                ),
            },
            key_outage_grace: faults.duration(
                "--key-outage-grace",
                &self.key_outage_grace,
                seconds(0)..=seconds(3600),
            ),
            quota_outage: faults.parse(
                "--quota-outage",
                &self.quota_outage,
                "`open` or `closed`",
                Outage::Closed,
            ),
            allow_single_replica: self.allow_single_replica,
            trusted_proxies: faults.trusted_proxies(&self.trusted_proxies),
            address_hash_key: faults.address_hash_key(self.address_hash_key.as_deref()),
            common: self.common,
        };
        faults.into_result(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn the_defaults_are_valid() {
        let settings = Arguments::parse_from(["gateway"]).check().expect("the defaults are valid");
        assert_eq!(settings.delivery_timeout, Duration::from_secs(5));
        assert_eq!(settings.body_times.idle, Duration::from_secs(10));
        assert_eq!(settings.quota_outage, Outage::Open);
    }

    #[test]
    fn every_wrong_setting_is_named_at_once() {
        let wrong = [
            ("--listen", "8080"),
            ("--ops-listen", "here"),
            ("--delivery-timeout", "0s"),
            ("--body-timeout", "soon"),
            ("--body-total-timeout", "2h"),
            ("--key-outage-grace", "-1s"),
            ("--quota-outage", "ajar"),
            ("--trusted-proxies", "10.0.0.0/8,proxy"),
            ("--address-hash-key", "short"),
        ];
        let arguments = wrong.iter().map(|(setting, value)| format!("{setting}={value}"));
        let arguments = Arguments::parse_from(["gateway".to_owned()].into_iter().chain(arguments));
        let message = arguments.check().expect_err("all are wrong").to_string();
        for (setting, _) in wrong {
            assert!(message.contains(setting), "{setting} is missing in: {message}");
        }
    }
}
