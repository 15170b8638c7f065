//! A client of the HTTP interfaces, as a user would write one.

use crate::Result;
use crate::installation::OPERATOR_TOKEN;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// Speaks to the gateways and the query service of one installation.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    gateways: Vec<String>,
    query: String,
}

/// A project with a connection.
#[derive(Debug, Clone)]
pub struct Project {
    /// The project's id.
    pub project_id: String,
    /// A key that may manage and read.
    pub manage_key: String,
    /// A key that may ingest.
    pub api_key: String,
    /// Where metrics are sent.
    pub webhook_url: String,
}

impl Client {
    /// A client of these gateways and this query service.
    pub fn new(gateways: Vec<String>, query: String) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap_or_default();
        Self { http, gateways, query }
    }

    /// The webhook's address at gateway `index`, counted around.
    pub fn webhook(&self, index: usize) -> String {
        format!("{}/api/webhooks/custom", self.gateways[index % self.gateways.len()])
    }

    /// The query service's address.
    pub fn query_url(&self) -> &str {
        &self.query
    }

    /// Makes a project on `plan` with a connection.
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

    /// Sends a body under an idempotency key.
    pub async fn send_once(
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

    /// A POST to the query service.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> Result<Response> {
        Ok(self.http.post(format!("{}{path}", self.query)).bearer_auth(key).json(body).send().await?)
    }

    /// A GET from the query service.
    pub async fn get(&self, path: &str, key: &str) -> Result<Response> {
        Ok(self.http.get(format!("{}{path}", self.query)).bearer_auth(key).send().await?)
    }

    /// A DELETE at the query service.
    pub async fn delete(&self, path: &str, key: &str) -> Result<Response> {
        Ok(self.http.delete(format!("{}{path}", self.query)).bearer_auth(key).send().await?)
    }

    /// Revokes the keys of the project's first connection.
    pub async fn revoke(&self, project: &Project) -> Result<()> {
        let connections = self.read("/api/v1/connections", &project.manage_key).await?;
        let id = text(&connections["items"][0], "connectionId")?;
        let path = format!("/api/v1/connections/{id}/revoke");
        let answer = self.post(&path, &project.manage_key, &json!({})).await?;
        match answer.status() {
            StatusCode::NO_CONTENT => Ok(()),
            other => Err(format!("{other} came to a revocation: {}", answer.text().await?).into()),
        }
    }

    /// A GET that must succeed, as JSON.
    pub async fn read(&self, path: &str, key: &str) -> Result<Value> {
        expect(self.get(path, key).await?, StatusCode::OK).await
    }
}

/// The body of an answer that must have this status.
pub async fn expect(response: Response, status: StatusCode) -> Result<Value> {
    let found = response.status();
    let text = response.text().await?;
    if found != status {
        return Err(format!("{status} was expected, {found} came: {text}").into());
    }
    Ok(serde_json::from_str(&text)?)
}

/// A string field.
pub fn text(value: &Value, field: &str) -> Result<String> {
    Ok(value[field].as_str().ok_or_else(|| format!("no `{field}` in {value}"))?.to_owned())
}
