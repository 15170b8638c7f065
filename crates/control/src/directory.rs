//! Reads projects, plans, connections, keys and project entities from Redis, individually and as lists.
//!
//! Removed objects are not returned, and refused keys are not listed. Lists are in order of creation. An item that
//! exists from the first page of a list to its last is listed exactly once, whatever else changes meanwhile.

mod project_entities;

use crate::index::{Index, entry_id};
use crate::key_validity::KeyValidity;
use crate::plans;
use crate::projection::{Projection, ReadError};
use proto::control::EntityKind;
use proto::v1::{ApiKey, Connection, Plan, Project, entity::Kind};
use redis_access::Redis;
use service::clock::now_ms;
use std::collections::BTreeMap;

/// Reads the projection. Clones share the connection.
#[derive(Clone)]
pub struct Directory {
    projection: Projection,
    redis: Redis,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// Items in order of creation.
    pub items: Vec<T>,
    /// Cursor of the next page; none if this is the last page.
    pub next: Option<String>,
}

/// A project and its plan.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectView {
    /// Project.
    pub project: Project,
    /// Name of its plan.
    pub plan: String,
}

/// A connection and the state of its current key.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionView {
    /// Connection.
    pub connection: Connection,
    /// Last characters of its current key.
    pub key_hint: String,
    /// True if its current key is valid.
    pub active: bool,
}

/// An item that can be listed.
trait DirectoryItem: Sized + Send {
    /// Reads the items with these ids, in the same order; none where an item does not exist.
    fn load(
        directory: &Directory,
        ids: &[&str],
    ) -> impl Future<Output = Result<Vec<Option<Self>>, ReadError>> + Send;
}

impl Directory {
    /// Creates a reader for the installation `namespace`.
    pub fn new(namespace: &str, redis: Redis) -> Self {
        Self { projection: Projection::new(namespace), redis }
    }

    /// Returns the project. None if it does not exist.
    pub async fn project(&self, project_id: &str) -> Result<Option<ProjectView>, ReadError> {
        self.load_one(project_id).await
    }

    /// Lists all projects.
    pub async fn projects(&self, after: Option<&str>, limit: usize) -> Result<Page<ProjectView>, ReadError> {
        self.page(&Index::Projects, after, limit).await
    }

    /// Returns the project's connection. None if it does not exist.
    pub async fn connection(
        &self,
        project_id: &str,
        connection_id: &str,
    ) -> Result<Option<ConnectionView>, ReadError> {
        let view: Option<ConnectionView> = self.load_one(connection_id).await?;
        Ok(view.filter(|view| view.connection.project_id == project_id))
    }

