//! Commands: publish an entity's new state to the log, apply it to Redis, answer.
//!
//! What a command answers is true everywhere: it is in the log on all in-sync replicas, and in Redis.

use crate::control_log::{self, ControlWriter, LogError};
use crate::now_ms;
use crate::plans;
use crate::projection::{Projection, ReadError};
use crate::token::{self, Token};
use proto::control::EntityKind;
use proto::topics::Topics;
use proto::v1::{ApiKey, Connection, Entity, Plan, Project, ProjectPlan, Scope, entity::Kind};
use redis::aio::ConnectionManager;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long Kafka may take to acknowledge a command.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The log could not be written. The event may still arrive.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Redis could not be read, or not told.
    #[error(transparent)]
    Redis(#[from] ReadError),
    /// There is no such plan.
    #[error("there is no plan `{0}`")]
    UnknownPlan(String),
}

impl From<redis::RedisError> for CommandError {
    fn from(error: redis::RedisError) -> Self {
        Self::Redis(error.into())
    }
}

/// Carries commands out. Clones share its connections.
#[derive(Clone)]
pub struct Commands {
    brokers: String,
    topics: Topics,
    writer: ControlWriter,
    projection: Projection,
    redis: ConnectionManager,
    log_id: Arc<OnceCell<String>>,
}

impl Commands {
    /// Commands of one installation.
    pub fn new(brokers: &str, namespace: &str, redis: ConnectionManager) -> Result<Self, LogError> {
        let topics = Topics::new(namespace);
        Ok(Self {
            writer: ControlWriter::new(brokers, &topics, PUBLISH_TIMEOUT)?,
            brokers: brokers.to_owned(),
            topics,
            projection: Projection::new(namespace),
            redis,
            log_id: Arc::default(),
        })
    }

    /// Creates a project on `plan`, with a first key that may manage it.
    pub async fn create_project(&self, name: &str, plan: &str) -> Result<(Project, Token), CommandError> {
        if self.plan(plan).await?.is_none() {
            return Err(CommandError::UnknownPlan(plan.to_owned()));
        }
        let now = now_ms();
        let project = Project {
            project_id: token::id("prj"),
            name: name.to_owned(),
            created_at_ms: now,
            updated_at_ms: now,
            version: 1,
        };
        let project_plan = ProjectPlan { project_id: project.project_id.clone(), plan: plan.to_owned() };
        let (key, token) = new_key(&project.project_id, "Project key", vec![Scope::Manage], "");
        // The key last: whoever holds one finds everything that it stands on.
        self.carry_out([Kind::Project(project.clone()), Kind::ProjectPlan(project_plan), Kind::ApiKey(key)])
            .await?;
        Ok((project, token))
    }

    /// Creates a connection of `project_id` with its key, which may ingest.
    pub async fn create_connection(
        &self,
        project_id: &str,
        name: &str,
    ) -> Result<(Connection, Token), CommandError> {
        let now = now_ms();
        let connection_id = token::id("con");
        let (key, token) = new_key(project_id, name, vec![Scope::Ingest], &connection_id);
        let connection = Connection {
            connection_id,
            project_id: project_id.to_owned(),
            name: name.to_owned(),
            created_at_ms: now,
            updated_at_ms: now,
            version: 1,
            key_id: key.key_id.clone(),
        };
        self.carry_out([Kind::Connection(connection.clone()), Kind::ApiKey(key)]).await?;
        Ok((connection, token))
    }

    /// The plan `name`: as an operator set it, else as a new installation has it.
    pub async fn plan(&self, name: &str) -> Result<Option<Plan>, CommandError> {
        let wanted = [(EntityKind::Plan, name)];
        let ([plan], _) = self.projection.read(&mut self.redis.clone(), wanted, None).await?;
        Ok(match plan {
            Some(Kind::Plan(plan)) => Some(plan),
            _ => plans::first(name),
        })
    }

    async fn carry_out<const N: usize>(&self, entities: [Kind; N]) -> Result<(), CommandError> {
        let find = || control_log::log_id(&self.brokers, &self.topics, &self.writer);
        let log = self.log_id.get_or_try_init(find).await?;
        let mut redis = self.redis.clone();
        for kind in entities {
            let event = self.writer.publish(&Entity { kind: Some(kind) }).await?;
            self.projection.apply(&mut redis, log, &event).await?;
        }
        Ok(())
    }
}

fn new_key(project_id: &str, name: &str, scopes: Vec<Scope>, connection_id: &str) -> (ApiKey, Token) {
    let token = Token::generate();
    let key = ApiKey {
        key_id: token.key_id().to_owned(),
        project_id: project_id.to_owned(),
        name: name.to_owned(),
        scopes: scopes.into_iter().map(i32::from).collect(),
        secret_hash: token.hash().to_vec(),
        connection_id: connection_id.to_owned(),
        created_at_ms: now_ms(),
        hint: token.hint(),
    };
    (key, token)
}
