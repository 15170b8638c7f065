//! Authenticates keys with a cache in front of Redis that learns of every change within one second.
//!
//! A key that was read once is answered from memory. Four rules keep the entries correct:
//! - Redis notifies the connection that read a key when the key, its revocation or expiry, its project's plan or
//!   removal, or that plan changes (client-side caching, RESP3). The entry is dropped. A read that was in flight
//!   during an invalidation is used once and not cached.
//! - An expiry in the future is stored with the entry and compared with the clock on each use.
//! - The projection's position is read four times a second. That proves that the connection is alive (a half-open one
//!   delivers no invalidations) and that Redis has not lost data.
//! - After a reconnect the cache starts empty.
//!
//! While Redis is unavailable or its projection is not usable, cached keys are accepted for
//! [`KeyCacheSettings::outage_grace`]. Every other key gets [`AuthError::Unavailable`], never "unknown", because
//! clients
//! drop their data when a key is reported as wrong.

mod model;
mod state;

pub use model::{AuthError, Key};

use crate::key_validity::KeyValidity;
use crate::projection::{Position, Projection, ReadError};
use crate::{plans, token};
use proto::control::EntityKind;
use proto::v1::{Plan, entity::Kind};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, PushInfo, PushKind, RedisError, Value};
use redis_access::Servers;
use service::connections::RedisEndpoint;
use state::{Entry, Proof, State};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Interval between reads of the projection's position, and between attempts to reconnect.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// Response timeout after which the connection counts as dead.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Settings of the cache.
#[derive(Debug, Clone)]
pub struct KeyCacheSettings {
    /// Maximum time for which cached keys are accepted while Redis is unavailable. A revocation may go unnoticed
    /// during that time.
    pub outage_grace: Duration,
    /// Maximum age of an entry.
    pub max_age: Duration,
}

impl Default for KeyCacheSettings {
    fn default() -> Self {
        Self { outage_grace: Duration::from_secs(60), max_age: Duration::from_secs(600) }
    }
}

/// Cache of keys. Clones share it.
#[derive(Clone)]
pub struct KeyCache {
    state: Arc<RwLock<State>>,
    projection: Projection,
    settings: KeyCacheSettings,
}

impl KeyCache {
    /// Starts the cache, which keeps a connection to Redis until `stop`. Fails only if the address is invalid: while
    /// Redis is unavailable, lookups return [`AuthError::Unavailable`].
    pub fn start(
        redis: &RedisEndpoint,
        namespace: &str,
        settings: KeyCacheSettings,
        stop: CancellationToken,
    ) -> Result<Self, RedisError> {
        let servers = Servers::new(redis)?;
        let state = State::disconnected();
        let cache =
            Self { state: Arc::new(RwLock::new(state)), projection: Projection::new(namespace), settings };
        let background = cache.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = background.keep_connected(servers) => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(cache)
    }

    /// Returns whether Redis is connected and its projection is usable.
    pub fn connected(&self) -> bool {
        self.read().outage_since.is_none()
    }

    /// Returns the key of `token` if the token is valid.
    pub async fn authenticate(&self, token: &str) -> Result<Arc<Key>, AuthError> {
        let (key_id, secret) = token::parse(token).ok_or(AuthError::Unknown)?;
        self.authenticate_with(key_id, Proof::Secret(secret)).await
    }

    /// Returns the key `key_id` if it is valid. For sessions: the caller must have verified before that the client
    /// holds the key, because an id alone proves nothing.
    pub async fn revalidate(&self, key_id: &str) -> Result<Arc<Key>, AuthError> {
        self.authenticate_with(key_id, Proof::AlreadyVerified).await
    }

    async fn authenticate_with(&self, key_id: &str, proof: Proof<'_>) -> Result<Arc<Key>, AuthError> {
        match self.cached(key_id, proof) {
            Some(result) => result,
            None => self.load(key_id, proof).await,
        }
    }

    /// Returns the cached key with the public id in `token`, even if the secret is wrong or the key was revoked. Does
    /// not authenticate the client.
    pub fn find_cached(&self, token: &str) -> Option<Arc<Key>> {
        let (key_id, _) = token::parse(token)?;
        self.read().entries.get(key_id).map(|entry| entry.key.clone())
    }

    /// Returns the result from the cache if it has a usable entry.
    fn cached(&self, key_id: &str, proof: Proof<'_>) -> Option<Result<Arc<Key>, AuthError>> {
        let state = self.read();
        let entry = state.entries.get(key_id)?;
        let usable = match state.outage_since {
            None => entry.read_at.elapsed() <= self.settings.max_age,
            Some(since) => since.elapsed() <= self.settings.outage_grace,
        };
        usable.then(|| entry.check(proof))
    }

