//! Which key is good: a cache in front of Redis that is true within a second.
//!
//! A key that was looked up once is answered from memory. What makes that safe:
//! - Redis tells the connection that read a key when it, what ends it, its project's plan or removal, or that plan changes
//!   (client-side caching, RESP3), and the entry goes; an answer that was on its way meanwhile is used once and not kept.
//! - An end that lies ahead is kept with the entry, which is judged by the clock each time.
//! - The position of the projection is read four times a second. That proves that the connection lives (a half-open one
//!   tells nothing) and that Redis has not lost its memory.
//! - After a reconnect everything is looked up again.
//!
//! While Redis cannot be reached or believed, keys that are known go on for [`KeyCacheSettings::outage_grace`]; all else
//! is [`AuthError::Unavailable`], never "unknown": clients drop their data when they are told that a key is wrong.

use crate::key_validity::KeyValidity;
use crate::projection::{Position, Projection, ReadError};
use crate::{Scope, Scopes, plans, token};
use proto::control::EntityKind;
use proto::v1::{ApiKey, Plan, entity::Kind};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, PushInfo, PushKind, RedisError, Value};
use redis_access::Servers;
use service::connections::RedisEndpoint;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often the position is read.
const BEAT: Duration = Duration::from_millis(250);
/// How long Redis may take to answer before the connection counts as dead.
const ANSWER: Duration = Duration::from_millis(500);

/// How the cache behaves.
#[derive(Debug, Clone)]
pub struct KeyCacheSettings {
    /// How long known keys are accepted while Redis is away. In that time a revocation may not be seen.
    pub outage_grace: Duration,
    /// How long an entry is kept at most.
    pub max_age: Duration,
}

impl Default for KeyCacheSettings {
    fn default() -> Self {
        Self { outage_grace: Duration::from_secs(60), max_age: Duration::from_secs(600) }
    }
}

/// A key that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its public id.
    pub key_id: String,
    /// The project that it belongs to.
    pub project_id: String,
    /// The connection that it was made for; empty for a key that stands alone.
    pub connection_id: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Requests per clock hour that its project's plan allows; none: no limit.
    pub requests_per_hour: Option<u64>,
}

/// Why a token was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No token of ours.
    #[error("the key is not known")]
    Unknown,
    /// It was ours once.
    #[error("the key was revoked")]
    Revoked,
    /// It cannot be told at the moment.
    #[error("the key cannot be looked up at the moment")]
    Unavailable,
}

struct Entry {
    key: Arc<Key>,
    /// The name of its project's plan.
    plan: String,
    secret_hash: Vec<u8>,
    ends: KeyValidity,
    read_at: Instant,
}

/// By what somebody claims to hold a key.
#[derive(Clone, Copy)]
enum Claim<'a> {
    /// The key's secret.
    Secret(&'a str),
    /// A proof that was checked before.
    Proven,
}

#[derive(Default)]
struct State {
    entries: HashMap<String, Entry>,
    /// Plans by name, as projects have them, and when they were read.
    plans: HashMap<String, (Instant, Plan)>,
    /// Counts the invalidations: an answer that was read before one is not kept.
    changes: u64,
    connection: Option<MultiplexedConnection>,
    /// Since when Redis cannot be reached or believed.
    outage_since: Option<Instant>,
    /// The furthest position that was seen.
    position: Option<Position>,
}

/// The cache. Clones share it.
#[derive(Clone)]
pub struct KeyCache {
    state: Arc<RwLock<State>>,
    projection: Projection,
    settings: KeyCacheSettings,
}

impl KeyCache {
    /// Starts the cache and keeps its connection until `stop`. Fails only if the address cannot be read: while Redis is
    /// away, lookups answer [`AuthError::Unavailable`].
    pub fn start(
        redis: &RedisEndpoint,
        namespace: &str,
        settings: KeyCacheSettings,
        stop: CancellationToken,
    ) -> Result<Self, RedisError> {
        let servers = Servers::new(redis)?;
        let state = State { outage_since: Some(Instant::now()), ..State::default() };
        let cache =
            Self { state: Arc::new(RwLock::new(state)), projection: Projection::new(namespace), settings };
        let keeper = cache.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = keeper.keep_connected(servers) => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(cache)
    }

    /// Whether Redis is reached and believed.
    pub fn connected(&self) -> bool {
        self.read().outage_since.is_none()
    }

    /// The key that `token` is, if it is good.
    pub async fn authenticate(&self, token: &str) -> Result<Arc<Key>, AuthError> {
        let (key_id, secret) = token::parse(token).ok_or(AuthError::Unknown)?;
        self.judge(key_id, Claim::Secret(secret)).await
    }

