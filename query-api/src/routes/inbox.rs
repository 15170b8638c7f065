//! The inbox: what the project's in-app channels were told.

use crate::app::App;
use crate::auth::{Manager, Reader};
use crate::body::Fields;
use crate::error::{Error, ErrorBody};
use crate::params::{Params, cursor_text};
use alerting::book::{Inbox as Held, Notice};
use alerting::notify::message::Missing;
use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use proto::v1::{InboxRead, alert_record};
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::mpsc;
use utoipa::ToSchema;

/// A notice.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InboxNotice {
    /// What it is a notice of: the same in every channel.
    id: String,
    /// When it was put here, Unix milliseconds.
    at: i64,
    /// The channel that put it here.
    channel_id: String,
    /// `firing`, `resolved`, `no_data`, `flapping` or `test`.
    event: &'static str,
    /// One line that says it.
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
    /// What was measured; `null` where there were no points, or the rule ended.
    #[schema(required)]
    value: Option<f64>,
    /// Why there is no value: `no_points`, or `rule_ended` (the rule was switched off or removed, or the plan has no alerts
    /// any more); else `null`.
    #[schema(required)]
    reason: Option<&'static str>,
    /// How it was compared.
    operator: String,
    /// With what.
    threshold: f64,
    /// How the points became one number.
    aggregation: String,
    /// The window.
    range: String,
    /// Whether it was read.
    read: bool,
}

/// A page of the inbox, newest first. The newest thousand notices are kept.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inbox {
    /// The notices.
    items: Vec<InboxNotice>,
    /// Goes on where this page ends; `null` on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
    /// How many of all were not read.
    unread: usize,
}

/// Up to when notices were read. It describes the body; [`Fields`] reads it.
#[derive(ToSchema)]
#[allow(dead_code)]
pub struct ReadUntil {
    /// The last notice's `at`, Unix milliseconds.
    until: i64,
}

/// How many notices are left.
#[derive(Debug, Serialize, ToSchema)]
pub struct Unread {
    /// How many of all were not read.
    unread: usize,
}

/// A notice as it is pushed to who listens.
#[derive(Debug, Serialize)]
struct Pushed {
    #[serde(flatten)]
    notice: InboxNotice,
    /// How many of all were not read, this one among them.
    unread: usize,
}

/// The notices that the project's inbox gets from now on, as texts of server-sent events. They have no ids: who comes
/// back reads the inbox.
pub async fn push(app: &App, project_id: &str, out: &mpsc::Sender<Bytes>) {
    /// The clocks of replicas may differ by so much.
    const CLOCKS_MS: i64 = 5_000;
    let mut changed = app.alerts.notices();
    let since_ms = service::clock::now_ms() - CLOCKS_MS;
    let mut last =
        app.alerts.look(|book| book.inbox(project_id).notices.back().map_or(-1, |last| last.offset));
    while changed.changed().await.is_ok() {
        let (new, unread) =
            app.alerts.look(|book| (book.notices_after(project_id, last), book.unread(project_id)));
        for notice in new {
            last = notice.offset;
            // An older one: the topic is being read again from its beginning.
            if notice.at_ms < since_ms {
                continue;
            }
            let pushed = Pushed { notice: item(notice, i64::MIN), unread };
            // What has only strings and numbers as keys and values can always be written.
            let data = serde_json::to_string(&pushed).unwrap_or_default();
            if out.send(format!("event: notice\ndata: {data}\n\n").into()).await.is_err() {
                return;
            }
        }
    }
    std::future::pending().await
}

fn item(notice: Notice, read_until_ms: i64) -> InboxNotice {
    let message = &notice.message;
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    InboxNotice {
        id: message.id.clone(),
        at: notice.at_ms,
        channel_id: notice.channel_id.clone(),
        event: message.event.word(),
        title: message.title(),
        alert_id: some(&message.alert_id),
        metric_id: some(&message.metric_id),
        metric_name: message.metric_name.clone(),
        unit: some(&message.unit),
        value: message.value,
        reason: message.missing().map(Missing::word),
        operator: message.operator.clone(),
        threshold: message.threshold,
        aggregation: message.aggregation.clone(),
        range: message.range.clone(),
        read: notice.at_ms <= read_until_ms,
    }
}

/// What the project's in-app channels were told, newest first.
#[utoipa::path(
    get,
    path = "/inbox",
    tag = "alerts",
    operation_id = "getInbox",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 100 if left out"),
        ("cursor" = Option<String>, Query, description = "An earlier answer's `nextCursor`"),
    ),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of notices", body = Inbox),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be read at the moment", body = ErrorBody),
    )
)]
pub async fn list(
    Reader(key): Reader,
    State(app): State<Arc<App>>,
    mut params: Params,
) -> Result<Json<Inbox>, Error> {
    let limit = params.limit();
    let before: Option<i64> = params.cursor("inbox");
    params.check()?;
    let held: Held = app.alerts.look(|book| book.inbox(&key.project_id));
    let unread = held.unread();
    let mut older =
        held.notices.into_iter().rev().filter(|notice| before.is_none_or(|before| notice.offset < before));
    let page: Vec<Notice> = older.by_ref().take(limit).collect();
    let next_cursor = older.next().and(page.last()).map(|last| cursor_text("inbox", &last.offset));
    let items = page.into_iter().map(|notice| item(notice, held.read_until_ms)).collect();
    Ok(Json(Inbox { items, next_cursor, unread }))
}

/// Says up to when notices were read. An earlier moment than one that was said before changes nothing.
#[utoipa::path(
    post,
    path = "/inbox/read",
    tag = "alerts",
    operation_id = "readInbox",
    request_body = ReadUntil,
    security(("key" = ["manage"])),
    responses(
        (status = 200, description = "How many are left", body = Unread),
        (status = "4XX", description = "The request was refused", body = ErrorBody),
        (status = "5XX", description = "It cannot be done at the moment", body = ErrorBody),
    )
)]
pub async fn read(
    Manager(key): Manager,
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<Json<Unread>, Error> {
    /// Times are understood up to the year 9998.
    const LAST: u64 = 253_370_764_800_000;
    let until = fields.required_integer("until", 0..=LAST);
    fields.faults.check()?;
    let read = InboxRead { project_id: key.project_id.clone(), until_ms: i64::try_from(until).unwrap_or(0) };
    app.note(alert_record::Kind::InboxRead(read)).await?;
    Ok(Json(Unread { unread: app.alerts.look(|book| book.inbox(&key.project_id)).unread() }))
}
