//! The gateway's settings; `--help` documents them.

use crate::request::body::BodyTimeouts;
use ::quota::OutagePolicy;
use service::client::TrustedProxies;
use service::connections::Connections;
use service::settings::{Common, Faults, SettingsError};
use std::net::SocketAddr;
use std::time::Duration;

/// Command line and environment, unchecked.
#[derive(Debug, Clone, clap::Parser)]
#[command(
    name = "gateway",
    version,
    about = "Accepts batches of metrics over HTTP and acknowledges them once Kafka has stored them"
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<service::probe::Command>,
    /// Address and port for clients that send metrics.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: String,
    /// Address and port for health checks and Prometheus metrics. Do not expose it publicly.
    #[arg(long, env = "OPS_LISTEN", default_value = "127.0.0.1:9080", value_name = "ADDRESS")]
    pub ops_listen: String,
    /// Maximum time for Kafka to acknowledge a batch, 1s to 2m. After that the request is answered with 503.
    #[arg(long, env = "DELIVERY_TIMEOUT", default_value = "5s", value_name = "DURATION")]
    pub delivery_timeout: String,
    /// Maximum time between two pieces of a request body, 1s to 5m. After that the request is answered with
    /// 408.
    #[arg(long, env = "BODY_TIMEOUT", default_value = "10s", value_name = "DURATION")]
    pub body_timeout: String,
    /// Maximum time for a whole request body, 1s to 1h. After that the request is answered with 408.
    #[arg(long, env = "BODY_TOTAL_TIMEOUT", default_value = "60s", value_name = "DURATION")]
    pub body_total_timeout: String,
    /// Time for which cached keys stay valid while Redis is unreachable, 0s to 1h. After that requests are
    /// answered with 503. During this time a revoked key may still be accepted.
    #[arg(long, env = "KEY_OUTAGE_GRACE", default_value = "60s", value_name = "DURATION")]
    pub key_outage_grace: String,
    /// Policy for projects with a quota while Redis is unreachable. `open`: each gateway counts on its own,
    /// so each may grant up to the hourly limit. `closed`: requests are answered with 503.
    #[arg(long, env = "QUOTA_OUTAGE", default_value = "open", value_name = "open|closed")]
    pub quota_outage: String,
    /// Accept a Kafka cluster on which a single replica can acknowledge a batch. The loss of one broker may
    /// then lose acknowledged data.
    #[arg(long, env = "ALLOW_SINGLE_REPLICA")]
    pub allow_single_replica: bool,
    /// Proxies whose X-Forwarded-For header is trusted: comma-separated addresses or networks, such as
    /// `10.0.0.0/8,fd00::/8`. For all other peers, the client address is the address of the connection. Do
    /// not list networks that contain clients: they could forge their address.
    #[arg(
        long,
        env = "TRUSTED_PROXIES",
        default_value = "",
        hide_default_value = true,
        value_name = "NETWORKS"
    )]
    pub trusted_proxies: String,
    /// Secret key for hashing client addresses in the usage report: at least 16 characters, the same on all
    /// gateways, and never changed. Without it, each process generates a random key, so an address is counted
    /// anew for every gateway and restart.
    #[arg(long, env = "ADDRESS_HASH_KEY", hide_env_values = true, value_name = "SECRET")]
    pub address_hash_key: Option<String>,
    /// Print the OpenAPI document of the HTTP interface and exit.
    #[arg(long)]
    pub openapi: bool,
    #[command(flatten)]
    pub common: Common,
}

/// Checked settings.
#[derive(Debug, Clone)]
pub struct Settings {
    pub listen: SocketAddr,
    pub ops_listen: SocketAddr,
    pub delivery_timeout: Duration,
    pub body_timeouts: BodyTimeouts,
    pub key_outage_grace: Duration,
    pub quota_outage: OutagePolicy,
    pub allow_single_replica: bool,
    pub trusted_proxies: TrustedProxies,
    pub address_hash_key: Option<String>,
    /// Connection settings of the stores.
    pub connections: Connections,
    pub common: Common,
}

impl Arguments {
    /// Returns the checked settings, or an error that lists every invalid setting.
    pub fn check(self) -> Result<Settings, SettingsError> {
        let mut faults = Faults::default();
        let seconds = Duration::from_secs;
        let connections = self.common.check(&mut faults);
        let settings = Settings {
            listen: faults.address("--listen", &self.listen),
            ops_listen: faults.address("--ops-listen", &self.ops_listen),
            delivery_timeout: faults.duration(
                "--delivery-timeout",
                &self.delivery_timeout,
                seconds(1)..=seconds(120),
            ),
            body_timeouts: BodyTimeouts {
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
                OutagePolicy::Closed,
            ),
            allow_single_replica: self.allow_single_replica,
            trusted_proxies: faults.trusted_proxies(&self.trusted_proxies),
            address_hash_key: faults.address_hash_key(self.address_hash_key.as_deref()),
            connections,
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
    fn defaults_are_valid() {
        let settings = Arguments::parse_from(["gateway"]).check().expect("defaults are valid");
        assert_eq!(settings.delivery_timeout, Duration::from_secs(5));
        assert_eq!(settings.body_timeouts.idle, Duration::from_secs(10));
        assert_eq!(settings.quota_outage, OutagePolicy::Open);
    }

    #[test]
    fn all_invalid_settings_are_reported_at_once() {
        let invalid = [
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
        let arguments = invalid.iter().map(|(setting, value)| format!("{setting}={value}"));
        let arguments = Arguments::parse_from(["gateway".to_owned()].into_iter().chain(arguments));
        let message = arguments.check().expect_err("all are invalid").to_string();
        for (setting, _) in invalid {
            assert!(message.contains(setting), "{setting} is missing in: {message}");
        }
    }
}
