//! HTTP client of the gateways and the query API, as a user would write one.

use crate::error::Result;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// Operator token of every test installation.
pub const OPERATOR_TOKEN: &str = "operator-token-of-a-test";

/// Client of one installation.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    gateways: Vec<String>,
    query: String,
}

/// A project with one connection.
#[derive(Debug, Clone)]
pub struct Project {
    /// Project id.
    pub project_id: String,
    /// Key with the scope `manage`.
    pub manage_key: String,
    /// Key with the scope `ingest`.
    pub api_key: String,
    /// Webhook URL as the query API returned it.
    pub webhook_url: String,
}

impl Client {
    /// Creates a client from the base URLs of the gateways and of the query API.
    pub fn new(gateways: Vec<String>, query: String) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap_or_default();
        Self { http, gateways, query }
    }

    /// Webhook URL of a gateway; `index` wraps around.
    pub fn webhook(&self, index: usize) -> String {
        format!("{}/api/webhooks/custom", self.gateways[index % self.gateways.len()])
    }

    /// Base URL of the query API.
    pub fn query_url(&self) -> &str {
        &self.query
    }

    /// Creates a project on `plan` with a connection.
    pub async fn project(&self, plan: &str) -> Result<Project> {
        let body = json!({"name": "Test", "plan": plan});
        let project = self.post("/api/v1/projects", OPERATOR_TOKEN, &body).await?;
        let project = expect(project, StatusCode::CREATED).await?;
        let manage_key = text(&project, "manageKey")?;
        let connection =
            self.post("/api/v1/connections", &manage_key, &json!({"name": "Test Webhook"})).await?;
        let connection = expect(connection, StatusCode::CREATED).await?;
        Ok(Project {
            project_id: text(&project, "projectId")?,
            api_key: text(&connection, "apiKey")?,
            webhook_url: text(&connection, "webhookUrl")?,
            manage_key,
        })
    }

    /// Sends a body to a gateway.
    pub async fn send(&self, gateway: usize, key: &str, body: String) -> Result<Response> {
        let request = self.http.post(self.webhook(gateway)).bearer_auth(key);
        Ok(request.header("content-type", "application/json").body(body).send().await?)
    }

    /// Sends a body to a gateway with an idempotency key.
    pub async fn send_idempotent(
        &self,
        gateway: usize,
        key: &str,
        idempotency_key: &str,
        body: String,
    ) -> Result<Response> {
        let request = self.http.post(self.webhook(gateway)).bearer_auth(key);
        let request =
            request.header("content-type", "application/json").header("idempotency-key", idempotency_key);
        Ok(request.body(body).send().await?)
    }

    /// Sends a POST to the query API.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> Result<Response> {
        Ok(self.http.post(format!("{}{path}", self.query)).bearer_auth(key).json(body).send().await?)
    }

    /// Sends a GET to the query API.
    pub async fn get(&self, path: &str, key: &str) -> Result<Response> {
        Ok(self.http.get(format!("{}{path}", self.query)).bearer_auth(key).send().await?)
    }

    /// Sends a DELETE to the query API.
    pub async fn delete(&self, path: &str, key: &str) -> Result<Response> {
        Ok(self.http.delete(format!("{}{path}", self.query)).bearer_auth(key).send().await?)
    }

    /// Revokes the project's first connection.
    pub async fn revoke(&self, project: &Project) -> Result<()> {
        let connections = self.get_json("/api/v1/connections", &project.manage_key).await?;
        let id = text(&connections["items"][0], "connectionId")?;
        let path = format!("/api/v1/connections/{id}/revoke");
        let response = self.post(&path, &project.manage_key, &json!({})).await?;
        match response.status() {
            StatusCode::NO_CONTENT => Ok(()),
            other => Err(format!("revoking {id} was answered {other}: {}", response.text().await?).into()),
        }
    }

    /// Sends a GET to the query API and returns the body of the 200.
    pub async fn get_json(&self, path: &str, key: &str) -> Result<Value> {
        expect(self.get(path, key).await?, StatusCode::OK).await
    }
}

/// Returns the JSON body of a response that must have this status.
pub async fn expect(response: Response, status: StatusCode) -> Result<Value> {
    let actual = response.status();
    let text = response.text().await?;
    if actual != status {
        return Err(format!("expected status {status}, got {actual}: {text}").into());
    }
    Ok(serde_json::from_str(&text)?)
}

/// Returns a string field.
pub fn text(value: &Value, field: &str) -> Result<String> {
    Ok(value[field].as_str().ok_or_else(|| format!("no `{field}` in {value}"))?.to_owned())
}
