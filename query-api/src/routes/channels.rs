//! Channels: where notices of alerts go to.

use crate::app::App;
use crate::auth::{Manager, Reader};
use crate::body::Fields;
use crate::error::{Error, ErrorBody, Unavailable, unreadable};
use crate::fault::Code;
use crate::params::{Params, cursor_text};
use crate::routes::Id;
use alerting::notify::kind::Kind;
use alerting::notify::webhook;
use alerting::outgoing::target::Target;
use axum::Json;
use axum::extract::State;
use control::commands::{Commands, Expected};
use hyper::StatusCode;
use proto::v1::{self, AlertSubject, AlertTest, alert_record};
use serde::Serialize;
use service::wire_enum::WireEnum as _;
use std::sync::Arc;
use utoipa::ToSchema;

/// A channel to be made. It describes the body; [`Fields`] reads it, so that all faults are told at once.
#[derive(ToSchema)]
#[allow(dead_code)]
pub struct NewChannel {
    /// 1 to 100 characters, no control characters.
    #[schema(min_length = 1, example = "On call")]
    name: String,
    /// What it is.
    kind: Kind,
    /// Where its requests go to; not for `in_app`. It is a secret, and is shown in part from now on.
    #[schema(example = "https://hooks.slack.com/services/…")]
    url: Option<String>,
}

/// A channel.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    /// Its id.
    channel_id: String,
    /// Its name.
    name: String,
    /// What it is.
    #[schema(value_type = Kind)]
    kind: String,
    /// Enough of its URL to tell it from others; `null` for `in_app`.
    #[schema(required)]
    url: Option<String>,
    /// The key that a webhook's requests are signed with. It is shown once, to whom makes the channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_secret: Option<String>,
    /// When it was made, Unix milliseconds.
    created_at: i64,
    /// When it was last changed, Unix milliseconds.
    updated_at: i64,
    /// Grows with each change.
    version: u64,
}

/// A page of channels, in the order in which they were made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Channels {
    /// The channels.
    items: Vec<Channel>,
    /// Goes on where this page ends; `null` on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A test that was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestAsked {
    /// The id of the message that the channels are sent.
    test_id: String,
    /// The channels that are told.
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

fn read(app: &App, project_id: &str, mut fields: Fields) -> Result<v1::Channel, Error> {
    let name = fields.name("name");
    let kind = fields.word::<Kind>("kind", None);
    let url = match kind {
        Some(Kind::InApp) => {
            if fields.has("url") {
                fields.faults.add("url", Code::Unexpected, "must be left out: in_app is the project's inbox");
            }
            None
        }
        None => None,
        Some(_) => fields.string("url"),
    };
    let target = url.as_deref().map(Target::parse);
    match &target {
        Some(Err(error)) => fields.faults.add("url", Code::BadUrl, error.to_string()),
        Some(Ok(target)) if app.outgoing.refuses(target) => {
            fields.faults.add(
                "url",
                Code::BadUrl,
                "must not name a private address: the operator may allow it",
            );
        }
        _ => {}
    }
    fields.faults.check()?;
    let (Some(name), Some(kind)) = (name, kind) else { return Err(Error::Unavailable(Unavailable::Command)) };
    let url = target.and_then(Result::ok).map(|target| target.reveal().to_owned()).unwrap_or_default();
    let signing_key = match kind {
        Kind::Webhook => rand::random::<[u8; 32]>().to_vec(),
        Kind::InApp | Kind::Slack | Kind::Discord | Kind::Teams => Vec::new(),
    };
    let kind = kind.as_str().to_owned();
    let project_id = project_id.to_owned();
    Ok(v1::Channel { project_id, name, kind, url, signing_key, ..v1::Channel::default() })
}

