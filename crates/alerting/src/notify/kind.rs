//! The kinds of channels.

use service::wire_enum;

wire_enum! {
    /// What a channel is.
    pub enum Kind {
        /// The project's inbox.
        InApp = "in_app",
        /// An incoming webhook of Slack.
        Slack = "slack",
        /// A webhook of Discord.
        Discord = "discord",
        /// A workflow of Microsoft Teams that begins with a webhook.
        Teams = "teams",
        /// A receiver of the client's own; signed as Standard Webhooks has it.
        Webhook = "webhook",
    }
}
