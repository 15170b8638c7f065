//! Maps each command to its API request and to the presentation of the response.

use crate::arguments::{Command, Connection, Id, Key, Plan, Project, Rename, Usage};
use crate::error::Error;
use crate::token::RequiredToken;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// One call of the API.
pub struct Call {
    /// HTTP method.
    pub method: &'static str,
    /// Path below `/api/v1`.
    pub path: String,
    /// Parameters of the query string.
    pub query: Vec<(&'static str, String)>,
    pub body: Option<Value>,
    pub token: RequiredToken,
    pub view: View,
}

/// Presentation of a response.
pub enum View {
    /// One object: a line per field that it contains.
    Fields(&'static [Field]),
    /// Pages of objects: a table.
    Table(&'static [Field]),
    /// Usage: the quota and three tables.
    Usage,
    /// No response body: prints this message.
    Message(String),
}

/// A value in the response, with the title of its line or column.
pub struct Field {
    /// Names of nested members, separated by dots.
    pub path: &'static str,
    pub title: &'static str,
    pub format: FieldFormat,
}

/// Format of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum FieldFormat {
    /// The value itself.
    Plain,
    /// Unix milliseconds, printed as a UTC time.
    Timestamp,
    /// A limit; `null` means no limit.
    Limit,
    /// A secret that the API returns only once.
    Secret,
}

const fn field(path: &'static str, title: &'static str) -> Field {
    Field { path, title, format: FieldFormat::Plain }
}

const fn timestamp(path: &'static str, title: &'static str) -> Field {
    Field { path, title, format: FieldFormat::Timestamp }
}

const fn limit(path: &'static str, title: &'static str) -> Field {
    Field { path, title, format: FieldFormat::Limit }
}

const fn secret(path: &'static str, title: &'static str) -> Field {
    Field { path, title, format: FieldFormat::Secret }
}

const PROJECT: &[Field] = &[
    field("projectId", "project"),
    field("name", "name"),
    field("plan", "plan"),
    limit("quota.limit", "per hour"),
    field("quota.used", "used"),
    timestamp("quota.resetAt", "resets"),
    secret("manageKey", "manage key"),
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
    timestamp("createdAt", "created"),
    timestamp("lastUsedAt", "last used"),
    timestamp("previousKeyEndsAt", "old key ends"),
    field("webhookUrl", "webhook"),
    secret("apiKey", "api key"),
];
const CONNECTIONS: &[Field] = &[
    field("connectionId", "connection"),
    field("name", "name"),
    field("state", "state"),
    field("keyHint", "key"),
    timestamp("createdAt", "created"),
    timestamp("lastUsedAt", "last used"),
];
const KEY: &[Field] =
    &[field("keyId", "key id"), field("name", "name"), field("scopes", "scopes"), secret("key", "key")];
const KEYS: &[Field] = &[
    field("keyId", "key id"),
    field("name", "name"),
    field("scopes", "scopes"),
    field("keyHint", "key"),
    timestamp("createdAt", "created"),
];

/// Returns the call for a command. Fails for a command that is not a single call or has invalid arguments.
pub fn for_command(command: &Command) -> Result<Call, Error> {
    Ok(match command {
        Command::Project(command) => project(command),
        Command::Plan(command) => plan(command),
        Command::Connection(command) => connection(command),
        Command::Key(command) => key(command),
        Command::Demo => return Err(Error::Usage("`demo` makes several calls".to_owned())),
        Command::Usage(arguments) => usage(arguments)?,
    })
}

fn project(command: &Project) -> Call {
    let one = |id: &str| format!("/projects/{id}");
    match command {
        Project::Create { name, plan } => {
            let body = json!({"name": name, "plan": plan});
            call("POST", "/projects", RequiredToken::Operator, View::Fields(PROJECT)).with_body(body)
        }
        Project::List => call("GET", "/projects", RequiredToken::Either, View::Table(PROJECTS)),
        Project::Show(Id { id }) => call("GET", one(id), RequiredToken::Either, View::Fields(PROJECT)),
        Project::SetPlan { id, plan } => {
            call("PATCH", one(id), RequiredToken::Operator, View::Fields(PROJECT))
                .with_body(json!({"plan": plan}))
        }
        Project::Rename(Rename { id, name }) => {
            call("PATCH", one(id), RequiredToken::Either, View::Fields(PROJECT))
                .with_body(json!({"name": name}))
        }
        Project::Delete(delete) => {
            let message = format!("project {} is deleted and its keys are revoked", delete.id);
            call("DELETE", one(&delete.id), RequiredToken::Operator, View::Message(message))
        }
    }
}

fn plan(command: &Plan) -> Call {
    match command {
        Plan::List => call("GET", "/plans", RequiredToken::Either, View::Table(PLANS)),
        Plan::Set { name, requests_per_hour, alerts } => {
            let body = json!({"requestsPerHour": requests_per_hour.0, "alerts": alerts});
            call("PUT", format!("/plans/{name}"), RequiredToken::Operator, View::Fields(PLANS))
                .with_body(body)
        }
    }
}

fn connection(command: &Connection) -> Call {
    let one = |id: &str| format!("/connections/{id}");
    match command {
        Connection::Create { name } => {
            let body = json!({"name": name});
            call("POST", "/connections", RequiredToken::Key, View::Fields(CONNECTION)).with_body(body)
        }
        Connection::List => call("GET", "/connections", RequiredToken::Key, View::Table(CONNECTIONS)),
        Connection::Show(Id { id }) => call("GET", one(id), RequiredToken::Key, View::Fields(CONNECTION)),
        Connection::Rename(Rename { id, name }) => {
            call("PATCH", one(id), RequiredToken::Key, View::Fields(CONNECTION))
                .with_body(json!({"name": name}))
        }
        Connection::Rotate { id, grace } => {
            let body = json!({"graceSeconds": grace.as_secs()});
            call("POST", one(id) + "/rotate", RequiredToken::Key, View::Fields(CONNECTION)).with_body(body)
        }
        Connection::Revoke(Id { id }) => {
            let message = format!("the key of connection {id} is revoked; `rotate` creates a new one");
            call("POST", one(id) + "/revoke", RequiredToken::Key, View::Message(message))
        }
        Connection::Delete(delete) => {
            let message = format!("connection {} is deleted", delete.id);
            call("DELETE", one(&delete.id), RequiredToken::Key, View::Message(message))
        }
    }
}

fn key(command: &Key) -> Call {
    match command {
        Key::Create { name, scope } => {
            let scopes: Vec<&str> = scope.iter().map(|scope| scope.as_str()).collect();
            let body = json!({"name": name, "scopes": scopes});
            call("POST", "/keys", RequiredToken::Key, View::Fields(KEY)).with_body(body)
        }
        Key::List => call("GET", "/keys", RequiredToken::Key, View::Table(KEYS)),
        Key::Delete(Id { id }) => {
            let message = format!("key {id} is deleted");
            call("DELETE", format!("/keys/{id}"), RequiredToken::Key, View::Message(message))
        }
    }
}

fn usage(usage: &Usage) -> Result<Call, Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let start = now
        .checked_sub(usage.since)
        .ok_or_else(|| Error::Usage("--since: the report would start before 1970".to_owned()))?;
    let mut call = call("GET", "/usage", RequiredToken::Key, View::Usage);
    call.query = vec![
        ("startDate", start.as_millis().to_string()),
        ("endDate", now.as_millis().to_string()),
        ("interval", usage.interval.as_str().to_owned()),
    ];
    Ok(call)
}

fn call(method: &'static str, path: impl Into<String>, token: RequiredToken, view: View) -> Call {
    Call { method, path: path.into(), query: Vec::new(), body: None, token, view }
}

impl Call {
    fn with_body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }
}
