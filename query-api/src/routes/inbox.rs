//! The inbox: the notifications that the project's in-app channels received.

use crate::app::App;
use crate::auth::{Manager, Reader};
use crate::body::Validated;
use crate::error::{Error, ErrorBody};
use crate::fields::{Fields, FromFields};
use crate::params::{PageRequest, Params, encode_cursor};
use alerting::alert_state::{Inbox as InboxState, Notice};
use alerting::notify::message::Missing;
use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use proto::v1::{InboxRead, alert_record};
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::mpsc;
use utoipa::ToSchema;

/// Name of the list in cursors.
const LIST: &str = "inbox";
/// Latest accepted time, Unix milliseconds: the end of the year 9998.
const LATEST_MS: u64 = 253_370_764_800_000;

/// A notification in the inbox.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InboxNotice {
    /// Id of the notified transition or test, the same in every channel.
    id: String,
    /// Time of the delivery to the inbox, Unix milliseconds.
    at: i64,
    /// The in-app channel that received the notification.
    channel_id: String,
    /// `firing`, `resolved`, `no_data`, `flapping` or `test`.
    event: &'static str,
    /// Summary in one line.
    title: String,
    /// The rule; `null` for the test of a channel.
    #[schema(required)]
    alert_id: Option<String>,
    /// The metric; `null` for the test of a channel.
    #[schema(required)]
    metric_id: Option<String>,
    /// The metric's name.
    metric_name: String,
    /// Its unit; `null` if it has none.
    #[schema(required)]
    unit: Option<String>,
    /// The aggregated value; `null` if the range had no points, or if the rule was disabled or removed.
    #[schema(required)]
    value: Option<f64>,
    /// Reason of a missing value: `no_points`, or `rule_ended` (the rule was disabled or removed, or the plan
    /// no longer includes alerts); else `null`.
    #[schema(required)]
    reason: Option<&'static str>,
    /// Comparison of the value with the threshold.
    operator: String,
    /// The threshold.
    threshold: f64,
    /// Aggregation of the points of the range.
    aggregation: String,
    /// Length of the range.
    range: String,
    /// True if the notification was read.
    read: bool,
}

/// A page of the inbox, newest first. The inbox holds the newest thousand notifications.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inbox {
    /// The items of this page.
    items: Vec<InboxNotice>,
    /// Cursor of the next page; `null` on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
    /// Number of unread notifications in the whole inbox.
    unread: usize,
}

/// The time up to which notifications were read.
#[derive(ToSchema)]
pub struct ReadUntil {
    /// The `at` of the last notification that was read, Unix milliseconds.
    until: i64,
}

impl FromFields for ReadUntil {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let until = fields.integer("until", 0..=LATEST_MS)?;
        Some(Self { until: i64::try_from(until).ok()? })
    }
}

/// The number of unread notifications.
#[derive(Debug, Serialize, ToSchema)]
pub struct Unread {
    /// Number of unread notifications in the whole inbox.
    unread: usize,
}

/// A notification as an event of a stream.
#[derive(Debug, Serialize)]
struct NoticeEvent {
    #[serde(flatten)]
    notice: InboxNotice,
    /// Number of unread notifications in the whole inbox, including this one.
    unread: usize,
}

/// Sends new notifications of the project's inbox to `out`, as server-sent events. The events have no ids: a
/// client that reconnects reads the inbox.
pub async fn push(app: &App, project_id: &str, out: &mpsc::Sender<Bytes>) {
    /// Maximum difference between the clocks of replicas.
    const MAX_CLOCK_SKEW_MS: i64 = 5_000;
    let mut changed = app.alerts.notices();
    let since_ms = service::clock::now_ms() - MAX_CLOCK_SKEW_MS;
    let mut last =
        app.alerts.read(|states| states.inbox(project_id).notices.back().map_or(-1, |last| last.offset));
    while changed.changed().await.is_ok() {
        let (new, unread) =
            app.alerts.read(|states| (states.notices_after(project_id, last), states.unread(project_id)));
        for notice in new {
            last = notice.offset;
            // Older notifications appear when the topic is read again from its beginning.
            if notice.at_ms < since_ms {
                continue;
            }
            let event = NoticeEvent { notice: item(notice, i64::MIN), unread };
            // The serialization of strings and numbers cannot fail.
            let data = serde_json::to_string(&event).unwrap_or_default();
            if out.send(format!("event: notice\ndata: {data}\n\n").into()).await.is_err() {
                return;
            }
        }
    }
    std::future::pending().await
}

fn item(notice: Notice, read_until_ms: i64) -> InboxNotice {
    let message = &notice.message;
    let non_empty = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    InboxNotice {
        id: message.id.clone(),
        at: notice.at_ms,
        channel_id: notice.channel_id.clone(),
        event: message.event.as_str(),
        title: message.title(),
        alert_id: non_empty(&message.alert_id),
        metric_id: non_empty(&message.metric_id),
        metric_name: message.metric_name.clone(),
        unit: non_empty(&message.unit),
        value: message.value,
        reason: message.missing().map(Missing::as_str),
        operator: message.operator.clone(),
        threshold: message.threshold,
        aggregation: message.aggregation.clone(),
        range: message.range.clone(),
        read: notice.at_ms <= read_until_ms,
    }
}

/// Lists the notifications of the project's in-app channels, newest first.
#[utoipa::path(
    get,
    path = "/inbox",
    tag = "alerts",
    operation_id = "getInbox",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of items in the page; default 100"),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of an earlier answer"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of notifications", body = Inbox),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The data cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<Inbox>, Error> {
    let PageRequest { after: before, limit, .. } = params.page::<i64>(LIST);
    params.check()?;
    let inbox: InboxState = app.alerts.read(|states| states.inbox(&key.project_id));
    let unread = inbox.unread();
    let mut older =
        inbox.notices.into_iter().rev().filter(|notice| before.is_none_or(|before| notice.offset < before));
    let page: Vec<Notice> = older.by_ref().take(limit).collect();
    let next_cursor = older.next().and(page.last()).map(|last| encode_cursor(LIST, &last.offset));
    let items = page.into_iter().map(|notice| item(notice, inbox.read_until_ms)).collect();
    Ok(Json(Inbox { items, next_cursor, unread }))
}

/// Marks notifications up to a time as read. A time earlier than the current one changes nothing.
#[utoipa::path(
    post,
    path = "/inbox/read",
    tag = "alerts",
    operation_id = "readInbox",
    request_body = ReadUntil,
    security(("key" = ["manage"])),
    responses(
        (status = 200, description = "The number of unread notifications", body = Unread),
        (status = "4XX", description = "The request is invalid or not allowed", body = ErrorBody),
        (status = "5XX", description = "The change cannot be made at the moment", body = ErrorBody),
    )
)]
pub async fn read(
    Manager(key): Manager,
    State(app): State<Arc<App>>,
    Validated(ReadUntil { until }): Validated<ReadUntil>,
) -> Result<Json<Unread>, Error> {
    let read = InboxRead { project_id: key.project_id.clone(), until_ms: until };
    app.append_alert_record(alert_record::Kind::InboxRead(read)).await?;
    Ok(Json(Unread { unread: app.alerts.read(|states| states.inbox(&key.project_id)).unread() }))
}
