//! What belongs to projects: dashboards, alert rules, channels.

use super::{Directory, Listed, Page};
use crate::owned::Owned;
use crate::projection::ReadError;
use proto::control::EntityKind;

impl Directory {
    /// The project's entity `id`, unless it is not there.
    pub async fn owned<T: Owned>(&self, project_id: &str, id: &str) -> Result<Option<T>, ReadError> {
        let found: Option<Present<T>> = self.one(id).await?;
        Ok(found.map(|Present(entity)| entity).filter(|entity| entity.project_id() == project_id))
    }

    /// Those of the project's entities `ids` that are there, in the same order.
    pub async fn owned_of<T: Owned>(
        &self,
        project_id: &str,
        ids: &[&str],
    ) -> Result<Vec<Option<T>>, ReadError> {
        let found = Present::<T>::load(self, ids).await?.into_iter();
        let own = |Present(entity): Present<T>| (entity.project_id() == project_id).then_some(entity);
        Ok(found.map(|entity| entity.and_then(own)).collect())
    }

    /// The project's entities.
    pub async fn all_owned<T: Owned>(
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

impl<T: Owned> Listed for Present<T> {
    async fn load(directory: &Directory, ids: &[&str]) -> Result<Vec<Option<Self>>, ReadError> {
        let found = directory.read(ids, |id| [(T::KIND, id), (EntityKind::Removal, id)]).await?;
        let present = found.into_iter().map(|[state, removal]| state.filter(|_| removal.is_none()));
        Ok(present.map(|state| state.and_then(T::of).map(Self)).collect())
    }
}
