//! What there is: projects, plans, connections and keys, one by one and as lists, read from Redis.
//!
//! What was removed is not there, and a key that is refused is not listed. A list is in the order in which its items were
//! made; an item that was made before a list was begun and is there until its end is seen once, whatever else changes.

mod owned;

use crate::index::{Index, id_at};
use crate::key_validity::KeyValidity;
use crate::plans;
use crate::projection::{Projection, ReadError};
use proto::control::EntityKind;
use proto::v1::{ApiKey, Connection, Plan, Project, entity::Kind};
use redis_access::Redis;
use service::clock::now_ms;
use std::collections::BTreeMap;

/// Reads what there is. Clones share the connection.
#[derive(Clone)]
pub struct Directory {
    projection: Projection,
    redis: Redis,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; none if this is the last.
    pub next: Option<String>,
}

/// A project with what it may do and has done.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectView {
    /// The project.
    pub project: Project,
    /// The name of its plan.
    pub plan: String,
}

/// A connection and how its current key is.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionView {
    /// The connection.
    pub connection: Connection,
    /// The last characters of its current key.
    pub key_hint: String,
    /// Whether its current key is good.
    pub active: bool,
}

/// Something that has an index.
trait Listed: Sized + Send {
    /// Reads those of `ids` that are there, in the same order.
    fn load(
        directory: &Directory,
        ids: &[&str],
    ) -> impl Future<Output = Result<Vec<Option<Self>>, ReadError>> + Send;
}

impl Directory {
    /// What there is in the installation `namespace`.
    pub fn new(namespace: &str, redis: Redis) -> Self {
        Self { projection: Projection::new(namespace), redis }
    }

    /// The project, unless it is not there.
    pub async fn project(&self, project_id: &str) -> Result<Option<ProjectView>, ReadError> {
        self.one(project_id).await
    }

    /// All projects.
    pub async fn projects(&self, after: Option<&str>, limit: usize) -> Result<Page<ProjectView>, ReadError> {
        self.page(&Index::Projects, after, limit).await
    }

    /// The project's connection, unless it is not there.
    pub async fn connection(
        &self,
        project_id: &str,
        connection_id: &str,
    ) -> Result<Option<ConnectionView>, ReadError> {
        let view: Option<ConnectionView> = self.one(connection_id).await?;
        Ok(view.filter(|view| view.connection.project_id == project_id))
    }

