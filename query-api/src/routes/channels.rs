//! Channels: destinations of alert notifications.

use crate::app::App;
use crate::auth::{Manager, Reader};
use crate::error::{Error, ErrorBody, directory_unavailable};
use crate::faults::FaultCode;
use crate::fields::Fields;
use crate::params::{PageRequest, Params};
use crate::response::{ListItem, ListResponse};
use crate::routes::Id;
use alerting::notify::kind::Kind;
use alerting::notify::webhook;
use alerting::outgoing::client::Client;
use alerting::outgoing::target::Target;
use axum::Json;
use axum::extract::State;
use control::commands::{Commands, ExpectedVersion};
use hyper::StatusCode;
use proto::v1::{self, AlertSubject, AlertTest, alert_record};
use serde::Serialize;
use service::wire_enum::WireEnum as _;
use std::sync::Arc;
use utoipa::ToSchema;

/// Name of the list in cursors.
const LIST: &str = "channels";

/// A channel to create.
#[derive(ToSchema)]
pub struct NewChannel {
    /// 1 to 100 characters, no control characters.
    #[schema(min_length = 1, example = "On call")]
    name: String,
    /// The kind of the channel.
    kind: Kind,
    /// Destination of the notifications; not for `in_app`. The URL is a secret: answers contain only a part
    /// of it.
    #[schema(value_type = Option<String>, example = "https://hooks.slack.com/services/…")]
    url: Option<Target>,
}

impl NewChannel {
    /// Reads a channel whose requests `outgoing` would make.
    fn read(mut fields: Fields, outgoing: &Client) -> Result<Self, Error> {
        let name = fields.name("name");
        let kind = fields.choice("kind");
        let url = match kind {
            Some(Kind::InApp) => {
                if fields.has("url") {
                    let message = "must be left out: in_app is the project's inbox";
                    fields.fault("url", FaultCode::Unexpected, message);
                }
                None
            }
            None => None,
            Some(_) => fields.string("url"),
        };
        let url = url.and_then(|url| match Target::parse(&url) {
            Ok(target) => Some(target),
            Err(error) => {
                fields.fault("url", FaultCode::BadUrl, error.to_string());
                None
            }
        });
        if url.as_ref().is_some_and(|target| outgoing.refuses(target)) {
            let message =
                "must not name a private address, unless the operator allows it with --allow-outgoing";
            fields.fault("url", FaultCode::BadUrl, message);
        }
        fields.finish(name.zip(kind).map(|(name, kind)| Self { name, kind, url }))
    }

    /// Returns the channel of a project. A webhook gets a new signing key.
    fn into_record(self, project_id: &str) -> v1::Channel {
        let signing_key = match self.kind {
            Kind::Webhook => rand::random::<[u8; 32]>().to_vec(),
            Kind::InApp | Kind::Slack | Kind::Discord | Kind::Teams => Vec::new(),
        };
        v1::Channel {
            project_id: project_id.to_owned(),
            name: self.name,
            kind: self.kind.as_str().to_owned(),
            url: self.url.map(|target| target.reveal().to_owned()).unwrap_or_default(),
            signing_key,
            ..v1::Channel::default()
        }
    }
}

/// A channel.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    /// The id.
    channel_id: String,
    /// The name.
    name: String,
    /// The kind of the channel.
    #[schema(value_type = Kind)]
    kind: String,
    /// The part of the URL that tells channels apart; `null` for `in_app`.
    #[schema(required)]
    url: Option<String>,
    /// The key that signs a webhook's requests. Only the answer to the channel's creation contains it.
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_secret: Option<String>,
    /// Creation time, Unix milliseconds.
    created_at: i64,
    /// Time of the last change, Unix milliseconds.
    updated_at: i64,
    /// Version, which grows with each change.
    version: u64,
}

impl ListItem for Channel {
    const LIST_NAME: &'static str = "Channels";
    const LIST_DESCRIPTION: &'static str = "A page of channels in the order of their creation.";
}

type Channels = ListResponse<Channel>;

/// A test notification that is being sent.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TestAsked)]
pub struct StartedTest {
    /// The id of the test message.
    test_id: String,
    /// Ids of the channels that receive it.
    channels: Vec<String>,
}

