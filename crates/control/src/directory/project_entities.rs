//! Reads dashboards, alert rules and notification channels.

use super::{Directory, DirectoryItem, Page};
use crate::project_entity::ProjectEntity;
use crate::projection::ReadError;
use proto::control::EntityKind;

impl Directory {
    /// Returns the project's entity `id`. None if it does not exist.
    pub async fn entity<T: ProjectEntity>(&self, project_id: &str, id: &str) -> Result<Option<T>, ReadError> {
        let found: Option<Present<T>> = self.load_one(id).await?;
        Ok(found.map(|Present(entity)| entity).filter(|entity| entity.project_id() == project_id))
    }

    /// Returns the project's entities `ids`, in the same order; none where an entity does not exist.
    pub async fn entities_by_id<T: ProjectEntity>(
        &self,
        project_id: &str,
        ids: &[&str],
    ) -> Result<Vec<Option<T>>, ReadError> {
        let found = Present::<T>::load(self, ids).await?.into_iter();
        let of_project = |Present(entity): Present<T>| (entity.project_id() == project_id).then_some(entity);
        Ok(found.map(|entity| entity.and_then(of_project)).collect())
    }

    /// Lists the project's entities of one kind.
    pub async fn list_entities<T: ProjectEntity>(
        &self,
        project_id: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<T>, ReadError> {
        let Page { items, next } = self.page::<Present<T>>(&T::index(project_id), after, limit).await?;
        Ok(Page { items: items.into_iter().map(|Present(entity)| entity).collect(), next })
    }
}

/// An entity that was not removed.
struct Present<T>(T);

impl<T: ProjectEntity> DirectoryItem for Present<T> {
    async fn load(directory: &Directory, ids: &[&str]) -> Result<Vec<Option<Self>>, ReadError> {
        let found = directory.read(ids, |id| [(T::KIND, id), (EntityKind::Removal, id)]).await?;
        let present = found.into_iter().map(|[state, removal]| state.filter(|_| removal.is_none()));
        Ok(present.map(|state| state.and_then(T::from_kind).map(Self)).collect())
    }
}
