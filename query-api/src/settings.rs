//! Settings of the query API. `--help` is their reference.

use alerting::outgoing::address::Allowed;
use alerting::outgoing::target::Target;
use reads::stream::tail::StreamSettings;
use reads::usage::notices::Thresholds;
use service::clickhouse::Server;
use service::client::TrustedProxies;
use service::connections::Connections;
use service::settings::{Common, Faults, Secret, SettingsError};
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// The command line.
#[derive(Clone, clap::Parser)]
#[command(name = "query-api", version, about = "Manages projects and keys, and reads metrics")]
pub struct Arguments {
    /// Command to run instead of the service.
    #[command(subcommand)]
    pub command: Option<service::probe::Command>,
    /// Address and port for clients.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8090", value_name = "ADDRESS")]
    pub listen: String,
    /// Address and port for health checks and metrics. Do not expose it to the public.
    #[arg(long, env = "OPS_LISTEN", default_value = "127.0.0.1:9082", value_name = "ADDRESS")]
    pub ops_listen: String,
    /// URL of ClickHouse's HTTP interface; `https://…` for TLS.
    #[arg(long, env = "CLICKHOUSE_URL", default_value = "http://127.0.0.1:8123", value_name = "URL")]
    pub clickhouse_url: String,
    /// ClickHouse user, if ClickHouse requires one.
    #[arg(long, env = "CLICKHOUSE_USER", value_name = "NAME")]
    pub clickhouse_user: Option<String>,
    /// Password of the ClickHouse user.
    #[arg(long, env = "CLICKHOUSE_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub clickhouse_password: Option<String>,
    /// The operator's token, which creates projects: at least 16 visible ASCII characters. Required.
    #[arg(long, env = "OPERATOR_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub operator_token: Option<String>,
    /// URL to which clients send metrics; new connections show it.
    #[arg(
        long,
        env = "WEBHOOK_URL",
        default_value = "http://127.0.0.1:8080/api/webhooks/custom",
        value_name = "URL"
    )]
    pub webhook_url: String,
    /// Timeout of a query, 100ms to 5m. A query that takes longer gets 504.
    #[arg(long, env = "QUERY_TIMEOUT", default_value = "10s", value_name = "DURATION")]
    pub query_timeout: String,
    /// Maximum number of concurrent ClickHouse queries of this process, 2 to 1024. One project may use at
    /// most half of them. Default twice the number of cores.
    #[arg(long, env = "CONCURRENT_QUERIES", value_name = "NUMBER")]
    pub concurrent_queries: Option<usize>,
    /// Maximum time between a batch's timestamp and its write to Kafka, 0s to 5m. It must exceed the delivery
    /// timeout of every gateway plus the difference of their clocks; otherwise watermarks are wrong.
    #[arg(long, env = "MAX_PUBLISH_TIME", default_value = "6s", value_name = "DURATION")]
    pub max_publish_time: String,
    /// Interval at which all alert rules are evaluated, 10s to 1h. Rules are also evaluated when their metric
    /// receives points.
    #[arg(long, env = "ALERT_INTERVAL", default_value = "5m", value_name = "DURATION")]
    pub alert_interval: String,
    /// URL of the web page, for links in notifications. Default `http://` and the address of --listen.
    #[arg(long, env = "PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Private networks that channels may call, separated by commas: `10.1.0.0/16,127.0.0.0/8`. Anyone who
    /// may create channels can then make the service send requests to any listener in these networks.
    #[arg(
        long,
        env = "ALLOW_OUTGOING",
        default_value = "",
        hide_default_value = true,
        value_name = "NETWORKS"
    )]
    pub allow_outgoing: String,
    /// Proxies whose X-Forwarded-For header is trusted: addresses or networks separated by commas, such as
    /// `10.0.0.0/8,fd00::/8`. For all other peers, the client's address is that of the connection. Do not
    /// name networks from which clients connect directly: they could forge their address.
    #[arg(
        long,
        env = "TRUSTED_PROXIES",
        default_value = "",
        hide_default_value = true,
        value_name = "NETWORKS"
    )]
    pub trusted_proxies: String,
    /// Number of requests with wrong or revoked keys of one connection within 5 minutes that causes a notice
    /// in the usage report, 1 to 1000000.
    #[arg(long, env = "NOTICE_REFUSED_KEYS", default_value = "20", value_name = "REQUESTS")]
    pub notice_refused_keys: String,
    /// Age of a connection after which a request from a new address causes a notice in the usage report, 0s
    /// to 90d.
    #[arg(long, env = "NOTICE_NEW_ADDRESS_AFTER", default_value = "1d", value_name = "DURATION")]
    pub notice_new_address_after: String,
    /// Factor by which a connection's requests in an hour must exceed its hourly mean of the previous 7 days
    /// to cause a notice in the usage report, 1 to 1000000. Hours with fewer than 100 requests and the
    /// connection's first day cause none.
    #[arg(long, env = "NOTICE_TRAFFIC_JUMP", default_value = "10", value_name = "TIMES")]
    pub notice_traffic_jump: String,
    /// Print the OpenAPI document of the HTTP interface and exit.
    #[arg(long)]
    pub openapi: bool,
    #[command(flatten)]
    pub common: Common,
}

