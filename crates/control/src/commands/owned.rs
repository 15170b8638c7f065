//! Commands on what belongs to a project: dashboards, alert rules, channels.

use super::{CommandError, Commands, Expected, removal};
use crate::owned::Owned;
use crate::token;
use service::clock::now_ms;

impl Commands {
    /// Makes `entity`, with an id of its own.
    pub async fn create_owned<T: Owned>(&self, mut entity: T) -> Result<T, CommandError> {
        let now = now_ms();
        entity.stamp(token::id(T::PREFIX), 1, now, now);
        let mut lock = self.lock(entity.id()).await?;
        let done = self.carry_out(&mut lock, [entity.clone().into_kind()]).await;
        lock.end(done).await?;
        Ok(entity)
    }

    /// Puts `entity` in the place of the project's entity `id`.
    pub async fn replace_owned<T: Owned>(
        &self,
        id: &str,
        mut entity: T,
        expected: &Expected,
    ) -> Result<T, CommandError> {
        let mut lock = self.lock(id).await?;
        let done = match self.owned::<T>(entity.project_id(), id, expected).await {
            Ok(known) => {
                entity.stamp(id.to_owned(), known.version() + 1, known.created_at_ms(), now_ms());
                self.carry_out(&mut lock, [entity.clone().into_kind()]).await
            }
            Err(error) => Err(error),
        };
        lock.end(done).await?;
        Ok(entity)
    }

    /// Removes the project's entity `id`.
    pub async fn remove_owned<T: Owned>(
        &self,
        project_id: &str,
        id: &str,
        expected: &Expected,
    ) -> Result<(), CommandError> {
        let mut lock = self.lock(id).await?;
        let done = match self.owned::<T>(project_id, id, expected).await {
            Ok(_) => self.carry_out(&mut lock, [removal(id, project_id)]).await,
            Err(error) => Err(error),
        };
        lock.end(done).await
    }

    async fn owned<T: Owned>(
        &self,
        project_id: &str,
        id: &str,
        expected: &Expected,
    ) -> Result<T, CommandError> {
        let known: T = self.directory.owned(project_id, id).await?.ok_or(CommandError::NotFound)?;
        expected.check(known.version())?;
        Ok(known)
    }
}
