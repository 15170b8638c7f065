//! Commands on standalone keys.

use super::entities::{new_key, revocation};
use super::error::CommandError;
use super::executor::Commands;
use crate::token::Token;
use proto::v1::{ApiKey, Scope, entity::Kind};
use service::clock::now_ms;

impl Commands {
    /// Creates a standalone key of the project.
    pub async fn create_key(
        &self,
        project_id: &str,
        name: &str,
        scopes: Vec<Scope>,
    ) -> Result<(ApiKey, Token), CommandError> {
        let (key, token) = new_key(project_id, name, scopes, "");
        let mut lock = self.lock(&key.key_id).await?;
        let done = self.publish_and_apply(&mut lock, [Kind::ApiKey(key.clone())]).await;
        lock.end(done).await?;
        Ok((key, token))
    }

    /// Revokes a standalone key of the project.
    pub async fn remove_key(&self, project_id: &str, key_id: &str) -> Result<(), CommandError> {
        let mut lock = self.lock(key_id).await?;
        let done = match self.directory.key(project_id, key_id).await {
            Ok(Some(_)) => self.publish_and_apply(&mut lock, [revocation(key_id, now_ms())]).await,
            Ok(None) => Err(CommandError::NotFound),
            Err(error) => Err(error.into()),
        };
        lock.end(done).await
    }
}
