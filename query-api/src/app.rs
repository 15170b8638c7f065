//! The state that all handlers share.

use crate::auth::OperatorToken;
use crate::metrics::Metrics;
use crate::session::Sessions;
use crate::session::ended::EndedSessions;
use crate::usage::Usage;
use alerting::follower::Follower;
use alerting::history::History;
use alerting::journal::Notes;
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

/// What all handlers share.
pub struct App {
    /// Keys.
    pub keys: KeyCache,
    /// What there is.
    pub directory: Directory,
    /// Changes.
    pub commands: Commands,
    /// The operator's token.
    pub operator: OperatorToken,
    /// Session cookies.
    pub sessions: Sessions,
    /// Which of them were ended before their time.
    pub ended_sessions: EndedSessions,
    /// Reads of stored metrics.
    pub reads: Arc<Engine>,
    /// Reads of quota usage.
    pub quota_usage: UsageReader,
    /// What became of alert rules.
    pub alerts: Follower,
    /// Where what people say of alerts is written.
    pub notes: Notes,
    /// What happened to alert rules.
    pub history: History,
    /// How often all alert rules are evaluated.
    pub alert_interval: Duration,
    /// Who calls receivers; it knows which it refuses.
    pub outgoing: Client,
    /// Where clients send metrics to.
    pub webhook_url: String,
    /// What projects are used for.
    pub usage: Usage,
    /// Who the clients are.
    pub clients: Clients,
    /// What holds up those who try keys.
    pub auth_throttle: AuthThrottle,
    /// Traces of requests.
    pub traces: Traces,
    /// What is counted.
    pub metrics: Metrics,
}