/// Makes a channel. Nothing is sent to it.
#[utoipa::path(
    post,
    path = "/channels",
    tag = "alerts",
    operation_id = "createChannel",
    request_body = NewChannel,
    security(("key" = ["manage"])),
    responses(
        (status = 201, description = "The channel", body = Channel),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn create(
    Manager(key): Manager,
    State(app): State<Arc<App>>,
    fields: Fields,
) -> Result<(StatusCode, Json<Channel>), Error> {
    let channel = read(&app, &key.project_id, fields)?;
    let create = |commands: Commands| async move { commands.create_owned(channel).await };
    let made = app.command(create).await.map_err(|failed| failed.or(Error::NoChannel))?;
    tracing::info!(project = key.project_id, channel = made.channel_id, "made a channel");
    let secret = (!made.signing_key.is_empty()).then(|| webhook::secret(&made.signing_key));
    Ok((StatusCode::CREATED, Json(Channel { signing_secret: secret, ..made.into() })))
}

/// Lists the project's channels.
#[utoipa::path(
    get,
    path = "/channels",
    tag = "alerts",
    operation_id = "listChannels",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 100 if left out"),
        ("cursor" = Option<String>, Query, description = "An earlier answer's `nextCursor`"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of channels", body = Channels),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<Channels>, Error> {
    let limit = params.limit();
    let after: Option<String> = params.cursor("channels");
    params.check()?;
    let page = app.directory.all_owned::<v1::Channel>(&key.project_id, after.as_deref(), limit).await;
    let page = page.map_err(unreadable)?;
    let items = page.items.into_iter().map(Channel::from).collect();
    Ok(Json(Channels { items, next_cursor: page.next.as_ref().map(|next| cursor_text("channels", next)) }))
}

/// Removes a channel. Rules that name it go on without it.
#[utoipa::path(
    delete,
    path = "/channels/{channelId}",
    tag = "alerts",
    operation_id = "removeChannel",
    params(("channelId" = String, Path, description = "The channel's id")),
    security(("key" = ["manage"])),
    responses(
        (status = 204, description = "It is removed"),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn remove(
    Manager(key): Manager,
    Id(id): Id,
    State(app): State<Arc<App>>,
) -> Result<StatusCode, Error> {
    tracing::info!(project = key.project_id, channel = id, "removing a channel");
    let remove = |commands: Commands| async move {
        commands.remove_owned::<v1::Channel>(&key.project_id, &id, &Expected::Any).await
    };
    app.command(remove).await.map_err(|failed| failed.or(Error::NoChannel))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a channel a test. It is tried once.
#[utoipa::path(
    post,
    path = "/channels/{channelId}/test",
    tag = "alerts",
    operation_id = "testChannel",
    params(("channelId" = String, Path, description = "The channel's id")),
    security(("key" = ["manage"])),
    responses(
        (status = 202, description = "The test is sent", body = TestAsked),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn test(
    Manager(key): Manager,
    Id(id): Id,
    State(app): State<Arc<App>>,
) -> Result<(StatusCode, Json<TestAsked>), Error> {
    let channel: Option<v1::Channel> = app.directory.owned(&key.project_id, &id).await.map_err(unreadable)?;
    let channel = channel.ok_or(Error::NoChannel)?;
    let subject = AlertSubject {
        project_id: channel.project_id,
        name: channel.name,
        channels: vec![channel.channel_id],
        ..AlertSubject::default()
    };
    let test = AlertTest { subject: Some(subject), at_ms: service::clock::now_ms(), ..AlertTest::default() };
    ask_test(&app, test).await
}

/// Asks whoever evaluates to tell the subject's channels `test`, which gets its id here.
pub async fn ask_test(app: &App, test: AlertTest) -> Result<(StatusCode, Json<TestAsked>), Error> {
    let test = AlertTest { test_id: control::token::id("test"), ..test };
    let channels = test.subject.iter().flat_map(|subject| subject.channels.clone()).collect();
    let asked = TestAsked { test_id: test.test_id.clone(), channels };
    app.note(alert_record::Kind::Test(test)).await?;
    Ok((StatusCode::ACCEPTED, Json(asked)))
}