    /// Lists the project's connections.
    pub async fn connections(
        &self,
        project_id: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<ConnectionView>, ReadError> {
        self.page(&Index::Connections(project_id.to_owned()), after, limit).await
    }

    /// Returns the project's key. None unless it is standalone and valid.
    pub async fn key(&self, project_id: &str, key_id: &str) -> Result<Option<ApiKey>, ReadError> {
        let key: Option<ApiKey> = self.load_one(key_id).await?;
        Ok(key.filter(|key| key.project_id == project_id && key.connection_id.is_empty()))
    }

    /// Lists the project's valid standalone keys.
    pub async fn keys(
        &self,
        project_id: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<ApiKey>, ReadError> {
        self.page(&Index::Keys(project_id.to_owned()), after, limit).await
    }

    /// Returns the plan `name`: the operator's version, or else the built-in one.
    pub async fn plan(&self, name: &str) -> Result<Option<Plan>, ReadError> {
        Ok(self.plans_named(&[name]).await?.pop().flatten())
    }

    /// Returns all plans, sorted by name. Only operators create plans, so there are few.
    pub async fn plans(&self) -> Result<Vec<Plan>, ReadError> {
        let mut redis = self.redis.clone();
        let entries = self.projection.index_entries(&mut redis, &Index::Plans, None, usize::MAX >> 1).await?;
        let mut names: Vec<&str> = plans::built_in_names().collect();
        names.extend(entries.iter().map(|entry| entry_id(entry)));
        let plans = self.plans_named(&names).await?;
        let by_name: BTreeMap<String, Plan> =
            plans.into_iter().flatten().map(|plan| (plan.name.clone(), plan)).collect();
        Ok(by_name.into_values().collect())
    }

    /// Returns the hourly request limit of each project, in the same order; none where the plan has no limit.
    pub async fn limits(&self, projects: &[ProjectView]) -> Result<Vec<Option<u64>>, ReadError> {
        let names: Vec<&str> = projects.iter().map(|view| view.plan.as_str()).collect();
        let plans = self.plans_named(&names).await?;
        let limit = |plan: Option<Plan>| plan.unwrap_or_else(plans::smallest).requests_per_hour;
        Ok(plans.into_iter().map(limit).collect())
    }

    /// Returns the validity of each key, in the same order, whether or not the key exists.
    pub(crate) async fn key_validity(&self, key_ids: &[&str]) -> Result<Vec<KeyValidity>, ReadError> {
        Ok(self
            .read(key_ids, KeyValidity::entities_of)
            .await?
            .into_iter()
            .map(KeyValidity::from_entities)
            .collect())
    }

    async fn keys_with_validity(
        &self,
        key_ids: &[&str],
    ) -> Result<Vec<Option<(ApiKey, KeyValidity)>>, ReadError> {
        let entities = self
            .read(key_ids, |id| {
                let [revocation, expiry] = KeyValidity::entities_of(id);
                [(EntityKind::ApiKey, id), revocation, expiry]
            })
            .await?;
        let keys = entities.into_iter().map(|[key, revocation, expiry]| match key {
            Some(Kind::ApiKey(key)) => Some((key, KeyValidity::from_entities([revocation, expiry]))),
            _ => None,
        });
        Ok(keys.collect())
    }

    async fn plans_named(&self, names: &[&str]) -> Result<Vec<Option<Plan>>, ReadError> {
        let found = self.read(names, |name| [(EntityKind::Plan, name)]).await?;
        let plans = names.iter().zip(found).map(|(name, [plan])| match plan {
            Some(Kind::Plan(plan)) => Some(plans::with_version(plan)),
            _ => plans::built_in(name),
        });
        Ok(plans.collect())
    }

    async fn load_one<T: DirectoryItem>(&self, id: &str) -> Result<Option<T>, ReadError> {
        Ok(T::load(self, &[id]).await?.pop().flatten())
    }

    async fn page<T: DirectoryItem>(
        &self,
        index: &Index,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<T>, ReadError> {
        let mut items = Vec::new();
        let (mut after, mut last) = (after.map(str::to_owned), None);
        loop {
            // One more than the page needs, to find out whether there is another page.
            let count = limit + 1 - items.len();
            let mut redis = self.redis.clone();
            let entries = self.projection.index_entries(&mut redis, index, after.as_deref(), count).await?;
            let ids: Vec<&str> = entries.iter().map(|entry| entry_id(entry)).collect();
            for (entry, item) in entries.iter().zip(T::load(self, &ids).await?) {
                let Some(item) = item else { continue };
                if items.len() == limit {
                    return Ok(Page { items, next: last });
                }
                items.push(item);
                last = Some(entry.clone());
            }
            if entries.len() < count {
                return Ok(Page { items, next: None });
            }
            after = entries.into_iter().next_back();
        }
    }

    /// Reads `entities_of` each id, in one round trip.
    async fn read<'a, const N: usize>(
        &self,
        ids: &[&'a str],
        entities_of: impl Fn(&'a str) -> [(EntityKind, &'a str); N],
    ) -> Result<Vec<[Option<Kind>; N]>, ReadError> {
        let entities: Vec<(EntityKind, &str)> = ids.iter().flat_map(|id| entities_of(id)).collect();
        let (found, _) = self.projection.read_all(&mut self.redis.clone(), &entities, None).await?;
        let mut found = found.into_iter();
        let take = |_: &&str| std::array::from_fn(|_| found.next().flatten());
        Ok(ids.iter().map(take).collect())
    }
}

impl DirectoryItem for ProjectView {
    async fn load(directory: &Directory, ids: &[&str]) -> Result<Vec<Option<Self>>, ReadError> {
        let entities =
            |id| [(EntityKind::Project, id), (EntityKind::ProjectPlan, id), (EntityKind::Removal, id)];
        let found = directory.read(ids, entities).await?;
        let views = found.into_iter().map(|[project, plan, removal]| {
            let Some(Kind::Project(project)) = project.filter(|_| removal.is_none()) else { return None };
            let plan = match plan {
                Some(Kind::ProjectPlan(assigned)) => assigned.plan,
                _ => plans::DEFAULT.to_owned(),
            };
            Some(Self { project, plan })
        });
        Ok(views.collect())
    }
}

impl DirectoryItem for ConnectionView {
    async fn load(directory: &Directory, ids: &[&str]) -> Result<Vec<Option<Self>>, ReadError> {
        let entities = |id| [(EntityKind::Connection, id), (EntityKind::Removal, id)];
        let found = directory.read(ids, entities).await?;
        let connections: Vec<Option<Connection>> = found
            .into_iter()
            .map(|[connection, removal]| match connection {
                Some(Kind::Connection(connection)) if removal.is_none() => Some(connection),
                _ => None,
            })
            .collect();
        let key_ids: Vec<&str> = connections.iter().flatten().map(|found| found.key_id.as_str()).collect();
        let mut keys = directory.keys_with_validity(&key_ids).await?.into_iter();
        let now = now_ms();
        let views = connections.into_iter().map(|connection| {
            let connection = connection?;
            let (key_hint, active) = match keys.next().flatten() {
                Some((key, validity)) => (key.hint, !validity.is_refused_at(now)),
                None => (String::new(), false),
            };
            Some(Self { connection, key_hint, active })
        });
        Ok(views.collect())
    }
}

impl DirectoryItem for ApiKey {
    async fn load(directory: &Directory, ids: &[&str]) -> Result<Vec<Option<Self>>, ReadError> {
        let now = now_ms();
        let valid = |(key, validity): (Self, KeyValidity)| (!validity.is_refused_at(now)).then_some(key);
        Ok(directory.keys_with_validity(ids).await?.into_iter().map(|found| found.and_then(valid)).collect())
    }
}
