//! Which request each command is, and how its answer is shown.

use crate::arguments::{Command, Connection, Id, Interval, Key, Plan, Project, Rename, Scope, Usage};
use crate::error::Error;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// One call of the API.
pub struct Call {
    /// The HTTP method.
    pub method: &'static str,
    /// The path below `/api/v1`.
    pub path: String,
    /// The query string's parameters.
    pub query: Vec<(&'static str, String)>,
    /// The body, where there is one.
    pub body: Option<Value>,
    /// Who may make it.
    pub needs: Needs,
    /// How its answer is shown.
    pub shape: Shape,
}

/// Whose token a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// The operator's.
    Operator,
    /// A key with the scope `manage`, or one that may read.
    Key,
    /// The operator's or a key.
    Either,
}

/// How an answer is shown.
pub enum Shape {
    /// One thing: a line for each field that it has.
    Fields(&'static [Field]),
    /// Pages of items: a table.
    Table(&'static [Field]),
    /// Usage: the quota and three tables.
    Usage,
    /// No body: this is said.
    Done(String),
}

/// A path in the answer, with the title of its column or line.
pub struct Field {
    /// Names of members, from outer to inner, with dots between.
    pub path: &'static str,
    /// What stands before or above the value.
    pub title: &'static str,
    /// What kind of value it is.
    pub kind: Kind,
}

/// What kind of value a field is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Plain,
    /// Unix milliseconds, shown as a moment in UTC.
    Moment,
    /// A limit: `null` is none.
    Limit,
    /// A secret that is shown this once.
    Once,
}

const fn field(path: &'static str, title: &'static str) -> Field {
    Field { path, title, kind: Kind::Plain }
}

const fn moment(path: &'static str, title: &'static str) -> Field {
    Field { path, title, kind: Kind::Moment }
}

const fn limit(path: &'static str, title: &'static str) -> Field {
    Field { path, title, kind: Kind::Limit }
}

const fn once(path: &'static str, title: &'static str) -> Field {
    Field { path, title, kind: Kind::Once }
}

const PROJECT: &[Field] = &[
    field("projectId", "project"),
    field("name", "name"),
    field("plan", "plan"),
    limit("quota.limit", "per hour"),
    field("quota.used", "used"),
    moment("quota.resetAt", "resets"),
    once("manageKey", "manage key"),
];
const PROJECTS: &[Field] = &[
    field("projectId", "project"),
    field("name", "name"),
    field("plan", "plan"),
    limit("quota.limit", "per hour"),
    field("quota.used", "used"),
];
const PLANS: &[Field] =
    &[field("name", "plan"), limit("requestsPerHour", "per hour"), field("alerts", "alerts")];
const CONNECTION: &[Field] = &[
    field("connectionId", "connection"),
    field("projectId", "project"),
    field("name", "name"),
    field("state", "state"),
    field("keyHint", "key ends in"),
    moment("createdAt", "created"),
    moment("lastUsedAt", "last used"),
    moment("previousKeyEndsAt", "old key ends"),
    field("webhookUrl", "webhook"),
    once("apiKey", "api key"),
];
const CONNECTIONS: &[Field] = &[
    field("connectionId", "connection"),
    field("name", "name"),
    field("state", "state"),
    field("keyHint", "key"),
    moment("createdAt", "created"),
    moment("lastUsedAt", "last used"),
];
const KEY: &[Field] =
    &[field("keyId", "key id"), field("name", "name"), field("scopes", "scopes"), once("key", "key")];
const KEYS: &[Field] = &[
    field("keyId", "key id"),
    field("name", "name"),
    field("scopes", "scopes"),
    field("keyHint", "key"),
    moment("createdAt", "created"),
];

/// The call that a command is. Fails where the command makes no sense.
pub fn of(command: &Command) -> Result<Call, Error> {
    Ok(match command {
        Command::Project(command) => project(command),
        Command::Plan(command) => plan(command),
        Command::Connection(command) => connection(command),
        Command::Key(command) => key(command),
        Command::Demo => return Err(Error::Usage("demo is several calls".to_owned())),
        Command::Usage(asked) => usage(asked)?,
    })
}

fn project(command: &Project) -> Call {
    let one = |id: &str| format!("/projects/{id}");
    match command {
        Project::Create { name, plan } => {
            let body = json!({"name": name, "plan": plan});
            call("POST", "/projects", Needs::Operator, Shape::Fields(PROJECT)).with(body)
        }
        Project::List => call("GET", "/projects", Needs::Either, Shape::Table(PROJECTS)),
        Project::Show(Id { id }) => call("GET", one(id), Needs::Either, Shape::Fields(PROJECT)),
        Project::SetPlan { id, plan } => {
            call("PATCH", one(id), Needs::Operator, Shape::Fields(PROJECT)).with(json!({"plan": plan}))
        }
        Project::Rename(Rename { id, name }) => {
            call("PATCH", one(id), Needs::Either, Shape::Fields(PROJECT)).with(json!({"name": name}))
        }
        Project::Delete(delete) => {
            let said = format!("project {} is deleted, its keys are ended", delete.id);
            call("DELETE", one(&delete.id), Needs::Operator, Shape::Done(said))
        }
    }
}

fn plan(command: &Plan) -> Call {
    match command {
        Plan::List => call("GET", "/plans", Needs::Either, Shape::Table(PLANS)),
        Plan::Set { name, requests_per_hour, alerts } => {
            let body = json!({"requestsPerHour": requests_per_hour.0, "alerts": alerts});
            call("PUT", format!("/plans/{name}"), Needs::Operator, Shape::Fields(PLANS)).with(body)
        }
    }
}

fn connection(command: &Connection) -> Call {
    let one = |id: &str| format!("/connections/{id}");
    match command {
        Connection::Create { name } => {
            let body = json!({"name": name});
            call("POST", "/connections", Needs::Key, Shape::Fields(CONNECTION)).with(body)
        }
        Connection::List => call("GET", "/connections", Needs::Key, Shape::Table(CONNECTIONS)),
        Connection::Show(Id { id }) => call("GET", one(id), Needs::Key, Shape::Fields(CONNECTION)),
        Connection::Rename(Rename { id, name }) => {
            call("PATCH", one(id), Needs::Key, Shape::Fields(CONNECTION)).with(json!({"name": name}))
        }
        Connection::Rotate { id, grace } => {
            let body = json!({"graceSeconds": grace.as_secs()});
            call("POST", one(id) + "/rotate", Needs::Key, Shape::Fields(CONNECTION)).with(body)
        }
        Connection::Revoke(Id { id }) => {
            let said = format!("connection {id} is revoked; `rotate` gives it a new key");
            call("POST", one(id) + "/revoke", Needs::Key, Shape::Done(said))
        }
        Connection::Delete(delete) => {
            let said = format!("connection {} is deleted", delete.id);
            call("DELETE", one(&delete.id), Needs::Key, Shape::Done(said))
        }
    }
}

fn key(command: &Key) -> Call {
    match command {
        Key::Create { name, scope } => {
            let scopes: Vec<&str> = scope.iter().map(|scope| scope.word()).collect();
            let body = json!({"name": name, "scopes": scopes});
            call("POST", "/keys", Needs::Key, Shape::Fields(KEY)).with(body)
        }
        Key::List => call("GET", "/keys", Needs::Key, Shape::Table(KEYS)),
        Key::Delete(Id { id }) => {
            let said = format!("key {id} is deleted");
            call("DELETE", format!("/keys/{id}"), Needs::Key, Shape::Done(said))
        }
    }
}

fn usage(asked: &Usage) -> Result<Call, Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let start = now
        .checked_sub(asked.since)
        .ok_or_else(|| Error::Usage("--since reaches back before 1970".to_owned()))?;
    let mut call = call("GET", "/usage", Needs::Key, Shape::Usage);
    call.query = vec![
        ("startDate", start.as_millis().to_string()),
        ("endDate", now.as_millis().to_string()),
        ("interval", asked.interval.word().to_owned()),
    ];
    Ok(call)
}

fn call(method: &'static str, path: impl Into<String>, needs: Needs, shape: Shape) -> Call {
    Call { method, path: path.into(), query: Vec::new(), body: None, needs, shape }
}

impl Call {
    fn with(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }
}

impl Needs {
    /// What is said when there is no token.
    pub fn missing(self) -> &'static str {
        match self {
            Self::Operator => "this needs the operator's token: set OPERATOR_TOKEN",
            Self::Key => "this needs a key of the project with the scope `manage`: set TIDEMARK_TOKEN",
            Self::Either => "this needs the operator's token or a key: set OPERATOR_TOKEN or TIDEMARK_TOKEN",
        }
    }

    /// What to do when the token was refused.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Operator => {
                "this takes the operator's token: OPERATOR_TOKEN, as query-api was started with"
            }
            Self::Key => "this takes a key of the project with the scope `manage`: TIDEMARK_TOKEN",
            Self::Either => {
                "this takes the operator's token (OPERATOR_TOKEN) or a key of the project (TIDEMARK_TOKEN)"
            }
        }
    }
}

impl Scope {
    fn word(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Manage => "manage",
        }
    }
}

impl Interval {
    fn word(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}
