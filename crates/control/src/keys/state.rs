//! Entries of the key cache and the rules that drop them. Contains no I/O.

use super::model::{AuthError, Key};
use crate::key_validity::KeyValidity;
use crate::projection::Position;
use crate::{Scopes, token};
use proto::control::EntityKind;
use proto::v1::{ApiKey, Plan};
use redis::aio::MultiplexedConnection;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

pub(super) struct Entry {
    pub key: Arc<Key>,
    /// Name of the project's plan.
    plan: String,
    secret_hash: Vec<u8>,
    validity: KeyValidity,
    pub read_at: Instant,
}

/// Proof that a client holds a key.
#[derive(Clone, Copy)]
pub(super) enum Proof<'a> {
    /// The key's secret, to be verified.
    Secret(&'a str),
    /// The caller verified the secret before.
    AlreadyVerified,
}

#[derive(Default)]
pub(super) struct State {
    pub entries: HashMap<String, Entry>,
    /// Plans by name, with the time at which each was read.
    pub plans: HashMap<String, (Instant, Plan)>,
    /// Number of invalidations. A response that was read before an invalidation is not cached.
    pub invalidations: u64,
    pub connection: Option<MultiplexedConnection>,
    /// Time since which Redis has been unavailable or its projection not usable.
    pub outage_since: Option<Instant>,
    /// Highest position seen so far.
    pub position: Option<Position>,
}

impl State {
    pub fn disconnected() -> Self {
        Self { outage_since: Some(Instant::now()), ..Self::default() }
    }

    /// Decides by `position` whether the projection is usable. `at_least` is the highest position seen before
    /// `position` was read. `fresh` says that nothing has been cached from this connection yet.
    pub fn check_position(
        &mut self,
        connection: &MultiplexedConnection,
        position: Option<Position>,
        at_least: Option<&Position>,
        fresh: &mut bool,
    ) {
        match position.filter(|position| position.is_usable(at_least)) {
            Some(position) if !*fresh && self.outage_since.is_none() => self.advance_position(position),
            Some(position) => {
                tracing::info!("key cache connected to Redis");
                self.end_outage(connection.clone(), position);
                *fresh = false;
            }
            None => {
                if self.begin_outage() {
                    tracing::warn!(
                        "Redis projection is empty or behind: waiting until it is filled from the control log"
                    );
                }
            }
        }
    }

    /// Starts to use `connection` with an empty cache, because older entries may have missed an invalidation.
    fn end_outage(&mut self, connection: MultiplexedConnection, position: Position) {
        self.entries.clear();
        self.plans.clear();
        self.invalidations += 1;
        self.connection = Some(connection);
        self.outage_since = None;
        self.advance_position(position);
    }

    /// Drops every entry that depends on the entity. Plans change rarely, so a scan finds theirs.
    pub fn invalidate(&mut self, kind: EntityKind, id: &str) {
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

    /// Records an outage. Returns whether it is a new one.
    pub fn begin_outage(&mut self) -> bool {
        self.invalidations += 1;
        let new = self.outage_since.is_none();
        self.outage_since.get_or_insert_with(Instant::now);
        new
    }

    pub fn advance_position(&mut self, position: Position) {
        if self.position.as_ref().is_none_or(|known| known.log != position.log || known.next < position.next)
        {
            self.position = Some(position);
        }
    }
}

impl Entry {
    pub fn new(key: ApiKey, validity: KeyValidity, plan_name: String, plan: &Plan) -> Self {
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
            validity,
            read_at: Instant::now(),
        }
    }

    /// Verifies the proof, then the key's validity at this moment.
    pub fn check(&self, proof: Proof<'_>) -> Result<Arc<Key>, AuthError> {
        if let Proof::Secret(secret) = proof
            && !token::matches(secret, &self.secret_hash)
        {
            // A client without the secret must not learn that the key exists or was revoked.
            return Err(AuthError::Unknown);
        }
        if self.validity.is_refused_at(service::clock::now_ms()) {
            Err(AuthError::Revoked)
        } else {
            Ok(self.key.clone())
        }
    }
}