/// The validated settings.
#[derive(Clone)]
pub struct Settings {
    /// Address for clients.
    pub listen: SocketAddr,
    /// Address for health checks and metrics.
    pub ops_listen: SocketAddr,
    pub clickhouse: Server,
    pub operator_token: Secret,
    /// URL to which clients send metrics.
    pub webhook_url: String,
    pub query_timeout: Duration,
    /// Maximum number of concurrent ClickHouse queries.
    pub concurrent_queries: usize,
    /// Not configurable; tests shorten the intervals.
    pub streams: StreamSettings,
    /// Maximum time between a batch's timestamp and its write to Kafka.
    pub max_publish_time: Duration,
    /// Interval at which all alert rules are evaluated.
    pub alert_interval: Duration,
    /// URL of the web page.
    pub public_url: String,
    /// Private networks that channels may call.
    pub allow_outgoing: Allowed,
    pub trusted_proxies: TrustedProxies,
    /// Thresholds of the notices in the usage report.
    pub notices: Thresholds,
    /// Connection settings of the stores.
    pub connections: Connections,
    pub common: Common,
}

impl Arguments {
    /// Validates the settings, and reports all faults at once.
    pub fn check(self) -> Result<Settings, SettingsError> {
        let mut faults = Faults::default();
        let connections = self.common.check(&mut faults);
        let token = self.operator_token.unwrap_or_default();
        let valid = token.len() >= 16 && token.bytes().all(|byte| byte.is_ascii_graphic());
        faults.check(valid, "--operator-token", "is required: at least 16 visible ASCII characters");
        for (setting, url) in
            [("--clickhouse-url", &self.clickhouse_url), ("--webhook-url", &self.webhook_url)]
        {
            let scheme = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
            faults.check(scheme, setting, "must begin with `http://` or `https://`");
        }
        if let Some(url) = &self.public_url {
            faults.check(
                Target::parse(url).is_ok(),
                "--public-url",
                "must begin with `http://` or `https://`",
            );
        }
        let allow_outgoing = Allowed::parse(&self.allow_outgoing).unwrap_or_else(|network| {
            faults.add("--allow-outgoing", format!("`{network}` is not a network such as 10.1.0.0/16"));
            Allowed::default()
        });
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get);
        let concurrent = self.concurrent_queries.unwrap_or(2 * cores);
        faults.check((2..=1024).contains(&concurrent), "--concurrent-queries", "must be 2 to 1024");
        let five_minutes = Duration::from_secs(300);
        let settings = Settings {
            listen: faults.address("--listen", &self.listen),
            ops_listen: faults.address("--ops-listen", &self.ops_listen),
            clickhouse: Server {
                url: self.clickhouse_url,
                user: self.clickhouse_user,
                password: self.clickhouse_password.map(Secret::new),
                roots: connections.roots.clone(),
            },
            operator_token: Secret::new(token),
            webhook_url: self.webhook_url,
            query_timeout: faults.duration(
                "--query-timeout",
                &self.query_timeout,
                Duration::from_millis(100)..=five_minutes,
            ),
            alert_interval: faults.duration(
                "--alert-interval",
                &self.alert_interval,
                Duration::from_secs(10)..=Duration::from_secs(3600),
            ),
            public_url: self.public_url.unwrap_or_else(|| format!("http://{}", self.listen)),
            allow_outgoing,
            concurrent_queries: concurrent,
            streams: StreamSettings::default(),
            max_publish_time: faults.duration(
                "--max-publish-time",
                &self.max_publish_time,
                Duration::ZERO..=five_minutes,
            ),
            trusted_proxies: faults.trusted_proxies(&self.trusted_proxies),
            notices: Thresholds {
                refused_keys: number(
                    &mut faults,
                    "--notice-refused-keys",
                    &self.notice_refused_keys,
                    1..=1_000_000,
                ),
                new_address_after: faults.duration(
                    "--notice-new-address-after",
                    &self.notice_new_address_after,
                    Duration::ZERO..=Duration::from_secs(90 * 86_400),
                ),
                traffic_jump: number(
                    &mut faults,
                    "--notice-traffic-jump",
                    &self.notice_traffic_jump,
                    1.0..=1_000_000.0,
                ),
            },
            connections,
            common: self.common,
        };
        faults.into_result(settings)
    }
}

