//! Commands on connections and their keys.

use super::entities::{new_key, removal, revocation};
use super::error::CommandError;
use super::executor::Commands;
use super::expected_version::ExpectedVersion;
use super::lock::Lock;
use super::rotation::{self, ConnectionKey};
use crate::token::{self, Token};
use proto::v1::{Connection, Scope, entity::Kind};
use service::clock::now_ms;
use std::time::Duration;

/// Result of a key rotation.
#[derive(Debug)]
pub struct Rotated {
    /// Token of the new key.
    pub token: Token,
    /// Time from which the previous key is refused, Unix milliseconds.
    pub previous_expires_at_ms: i64,
}

impl Commands {
    /// Creates a connection of the project with a key that has the scope `ingest`. The key is published last, so a
    /// key never exists without its connection.
    pub async fn create_connection(
        &self,
        project_id: &str,
        name: &str,
    ) -> Result<(Connection, Token), CommandError> {
        let now = now_ms();
        let connection_id = token::id("con");
        let (key, token) = new_key(project_id, name, vec![Scope::Ingest], &connection_id);
        let connection = Connection {
            connection_id,
            project_id: project_id.to_owned(),
            name: name.to_owned(),
            created_at_ms: now,
            updated_at_ms: now,
            version: 1,
            key_id: key.key_id.clone(),
            replaced_key_ids: Vec::new(),
        };
        let mut lock = self.lock(&connection.connection_id).await?;
        let events = [Kind::Connection(connection.clone()), Kind::ApiKey(key)];
        let done = self.publish_and_apply(&mut lock, events).await;
        lock.end(done).await?;
        Ok((connection, token))
    }

    /// Renames a connection.
    pub async fn rename_connection(
        &self,
        project_id: &str,
        connection_id: &str,
        name: String,
        expected: &ExpectedVersion,
    ) -> Result<(), CommandError> {
        let mut lock = self.lock(connection_id).await?;
        let done = match self.connection(project_id, connection_id).await {
            Ok(connection) => match expected.check(connection.version) {
                Ok(()) => {
                    let renamed = next_version(Connection { name, ..connection });
                    self.publish_and_apply(&mut lock, [Kind::Connection(renamed)]).await
                }
                mismatch => mismatch,
            },
            Err(error) => Err(error),
        };
        lock.end(done).await
    }

    /// Gives a connection a new key, even if its keys were revoked. Its older keys are refused after `grace`, or
    /// earlier if an earlier rotation decided so. A grace period of zero revokes them at once.
    pub async fn rotate(
        &self,
        project_id: &str,
        connection_id: &str,
        grace: Duration,
    ) -> Result<Rotated, CommandError> {
        let mut lock = self.lock(connection_id).await?;
        let done = self.rotate_locked(&mut lock, project_id, connection_id, grace).await;
        lock.end(done).await
    }

    /// Publishes the new key, then the connection that names it and still lists the old ones, then the revocations or
    /// expiries of the old ones. A crash in between leaves a valid key whose token nobody received, or old keys that
    /// stay valid for longer. The connection lists these old keys, so the next rotation or revocation ends them.
    async fn rotate_locked(
        &self,
        lock: &mut Lock,
        project_id: &str,
        connection_id: &str,
        grace: Duration,
    ) -> Result<Rotated, CommandError> {
        let connection = self.connection(project_id, connection_id).await?;
        let keys = self.keys_of(&connection).await?;
        let (key, token) = new_key(project_id, &connection.name, vec![Scope::Ingest], connection_id);
        let plan = rotation::plan(&keys, now_ms(), grace).ok_or(CommandError::TooManyKeys)?;
        let rotated = next_version(Connection {
            key_id: key.key_id.clone(),
            replaced_key_ids: plan.valid_key_ids,
            ..connection
        });
        let events = [Kind::ApiKey(key), Kind::Connection(rotated)].into_iter().chain(plan.events);
        self.publish_and_apply(lock, events).await?;
        Ok(Rotated { token, previous_expires_at_ms: plan.current_expires_at_ms })
    }

    /// Revokes all keys of a connection, including those in their grace period.
    pub async fn revoke_connection(&self, project_id: &str, connection_id: &str) -> Result<(), CommandError> {
        let mut lock = self.lock(connection_id).await?;
        let done = self.revoke_locked(&mut lock, project_id, connection_id).await;
        lock.end(done).await
    }

    /// Publishes the revocations, then the connection without its list of replaced keys. Skips keys that are already
    /// revoked.
    async fn revoke_locked(
        &self,
        lock: &mut Lock,
        project_id: &str,
        connection_id: &str,
    ) -> Result<(), CommandError> {
        let connection = self.connection(project_id, connection_id).await?;
        let now = now_ms();
        let keys = self.keys_of(&connection).await?;
        let revocations: Vec<Kind> = keys
            .iter()
            .filter(|key| key.validity.revoked_at_ms.is_none())
            .map(|key| revocation(&key.key_id, now))
            .collect();
        if revocations.is_empty() {
            return Ok(());
        }
        let revoked = next_version(Connection { replaced_key_ids: Vec::new(), ..connection });
        self.publish_and_apply(lock, revocations.into_iter().chain([Kind::Connection(revoked)])).await
    }

    /// Revokes all keys of a connection, then removes it, so a removed connection never has valid keys.
    pub async fn remove_connection(&self, project_id: &str, connection_id: &str) -> Result<(), CommandError> {
        let mut lock = self.lock(connection_id).await?;
        let done = match self.revoke_locked(&mut lock, project_id, connection_id).await {
            Ok(()) => self.publish_and_apply(&mut lock, [removal(connection_id, project_id)]).await,
            Err(error) => Err(error),
        };
        lock.end(done).await
    }

    async fn connection(&self, project_id: &str, connection_id: &str) -> Result<Connection, CommandError> {
        let view = self.directory.connection(project_id, connection_id).await?;
        Ok(view.ok_or(CommandError::NotFound)?.connection)
    }

    /// Returns every key of the connection that may be valid, the current one last.
    async fn keys_of(&self, connection: &Connection) -> Result<Vec<ConnectionKey>, CommandError> {
        let ids = connection.replaced_key_ids.iter().chain([&connection.key_id]);
        let ids: Vec<&str> = ids.map(String::as_str).collect();
        let validity = self.directory.key_validity(&ids).await?;
        let keys = ids.into_iter().zip(validity);
        Ok(keys.map(|(id, validity)| ConnectionKey { key_id: id.to_owned(), validity }).collect())
    }
}

fn next_version(connection: Connection) -> Connection {
    Connection { version: connection.version + 1, updated_at_ms: now_ms(), ..connection }
}