    /// The key `key_id`, if it is good, for one who has proven before that he holds it: a session. Who asks this vouches
    /// for him; an id alone proves nothing.
    pub async fn still_good(&self, key_id: &str) -> Result<Arc<Key>, AuthError> {
        self.judge(key_id, Claim::Proven).await
    }

    async fn judge(&self, key_id: &str, claim: Claim<'_>) -> Result<Arc<Key>, AuthError> {
        match self.known(key_id, claim) {
            Some(verdict) => verdict,
            None => self.look_up(key_id, claim).await,
        }
    }

    /// The key that `token` names by its public part, from memory alone: whose key was given with a wrong secret, or was
    /// revoked. It proves nothing about who gave it.
    pub fn named(&self, token: &str) -> Option<Arc<Key>> {
        let (key_id, _) = token::parse(token)?;
        self.read().entries.get(key_id).map(|entry| entry.key.clone())
    }

    /// The verdict from memory, if there is an entry that may be used.
    fn known(&self, key_id: &str, claim: Claim<'_>) -> Option<Result<Arc<Key>, AuthError>> {
        let state = self.read();
        let entry = state.entries.get(key_id)?;
        let usable = match state.outage_since {
            None => entry.read_at.elapsed() <= self.settings.max_age,
            Some(since) => since.elapsed() <= self.settings.outage_grace,
        };
        usable.then(|| entry.verdict(claim))
    }

    async fn look_up(&self, key_id: &str, claim: Claim<'_>) -> Result<Arc<Key>, AuthError> {
        let (connection, changes, known) = {
            let state = self.read();
            if state.outage_since.is_some() {
                return Err(AuthError::Unavailable);
            }
            let connection = state.connection.clone().ok_or(AuthError::Unavailable)?;
            (connection, state.changes, state.position.clone())
        };
        let read = self.read_entry(connection, key_id, changes, known).await.map_err(|error| {
            tracing::warn!(%error, "a key could not be looked up");
            AuthError::Unavailable
        })?;
        let (entry, position) = read.ok_or(AuthError::Unknown)?;
        let verdict = entry.verdict(claim);
        let mut state = self.write();
        state.see(position);
        if state.changes == changes {
            state.entries.insert(key_id.to_owned(), entry);
        }
        verdict
    }

    /// The key with what ends it, then its project's plan and removal: the first says which the second are. What the plan
    /// allows is mostly known.
    async fn read_entry(
        &self,
        mut redis: MultiplexedConnection,
        key_id: &str,
        changes: u64,
        known: Option<Position>,
    ) -> Result<Option<(Entry, Position)>, ReadError> {
        let [revocation, expiry] = KeyValidity::wanted(key_id);
        let wanted = [(EntityKind::ApiKey, key_id), revocation, expiry];
        let ([key, revocation, expiry], position) =
            self.projection.read(&mut redis, wanted, known.as_ref()).await?;
        let Some(Kind::ApiKey(key)) = key else { return Ok(None) };
        let project_id = key.project_id.as_str();
        let wanted = [(EntityKind::ProjectPlan, project_id), (EntityKind::Removal, project_id)];
        let ([plan, removal], position) = self.projection.read(&mut redis, wanted, Some(&position)).await?;
        let name = match plan {
            Some(Kind::ProjectPlan(plan)) => plan.plan,
            // Every project is made with a plan.
            _ => plans::DEFAULT.to_owned(),
        };
        let plan = self.read().plans.get(&name).cloned();
        let (plan, position) = match plan {
            Some((read_at, plan)) if read_at.elapsed() <= self.settings.max_age => (plan, position),
            _ => self.read_plan(redis, &name, changes, position).await?,
        };
        let ends = KeyValidity::of([revocation, expiry, removal]);
        Ok(Some((Entry::new(key, ends, name, &plan), position)))
    }

    async fn read_plan(
        &self,
        mut redis: MultiplexedConnection,
        name: &str,
        changes: u64,
        position: Position,
    ) -> Result<(Plan, Position), ReadError> {
        let (read_at, wanted) = (Instant::now(), [(EntityKind::Plan, name)]);
        let ([plan], position) = self.projection.read(&mut redis, wanted, Some(&position)).await?;
        let plan = match plan {
            Some(Kind::Plan(plan)) => plan,
            _ => plans::first(name).unwrap_or_else(|| {
                tracing::warn!(plan = name, "there is no such plan");
                plans::smallest()
            }),
        };
        let mut state = self.write();
        if state.changes == changes {
            state.plans.insert(name.to_owned(), (read_at, plan.clone()));
        }
        Ok((plan, position))
    }

    async fn keep_connected(&self, servers: Servers) {
        loop {
            if let Err(error) = self.connected_until_failure(&servers).await {
                tracing::warn!(%error, "no connection to Redis: known keys go on for a while, others are refused with 503");
            }
            self.write().outage();
            tokio::time::sleep(BEAT).await;
        }
    }

