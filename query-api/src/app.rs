//! The state that the request handlers share. It holds dependencies only; their behaviour is in their own
//! modules.

use crate::auth::OperatorToken;
use crate::metrics::Metrics;
use crate::session::Sessions;
use crate::session::ended::EndedSessions;
use crate::usage::Usage;
use alerting::follower::Follower;
use alerting::history::History;
use alerting::journal::UserRecords;
use alerting::outgoing::client::Client;
use control::commands::Commands;
use control::directory::Directory;
use control::keys::KeyCache;
use quota::UsageReader;
use reads::engine::Engine;
use service::auth_throttle::AuthThrottle;
use service::client::Clients;
use service::traces::Traces;
use std::sync::Arc;
use std::time::Duration;

/// Dependencies of the request handlers.
pub struct App {
    /// Authenticates API keys.
    pub keys: KeyCache,
    /// Reads projects, keys, dashboards and all other entities from Redis.
    pub directory: Directory,
    /// Writes changes to the control log.
    pub commands: Commands,
    pub operator: OperatorToken,
    /// Seals and opens session cookies.
    pub sessions: Sessions,
    /// The sessions that were ended before they expired.
    pub ended_sessions: EndedSessions,
    /// Reads stored metrics.
    pub reads: Arc<Engine>,
    /// Reads the quota usage of projects.
    pub quota_usage: UsageReader,
    /// The current states of alert rules, and the inboxes.
    pub alerts: Follower,
    /// Writes acknowledgements and tests to the alert topic.
    pub user_records: UserRecords,
    /// Reads the history of alert rules from ClickHouse.
    pub history: History,
    /// Interval at which all alert rules are evaluated.
    pub alert_interval: Duration,
    /// Calls the receivers of notifications; refuses private addresses.
    pub outgoing: Client,
    /// URL to which clients send metrics.
    pub webhook_url: String,
    /// Reads the usage of connections and keys.
    pub usage: Usage,
    /// Finds the address of a request's client behind trusted proxies.
    pub clients: Clients,
    /// Delays clients that try unknown keys.
    pub auth_throttle: AuthThrottle,
    pub traces: Traces,
    pub metrics: Metrics,
}