    /// The project's connections.
    pub async fn connections(
        &self,
        project_id: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<ConnectionView>, ReadError> {
        self.page(&Index::Connections(project_id.to_owned()), after, limit).await
    }

    /// The project's key, if it stands alone and is good.
    pub async fn key(&self, project_id: &str, key_id: &str) -> Result<Option<ApiKey>, ReadError> {
        let key: Option<ApiKey> = self.one(key_id).await?;
        Ok(key.filter(|key| key.project_id == project_id && key.connection_id.is_empty()))
    }

    /// The project's good keys that stand alone.
    pub async fn keys(
        &self,
        project_id: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<ApiKey>, ReadError> {
        self.page(&Index::Keys(project_id.to_owned()), after, limit).await
    }

    /// The plan `name`: as an operator set it, else as a new installation has it.
    pub async fn plan(&self, name: &str) -> Result<Option<Plan>, ReadError> {
        Ok(self.plans_named(&[name]).await?.pop().flatten())
    }

    /// Every plan, by name. An operator makes them, so there are few.
    pub async fn plans(&self) -> Result<Vec<Plan>, ReadError> {
        let mut redis = self.redis.clone();
        let places = self.projection.places(&mut redis, &Index::Plans, None, usize::MAX >> 1).await?;
        let mut names: Vec<&str> = plans::names().collect();
        names.extend(places.iter().map(|place| id_at(place)));
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

    /// What ends each of these keys, in the same order, whether or not there are such keys.
    pub(crate) async fn ends(&self, key_ids: &[&str]) -> Result<Vec<KeyValidity>, ReadError> {
        Ok(self.read(key_ids, KeyValidity::wanted).await?.into_iter().map(KeyValidity::of).collect())
    }

    async fn keys_and_ends(&self, key_ids: &[&str]) -> Result<Vec<Option<(ApiKey, KeyValidity)>>, ReadError> {
        let entities = self
            .read(key_ids, |id| {
                let [revocation, expiry] = KeyValidity::wanted(id);
                [(EntityKind::ApiKey, id), revocation, expiry]
            })
            .await?;
        let judged = entities.into_iter().map(|[key, revocation, expiry]| match key {
            Some(Kind::ApiKey(key)) => Some((key, KeyValidity::of([revocation, expiry]))),
            _ => None,
        });
        Ok(judged.collect())
    }

    async fn plans_named(&self, names: &[&str]) -> Result<Vec<Option<Plan>>, ReadError> {
        let found = self.read(names, |name| [(EntityKind::Plan, name)]).await?;
        let plans = names.iter().zip(found).map(|(name, [plan])| match plan {
            Some(Kind::Plan(plan)) => Some(plans::of_state(plan)),
            _ => plans::first(name),
        });
        Ok(plans.collect())
    }

    async fn one<T: Listed>(&self, id: &str) -> Result<Option<T>, ReadError> {
        Ok(T::load(self, &[id]).await?.pop().flatten())
    }

    async fn page<T: Listed>(
        &self,
        index: &Index,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<T>, ReadError> {
        let mut items = Vec::new();
        let (mut after, mut last) = (after.map(str::to_owned), None);
        loop {
            // One more than is missing tells whether there are more.
            let count = limit + 1 - items.len();
            let mut redis = self.redis.clone();
            let places = self.projection.places(&mut redis, index, after.as_deref(), count).await?;
            let ids: Vec<&str> = places.iter().map(|place| id_at(place)).collect();
            for (place, item) in places.iter().zip(T::load(self, &ids).await?) {
                let Some(item) = item else { continue };
                if items.len() == limit {
                    return Ok(Page { items, next: last });
                }
                items.push(item);
                last = Some(place.clone());
            }
            if places.len() < count {
                return Ok(Page { items, next: None });
            }
            after = places.into_iter().next_back();
        }
    }

    /// Reads what `wanted` names for each of `ids`, in one round trip.
    async fn read<'a, const N: usize>(
        &self,
        ids: &[&'a str],
        wanted: impl Fn(&'a str) -> [(EntityKind, &'a str); N],
    ) -> Result<Vec<[Option<Kind>; N]>, ReadError> {
        let wanted: Vec<(EntityKind, &str)> = ids.iter().flat_map(|id| wanted(id)).collect();
        let (found, _) = self.projection.read_all(&mut self.redis.clone(), &wanted, None).await?;
        let mut found = found.into_iter();
        let one = |_: &&str| std::array::from_fn(|_| found.next().flatten());
        Ok(ids.iter().map(one).collect())
    }
}

impl Listed for ProjectView {
    async fn load(directory: &Directory, ids: &[&str]) -> Result<Vec<Option<Self>>, ReadError> {
        let wanted =
            |id| [(EntityKind::Project, id), (EntityKind::ProjectPlan, id), (EntityKind::Removal, id)];
        let found = directory.read(ids, wanted).await?;
        let views = found.into_iter().map(|[project, plan, removal]| {
            let Some(Kind::Project(project)) = project.filter(|_| removal.is_none()) else { return None };
            let plan = match plan {
                Some(Kind::ProjectPlan(chosen)) => chosen.plan,
                _ => plans::DEFAULT.to_owned(),
            };
            Some(Self { project, plan })
        });
        Ok(views.collect())
    }
}

impl Listed for ConnectionView {
    async fn load(directory: &Directory, ids: &[&str]) -> Result<Vec<Option<Self>>, ReadError> {
        let wanted = |id| [(EntityKind::Connection, id), (EntityKind::Removal, id)];
        let found = directory.read(ids, wanted).await?;
        let connections: Vec<Option<Connection>> = found
            .into_iter()
            .map(|[connection, removal]| match connection {
                Some(Kind::Connection(connection)) if removal.is_none() => Some(connection),
                _ => None,
            })
            .collect();
        let key_ids: Vec<&str> = connections.iter().flatten().map(|found| found.key_id.as_str()).collect();
        let mut keys = directory.keys_and_ends(&key_ids).await?.into_iter();
        let now = now_ms();
        let views = connections.into_iter().map(|connection| {
            let connection = connection?;
            let (key_hint, active) = match keys.next().flatten() {
                Some((key, ends)) => (key.hint, !ends.refused(now)),
                None => (String::new(), false),
            };
            Some(Self { connection, key_hint, active })
        });
        Ok(views.collect())
    }
}

impl Listed for ApiKey {
    async fn load(directory: &Directory, ids: &[&str]) -> Result<Vec<Option<Self>>, ReadError> {
        let now = now_ms();
        let good = |(key, ends): (Self, KeyValidity)| (!ends.refused(now)).then_some(key);
        Ok(directory.keys_and_ends(ids).await?.into_iter().map(|found| found.and_then(good)).collect())
    }
}