    async fn load(&self, key_id: &str, proof: Proof<'_>) -> Result<Arc<Key>, AuthError> {
        let (connection, invalidations, at_least) = {
            let state = self.read();
            if state.outage_since.is_some() {
                return Err(AuthError::Unavailable);
            }
            let connection = state.connection.clone().ok_or(AuthError::Unavailable)?;
            (connection, state.invalidations, state.position.clone())
        };
        let read = self.read_entry(connection, key_id, invalidations, at_least).await.map_err(|error| {
            tracing::warn!(%error, "key lookup failed");
            AuthError::Unavailable
        })?;
        let (entry, position) = read.ok_or(AuthError::Unknown)?;
        let result = entry.check(proof);
        let mut state = self.write();
        state.advance_position(position);
        if state.invalidations == invalidations {
            state.entries.insert(key_id.to_owned(), entry);
        }
        result
    }

    /// Reads the key with its revocation and expiry, then the plan and removal of its project, which the key
    /// names. The plan's limit usually comes from memory.
    async fn read_entry(
        &self,
        mut redis: MultiplexedConnection,
        key_id: &str,
        invalidations: u64,
        at_least: Option<Position>,
    ) -> Result<Option<(Entry, Position)>, ReadError> {
        let [revocation, expiry] = KeyValidity::entities_of(key_id);
        let entities = [(EntityKind::ApiKey, key_id), revocation, expiry];
        let ([key, revocation, expiry], position) =
            self.projection.read(&mut redis, entities, at_least.as_ref()).await?;
        let Some(Kind::ApiKey(key)) = key else { return Ok(None) };
        let project_id = key.project_id.as_str();
        let entities = [(EntityKind::ProjectPlan, project_id), (EntityKind::Removal, project_id)];
        let ([plan, removal], position) = self.projection.read(&mut redis, entities, Some(&position)).await?;
        let name = match plan {
            Some(Kind::ProjectPlan(plan)) => plan.plan,
            // Every project is created with a plan.
            _ => plans::DEFAULT.to_owned(),
        };
        let plan = self.read().plans.get(&name).cloned();
        let (plan, position) = match plan {
            Some((read_at, plan)) if read_at.elapsed() <= self.settings.max_age => (plan, position),
            _ => self.read_plan(redis, &name, invalidations, position).await?,
        };
        let validity = KeyValidity::from_entities([revocation, expiry, removal]);
        Ok(Some((Entry::new(key, validity, name, &plan), position)))
    }

    async fn read_plan(
        &self,
        mut redis: MultiplexedConnection,
        name: &str,
        invalidations: u64,
        position: Position,
    ) -> Result<(Plan, Position), ReadError> {
        let (read_at, entities) = (Instant::now(), [(EntityKind::Plan, name)]);
        let ([plan], position) = self.projection.read(&mut redis, entities, Some(&position)).await?;
        let plan = match plan {
            Some(Kind::Plan(plan)) => plan,
            _ => plans::built_in(name).unwrap_or_else(|| {
                tracing::warn!(plan = name, "project has an unknown plan; applying the smallest one");
                plans::smallest()
            }),
        };
        let mut state = self.write();
        if state.invalidations == invalidations {
            state.plans.insert(name.to_owned(), (read_at, plan.clone()));
        }
        Ok((plan, position))
    }

    async fn keep_connected(&self, servers: Servers) {
        loop {
            if let Err(error) = self.run_connection(&servers).await {
                tracing::warn!(
                    %error,
                    "key cache lost Redis: cached keys are accepted for the grace period, others get 503"
                );
            }
            self.write().begin_outage();
            tokio::time::sleep(HEARTBEAT).await;
        }
    }

    /// Connects and reads the position at each heartbeat until the connection fails.
    async fn run_connection(&self, servers: &Servers) -> Result<(), ReadError> {
        let listener = self.clone();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_push_sender(move |push: PushInfo| -> Result<(), redis::aio::SendError> {
                listener.handle_push(push);
                Ok(())
            });
        // Only the server that holds a key sends its invalidations. In a cluster another server may hold it after a
        // failover.
        let client = servers.server_of(&self.projection.position_key()).await?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        redis::cmd("CLIENT").arg("TRACKING").arg("ON").query_async::<()>(&mut connection).await?;
        let mut fresh = true;
        loop {
            // Taken before the read: a concurrent lookup may see a later position before this response is checked.
            let at_least = self.read().position.clone();
            let position = self.projection.position(&mut connection).await?;
            self.write().check_position(&connection, position, at_least.as_ref(), &mut fresh);
            tokio::time::sleep(HEARTBEAT).await;
        }
    }

    /// Handles an invalidation or the loss of the connection.
    fn handle_push(&self, push: PushInfo) {
        match push.kind {
            PushKind::Invalidate => {
                let mut state = self.write();
                state.invalidations += 1;
                match push.data.first() {
                    Some(Value::Array(names)) => {
                        for name in names {
                            if let Value::BulkString(name) = name
                                && let Some((kind, id)) = Projection::entity_in(name)
                            {
                                state.invalidate(kind, id);
                            }
                        }
                    }
                    // Redis was flushed. As in any outage, entries stay usable for the grace period and nothing
                    // new is cached.
                    _ => {
                        state.begin_outage();
                    }
                }
            }
            PushKind::Disconnection => {
                self.write().begin_outage();
            }
            _ => {}
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}