/// Parses a number in `range`.
fn number<T>(faults: &mut Faults, setting: &str, text: &str, range: RangeInclusive<T>) -> T
where
    T: FromStr + PartialOrd + fmt::Display + Copy,
{
    let (start, end) = (*range.start(), *range.end());
    let number = faults.parse(setting, text, "a number", start);
    faults.check(range.contains(&number), setting, format!("`{text}` is out of range: {start} to {end}"));
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    const TOKEN: &str = "0123456789abcdef";

    fn check(arguments: &[&str]) -> Result<Settings, SettingsError> {
        Arguments::parse_from([&["query-api"], arguments].concat()).check()
    }

    #[test]
    fn defaults_are_valid_and_debug_output_hides_the_token() {
        let settings = check(&["--operator-token", TOKEN]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(settings.query_timeout, Duration::from_secs(10));
        assert_eq!(settings.max_publish_time, Duration::from_secs(6));
        assert!(!format!("{:?}", settings.operator_token).contains(TOKEN));
    }

    #[test]
    fn all_invalid_settings_are_reported_without_the_token() {
        let wrong = [
            ("--listen", "8090"),
            ("--ops-listen", "here"),
            ("--clickhouse-url", "localhost:8123"),
            ("--operator-token", "short-secret"),
            ("--webhook-url", "example.org"),
            ("--query-timeout", "0s"),
            ("--concurrent-queries", "1"),
            ("--max-publish-time", "soon"),
            ("--alert-interval", "1s"),
            ("--public-url", "example.org"),
            ("--allow-outgoing", "localhost"),
            ("--trusted-proxies", "proxy"),
            ("--notice-refused-keys", "0"),
            ("--notice-new-address-after", "1y"),
            ("--notice-traffic-jump", "much"),
        ];
        let arguments: Vec<String> =
            wrong.iter().map(|(setting, value)| format!("{setting}={value}")).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let Err(error) = check(&arguments) else { panic!("all are wrong") };
        let message = error.to_string();
        for (setting, _) in wrong {
            assert!(message.contains(setting), "{setting} is missing in: {message}");
        }
        assert!(!message.contains("short-secret"));
    }

    #[test]
    fn operator_token_is_required() {
        assert!(check(&[]).is_err());
    }
}