impl From<v1::Channel> for Channel {
    fn from(channel: v1::Channel) -> Self {
        Self {
            url: Target::parse(&channel.url).ok().map(|target| target.hint()),
            channel_id: channel.channel_id,
            name: channel.name,
            kind: channel.kind,
            signing_secret: None,
            created_at: channel.created_at_ms,
            updated_at: channel.updated_at_ms,
            version: channel.version,
        }
    }
}

/// Creates a channel. Nothing is sent to it yet.
#[utoipa::path(
    post,
    path = "/channels",
    tag = "alerts",
    operation_id = "createChannel",
    request_body = NewChannel,
    security(("key" = ["manage"])),
    responses(
        (status = 201, description = "The channel", body = Channel),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn create(
    Manager(key): Manager,
    State(app): State<Arc<App>>,
    fields: Fields,
) -> Result<(StatusCode, Json<Channel>), Error> {
    let channel = NewChannel::read(fields, &app.outgoing)?.into_record(&key.project_id);
    let create = |commands: Commands| async move { commands.create_entity(channel).await };
    let created = app.command(create).await.map_err(|failed| failed.or(Error::ChannelNotFound))?;
    tracing::info!(project = key.project_id, channel = created.channel_id, "created channel");
    let secret = (!created.signing_key.is_empty()).then(|| webhook::secret(&created.signing_key));
    Ok((StatusCode::CREATED, Json(Channel { signing_secret: secret, ..created.into() })))
}

/// Lists the project's channels.
#[utoipa::path(
    get,
    path = "/channels",
    tag = "alerts",
    operation_id = "listChannels",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of items in the page; default 100"),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of an earlier answer"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of channels", body = Channels),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<Channels>, Error> {
    let PageRequest { after, limit, .. } = params.page::<String>(LIST);
    params.check()?;
    let page = app.directory.list_entities::<v1::Channel>(&key.project_id, after.as_deref(), limit).await;
    let page = page.map_err(directory_unavailable)?;
    Ok(Json(ListResponse::from_page(page, LIST, Channel::from)))
}

/// Removes a channel. Rules that name it stop notifying it.
#[utoipa::path(
    delete,
    path = "/channels/{channelId}",
    tag = "alerts",
    operation_id = "removeChannel",
    params(("channelId" = String, Path, description = "The channel's id")),
    security(("key" = ["manage"])),
    responses(
        (status = 204, description = "Removed"),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn remove(
    Manager(key): Manager,
    Id(id): Id,
    State(app): State<Arc<App>>,
) -> Result<StatusCode, Error> {
    tracing::info!(project = key.project_id, channel = id, "removing a channel");
    let remove = |commands: Commands| async move {
        commands.remove_entity::<v1::Channel>(&key.project_id, &id, &ExpectedVersion::Any).await
    };
    app.command(remove).await.map_err(|failed| failed.or(Error::ChannelNotFound))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a test notification to a channel. A failed delivery is not retried.
#[utoipa::path(
    post,
    path = "/channels/{channelId}/test",
    tag = "alerts",
    operation_id = "testChannel",
    params(("channelId" = String, Path, description = "The channel's id")),
    security(("key" = ["manage"])),
    responses(
        (status = 202, description = "The test is being sent", body = StartedTest),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn test(
    Manager(key): Manager,
    Id(id): Id,
    State(app): State<Arc<App>>,
) -> Result<(StatusCode, Json<StartedTest>), Error> {
    let channel: Option<v1::Channel> =
        app.directory.entity(&key.project_id, &id).await.map_err(directory_unavailable)?;
    let channel = channel.ok_or(Error::ChannelNotFound)?;
    let subject = AlertSubject {
        project_id: channel.project_id,
        name: channel.name,
        channels: vec![channel.channel_id],
        ..AlertSubject::default()
    };
    let test = AlertTest { subject: Some(subject), at_ms: service::clock::now_ms(), ..AlertTest::default() };
    start_test(&app, test).await
}

/// Gives `test` an id and records it in the alert topic, from which the evaluating replica delivers it.
pub async fn start_test(app: &App, test: AlertTest) -> Result<(StatusCode, Json<StartedTest>), Error> {
    let test = AlertTest { test_id: control::token::id("test"), ..test };
    let channels = test.subject.iter().flat_map(|subject| subject.channels.clone()).collect();
    let started = StartedTest { test_id: test.test_id.clone(), channels };
    app.append_alert_record(alert_record::Kind::Test(test)).await?;
    Ok((StatusCode::ACCEPTED, Json(started)))
}
