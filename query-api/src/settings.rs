//! The settings of the query API. `--help` is their reference.

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
#[command(name = "query-api", version, about = "Projects and keys are managed here, metrics are read here")]
pub struct Arguments {
    /// What to do instead of running.
    #[command(subcommand)]
    pub command: Option<service::probe::Command>,
    /// Where clients manage and read: address and port.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8090", value_name = "ADDRESS")]
    pub listen: String,
    /// Where health and metrics are served: address and port. Keep it off the public side.
    #[arg(long, env = "OPS_LISTEN", default_value = "127.0.0.1:9082", value_name = "ADDRESS")]
    pub ops_listen: String,
    /// ClickHouse's HTTP interface; `https://…` over TLS.
    #[arg(long, env = "CLICKHOUSE_URL", default_value = "http://127.0.0.1:8123", value_name = "URL")]
    pub clickhouse_url: String,
    /// ClickHouse's user, if it asks for one.
    #[arg(long, env = "CLICKHOUSE_USER", value_name = "NAME")]
    pub clickhouse_user: Option<String>,
    /// The password of that user.
    #[arg(long, env = "CLICKHOUSE_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub clickhouse_password: Option<String>,
    /// The operator's token, which creates projects: at least 16 visible ASCII characters. There is no default.
    #[arg(long, env = "OPERATOR_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub operator_token: Option<String>,
    /// Where clients send metrics to, as new connections are told.
    #[arg(
        long,
        env = "WEBHOOK_URL",
        default_value = "http://127.0.0.1:8080/api/webhooks/custom",
        value_name = "URL"
    )]
    pub webhook_url: String,
    /// How long a query may take, 100ms to 5m; then the answer is 504.
    #[arg(long, env = "QUERY_TIMEOUT", default_value = "10s", value_name = "DURATION")]
    pub query_timeout: String,
    /// How many queries ClickHouse works on for this process at once, 2 to 1024; one project has half of them at most.
    /// Twice the number of this machine's cores if left out.
    #[arg(long, env = "CONCURRENT_QUERIES", value_name = "NUMBER")]
    pub concurrent_queries: Option<usize>,
    /// How long after it was stamped a batch may still be written to Kafka, 0s to 5m. More than the delivery timeout of
    /// every gateway, and what their clocks may differ by on top: watermarks are only true if it is.
    #[arg(long, env = "MAX_PUBLISH_TIME", default_value = "6s", value_name = "DURATION")]
    pub max_publish_time: String,
    /// How often all alert rules are evaluated, 10s to 1h. Rules over metrics that receive points are evaluated at once.
    #[arg(long, env = "ALERT_INTERVAL", default_value = "5m", value_name = "DURATION")]
    pub alert_interval: String,
    /// Where people find the page, for links in notices. `http://` and the address of --listen if it is not given.
    #[arg(long, env = "PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Networks that channels may call though they are not public, separated by commas: `10.1.0.0/16,127.0.0.0/8`.
    /// Whoever may make channels can then make us call whatever listens there.
    #[arg(
        long,
        env = "ALLOW_OUTGOING",
        default_value = "",
        hide_default_value = true,
        value_name = "NETWORKS"
    )]
    pub allow_outgoing: String,
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
    /// The usage report has a notice when so many requests came within 5 minutes with wrong or revoked keys of one
    /// connection, 1 to 1000000.
    #[arg(long, env = "NOTICE_REFUSED_KEYS", default_value = "20", value_name = "REQUESTS")]
    pub notice_refused_keys: String,
    /// The usage report has a notice when a connection that has been in use for so long is used from an address that
    /// never used it before, 0s to 90d.
    #[arg(long, env = "NOTICE_NEW_ADDRESS_AFTER", default_value = "1d", value_name = "DURATION")]
    pub notice_new_address_after: String,
    /// The usage report has a notice when a connection has an hour of 100 requests or more that are more than so many
    /// times its hourly mean over the 7 days before, 1 to 1000000. Not in its first day.
    #[arg(long, env = "NOTICE_TRAFFIC_JUMP", default_value = "10", value_name = "TIMES")]
    pub notice_traffic_jump: String,
    /// Print the OpenAPI description of the HTTP interface and exit.
    #[arg(long)]
    pub openapi: bool,
    /// What all services share.
    #[command(flatten)]
    pub common: Common,
}

/// The settings, checked.
#[derive(Clone)]
pub struct Settings {
    /// Where clients manage and read.
    pub listen: SocketAddr,
    /// Where health and metrics are served.
    pub ops_listen: SocketAddr,
    /// ClickHouse.
    pub clickhouse: Server,
    /// The operator's token.
    pub operator_token: Secret,
    /// Where clients send metrics to.
    pub webhook_url: String,
    /// How long a query may take.
    pub query_timeout: Duration,
    /// How many queries ClickHouse works on at once.
    pub concurrent_queries: usize,
    /// How streams behave; it has no arguments.
    pub streams: StreamSettings,
    /// How long after it was stamped a batch may still be written.
    pub max_publish_time: Duration,
    /// How often all alert rules are evaluated.
    pub alert_interval: Duration,
    /// Where people find the page.
    pub public_url: String,
    /// Networks that channels may call though they are not public.
    pub allow_outgoing: Allowed,
    /// Whose word about their clients is believed.
    pub trusted_proxies: TrustedProxies,
    /// From when on something is worth a notice.
    pub notices: Thresholds,
    /// Connection settings of the stores.
    pub connections: Connections,
    /// What all services share.
    pub common: Common,
}

impl Arguments {
    /// The settings, or all that is wrong with them.
    pub fn check(self) -> Result<Settings, SettingsError> {
        let mut faults = Faults::default();
        let connections = self.common.check(&mut faults);
        let token = self.operator_token.unwrap_or_default();
        let fits = token.len() >= 16 && token.bytes().all(|byte| byte.is_ascii_graphic());
        faults.check(fits, "--operator-token", "must be given, at least 16 visible ASCII characters");
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
        let long = Duration::from_secs(300);
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
                Duration::from_millis(100)..=long,
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
                Duration::ZERO..=long,
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

/// A number within `range`.
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
    fn with_a_token_the_defaults_are_valid_and_the_token_is_not_printed() {
        let settings = check(&["--operator-token", TOKEN]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(settings.query_timeout, Duration::from_secs(10));
        assert_eq!(settings.max_publish_time, Duration::from_secs(6));
        assert!(!format!("{:?}", settings.operator_token).contains(TOKEN));
    }

    #[test]
    fn every_wrong_setting_is_named_at_once_and_the_token_is_not_repeated() {
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
    fn without_an_operator_token_it_does_not_start() {
        assert!(check(&[]).is_err());
    }
}
