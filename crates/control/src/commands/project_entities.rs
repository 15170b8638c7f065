//! Commands on dashboards, alert rules and notification channels.

use super::entities::removal;
use super::error::CommandError;
use super::executor::Commands;
use super::expected_version::ExpectedVersion;
use crate::project_entity::ProjectEntity;
use crate::token;
use service::clock::now_ms;

impl Commands {
    /// Creates `entity` with a new id.
    pub async fn create_entity<T: ProjectEntity>(&self, mut entity: T) -> Result<T, CommandError> {
        let now = now_ms();
        entity.set_metadata(token::id(T::ID_PREFIX), 1, now, now);
        let mut lock = self.lock(entity.id()).await?;
        let done = self.publish_and_apply(&mut lock, [entity.clone().into_kind()]).await;
        lock.end(done).await?;
        Ok(entity)
    }

    /// Replaces the entity `id` of the same project with `entity`.
    pub async fn replace_entity<T: ProjectEntity>(
        &self,
        id: &str,
        mut entity: T,
        expected: &ExpectedVersion,
    ) -> Result<T, CommandError> {
        let mut lock = self.lock(id).await?;
        let done = match self.current::<T>(entity.project_id(), id, expected).await {
            Ok(current) => {
                entity.set_metadata(id.to_owned(), current.version() + 1, current.created_at_ms(), now_ms());
                self.publish_and_apply(&mut lock, [entity.clone().into_kind()]).await
            }
            Err(error) => Err(error),
        };
        lock.end(done).await?;
        Ok(entity)
    }

    /// Removes the project's entity `id`.
    pub async fn remove_entity<T: ProjectEntity>(
        &self,
        project_id: &str,
        id: &str,
        expected: &ExpectedVersion,
    ) -> Result<(), CommandError> {
        let mut lock = self.lock(id).await?;
        let done = match self.current::<T>(project_id, id, expected).await {
            Ok(_) => self.publish_and_apply(&mut lock, [removal(id, project_id)]).await,
            Err(error) => Err(error),
        };
        lock.end(done).await
    }

    async fn current<T: ProjectEntity>(
        &self,
        project_id: &str,
        id: &str,
        expected: &ExpectedVersion,
    ) -> Result<T, CommandError> {
        let current: T = self.directory.entity(project_id, id).await?.ok_or(CommandError::NotFound)?;
        expected.check(current.version())?;
        Ok(current)
    }
}