    async fn connected_until_failure(&self, servers: &Servers) -> Result<(), ReadError> {
        let listener = self.clone();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_response_timeout(Some(ANSWER))
            .set_push_sender(move |push: PushInfo| -> Result<(), redis::aio::SendError> {
                listener.hear(push);
                Ok(())
            });
        // Only the server that holds a key tells of its changes. In a cluster it may be another one after a failure.
        let client = servers.server_of(&self.projection.position_key()).await?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        redis::cmd("CLIENT").arg("TRACKING").arg("ON").query_async::<()>(&mut connection).await?;
        let mut fresh = true;
        loop {
            // A lookup beside it may hear of a later position before this answer is judged.
            let known = self.read().position.clone();
            let position = self.projection.position(&mut connection).await?;
            self.write().judge(&connection, position, known.as_ref(), &mut fresh);
            tokio::time::sleep(BEAT).await;
        }
    }

    /// Redis says that something changed, or that the connection is gone.
    fn hear(&self, push: PushInfo) {
        match push.kind {
            PushKind::Invalidate => {
                let mut state = self.write();
                state.changes += 1;
                match push.data.first() {
                    Some(Value::Array(names)) => {
                        for name in names {
                            if let Value::BulkString(name) = name
                                && let Some((kind, id)) = Projection::entity_in(name)
                            {
                                state.forget(kind, id);
                            }
                        }
                    }
                    // Everything was flushed: what is known stays usable as in any outage, and nothing new is believed.
                    _ => {
                        state.outage();
                    }
                }
            }
            PushKind::Disconnection => {
                self.write().outage();
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

impl State {
    /// Decides by `position` whether Redis is believed. `known`: the furthest position that was seen before it was asked
    /// for. `fresh`: nothing was cached over this connection yet.
    fn judge(
        &mut self,
        connection: &MultiplexedConnection,
        position: Option<Position>,
        known: Option<&Position>,
        fresh: &mut bool,
    ) {
        match position.filter(|position| position.believable(known)) {
            Some(position) if !*fresh && self.outage_since.is_none() => self.see(position),
            Some(position) => {
                tracing::info!("keys are looked up in Redis");
                self.begin(connection.clone(), position);
                *fresh = false;
            }
            None => {
                if self.outage() {
                    tracing::warn!(
                        "Redis is empty or behind: waiting until it is filled from the control log"
                    );
                }
            }
        }
    }

    /// A connection that is believed, with nothing cached yet: entries from before may have missed a change.
    fn begin(&mut self, connection: MultiplexedConnection, position: Position) {
        self.entries.clear();
        self.plans.clear();
        self.changes += 1;
        self.connection = Some(connection);
        self.outage_since = None;
        self.see(position);
    }

    /// Drops what was read from the entity: plans change rarely, so their entries are searched for.
    fn forget(&mut self, kind: EntityKind, id: &str) {
        match kind {
            EntityKind::ProjectPlan | EntityKind::Removal => {
                self.entries.retain(|_, entry| entry.key.project_id != id);
            }
            EntityKind::Plan => {
                self.plans.remove(id);
                self.entries.retain(|_, entry| entry.plan != id);
            }
            _ => {
                self.entries.remove(id);
            }
        }
    }

    /// Notes an outage; tells whether it is a new one.
    fn outage(&mut self) -> bool {
        self.changes += 1;
        let new = self.outage_since.is_none();
        self.outage_since.get_or_insert_with(Instant::now);
        new
    }

    fn see(&mut self, position: Position) {
        if self.position.as_ref().is_none_or(|known| known.log != position.log || known.next < position.next)
        {
            self.position = Some(position);
        }
    }
}

impl Entry {
    fn new(key: ApiKey, ends: KeyValidity, plan_name: String, plan: &Plan) -> Self {
        let scopes = Scopes::new(key.scopes());
        Self {
            key: Arc::new(Key {
                key_id: key.key_id,
                project_id: key.project_id,
                connection_id: key.connection_id,
                scopes,
                requests_per_hour: plan.requests_per_hour,
            }),
            plan: plan_name,
            secret_hash: key.secret_hash,
            ends,
            read_at: Instant::now(),
        }
    }

    fn verdict(&self, claim: Claim<'_>) -> Result<Arc<Key>, AuthError> {
        if let Claim::Secret(secret) = claim
            && !token::matches(secret, &self.secret_hash)
        {
            // Not even whether the key was revoked is told to one who does not have it.
            return Err(AuthError::Unknown);
        }
        if self.ends.refused(service::clock::now_ms()) {
            Err(AuthError::Revoked)
        } else {
            Ok(self.key.clone())
        }
    }
}

impl Key {
    /// Whether it may do what `scope` stands for.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.allows(scope)
    }
}
