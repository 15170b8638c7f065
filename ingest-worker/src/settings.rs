//! The worker's settings.

use clap::Parser;
use service::settings::{Common, Faults, SettingsError};
use std::net::SocketAddr;

/// Writes metrics from Kafka to ClickHouse, each exactly once.
#[derive(Debug, Parser)]
#[command(name = "ingest-worker", version)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// ClickHouse, `http://host:port`.
    #[arg(long, env = "CLICKHOUSE_URL", default_value = "http://127.0.0.1:8123", value_name = "URL")]
    clickhouse_url: String,
    /// ClickHouse user.
    #[arg(long, env = "CLICKHOUSE_USER", default_value = "", hide_default_value = true)]
    clickhouse_user: String,
    /// ClickHouse password.
    #[arg(
        long,
        env = "CLICKHOUSE_PASSWORD",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true
    )]
    clickhouse_password: String,
    /// Where health and metrics are served.
    #[arg(long, env = "OPS_LISTEN", default_value = "127.0.0.1:9081", value_name = "ADDRESS")]
    ops_listen: String,
}

/// The settings, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What every service takes.
    pub common: Common,
    /// ClickHouse.
    pub clickhouse: clickhouse::Client,
    /// Where health and metrics are served.
    pub ops_listen: SocketAddr,
}

impl Arguments {
    /// Whether only the check was asked for.
    pub fn validate(&self) -> bool {
        self.common.validate
    }

    /// The settings, or everything that is wrong with them.
    pub fn check(self) -> Result<Settings, SettingsError> {
        let mut faults = Faults::default();
        self.common.check(&mut faults);
        let http = ["http://", "https://"].iter().any(|scheme| self.clickhouse_url.starts_with(scheme));
        faults.check(http, "--clickhouse-url", "must begin with `http://` or `https://`");
        let ops_listen = faults.address("--ops-listen", &self.ops_listen);
        let mut client = clickhouse::Client::default().with_url(&self.clickhouse_url);
        if !self.clickhouse_user.is_empty() {
            client = client.with_user(&self.clickhouse_user).with_password(&self.clickhouse_password);
        }
        faults.into_result(Settings { common: self.common, clickhouse: client, ops_listen })
    }
}
