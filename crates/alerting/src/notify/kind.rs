//! Kinds of channels.

use service::wire_enum;

wire_enum! {
    /// Kind of a channel.
    pub enum Kind {
        /// The project's inbox.
        InApp = "in_app",
        /// Slack incoming webhook.
        Slack = "slack",
        /// Discord webhook.
        Discord = "discord",
        /// Microsoft Teams workflow that is triggered by a webhook.
        Teams = "teams",
        /// HTTP endpoint of the user. Requests are signed according to Standard Webhooks.
        Webhook = "webhook",
    }
}
