//! The read engine: the store with everything that makes reads of it correct and fast.

use crate::cache::Cache;
use crate::deletions::{DeletionMask, DeletionReader, View};
use crate::error::Error;
use crate::generations::Generations;
use crate::store::Store;
use crate::stream::tail::Streams;
use crate::watermark::Watermarks;

/// Reads stored metrics.
pub struct Engine {
    /// ClickHouse.
    pub store: Store,
    /// Recently read cells and names.
    pub cache: Cache,
    /// Watermarks of answers.
    pub watermarks: Watermarks,
    /// The generation that is read.
    pub generations: Generations,
    /// Deletions of metrics.
    pub deletions: DeletionReader,
    /// Live streams of points.
    pub streams: Streams,
}

impl Engine {
    /// Returns the store that a request of `project` reads, and the deletions that it has not applied.
    pub async fn view(&self, project: &str) -> Result<View, Error> {
        Ok(self.view_and_deletions(project).await?.0)
    }

    /// Returns the view, and all deletions of the project's metrics.
    pub async fn view_and_deletions(&self, project: &str) -> Result<(View, DeletionMask), Error> {
        let store = self.generations.current().await?;
        let deletions = self.deletions.of_project(project, store.number).await?;
        Ok((View { database: store.database, hidden: deletions.unapplied }, deletions.all))
    }

    /// Returns the deletions that a reader of the log must respect for `project`.
    pub async fn hidden_in_log(&self, project: &str) -> Result<DeletionMask, Error> {
        let store = self.generations.current().await?;
        Ok(self.deletions.of_project(project, store.number).await?.all)
    }
}
