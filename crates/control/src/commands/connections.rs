//! Commands on connections and their keys.

use super::rotation::{self, Replaced};
use super::{CommandError, Commands, Expected, lock::Lock, new_key, removal, revocation};
use crate::token::{self, Token};
use proto::v1::{Connection, Scope, entity::Kind};
use service::clock::now_ms;
use std::time::Duration;

/// A key was replaced.
#[derive(Debug)]
pub struct Rotated {
    /// The new key.
    pub token: Token,
    /// From when on the key is refused that was the current one, Unix milliseconds.
    pub previous_ends_at_ms: i64,
}

impl Commands {
    /// Creates a connection of `project_id` with its key, which may ingest. The key comes last: whoever holds one finds
    /// what it was made for.
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
        let done = self.carry_out(&mut lock, events).await;
        lock.end(done).await?;
        Ok((connection, token))
    }

    /// Gives a connection another name.
    pub async fn rename_connection(
        &self,
        project_id: &str,
        connection_id: &str,
        name: String,
        expected: &Expected,
    ) -> Result<(), CommandError> {
        let mut lock = self.lock(connection_id).await?;
        let done = match self.connection(project_id, connection_id).await {
            Ok(connection) => match expected.check(connection.version) {
                Ok(()) => {
                    let renamed = next_version(Connection { name, ..connection });
                    self.carry_out(&mut lock, [Kind::Connection(renamed)]).await
                }
                refused => refused,
            },
            Err(error) => Err(error),
        };
        lock.end(done).await
    }

    /// Gives a connection a new key, also one whose keys were revoked. The keys that it had are refused after `grace`,
    /// or earlier where that was said before; all at once if it is zero.
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

    /// The new key, then the connection that names it and still lists the old ones, then their ends. In between, a key
    /// that nobody holds is good, or the old keys are good for longer; they are listed, so the next rotation or
    /// revocation ends them.
    async fn rotate_locked(
        &self,
        lock: &mut Lock,
        project_id: &str,
        connection_id: &str,
        grace: Duration,
    ) -> Result<Rotated, CommandError> {
        let connection = self.connection(project_id, connection_id).await?;
        let replaced = self.keys_of(&connection).await?;
        let (key, token) = new_key(project_id, &connection.name, vec![Scope::Ingest], connection_id);
        let plan = rotation::plan(&replaced, now_ms(), grace).ok_or(CommandError::TooManyKeys)?;
        let rotated = next_version(Connection {
            key_id: key.key_id.clone(),
            replaced_key_ids: plan.still_good,
            ..connection
        });
        let events = [Kind::ApiKey(key), Kind::Connection(rotated)].into_iter().chain(plan.ends);
        self.carry_out(lock, events).await?;
        Ok(Rotated { token, previous_ends_at_ms: plan.current_ends_at_ms })
    }

    /// Revokes all keys of a connection; those that are in their grace too.
    pub async fn revoke_connection(&self, project_id: &str, connection_id: &str) -> Result<(), CommandError> {
        let mut lock = self.lock(connection_id).await?;
        let done = self.revoke_locked(&mut lock, project_id, connection_id).await;
        lock.end(done).await
    }

    /// The revocations, then the connection, which lists no other keys any more. What is revoked already is left alone.
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
            .filter(|key| key.ends.revoked_at_ms.is_none())
            .map(|key| revocation(&key.key_id, now))
            .collect();
        if revocations.is_empty() {
            return Ok(());
        }
        let revoked = next_version(Connection { replaced_key_ids: Vec::new(), ..connection });
        self.carry_out(lock, revocations.into_iter().chain([Kind::Connection(revoked)])).await
    }

    /// Revokes all keys of a connection and removes it, in this order: a connection that is gone has no keys.
    pub async fn remove_connection(&self, project_id: &str, connection_id: &str) -> Result<(), CommandError> {
        let mut lock = self.lock(connection_id).await?;
        let done = match self.revoke_locked(&mut lock, project_id, connection_id).await {
            Ok(()) => self.carry_out(&mut lock, [removal(connection_id, project_id)]).await,
            Err(error) => Err(error),
        };
        lock.end(done).await
    }

    async fn connection(&self, project_id: &str, connection_id: &str) -> Result<Connection, CommandError> {
        let view = self.directory.connection(project_id, connection_id).await?;
        Ok(view.ok_or(CommandError::NotFound)?.connection)
    }

    /// Every key of the connection that may be good, the current one last.
    async fn keys_of(&self, connection: &Connection) -> Result<Vec<Replaced>, CommandError> {
        let ids = connection.replaced_key_ids.iter().chain([&connection.key_id]);
        let ids: Vec<&str> = ids.map(String::as_str).collect();
        let ends = self.directory.ends(&ids).await?;
        let keys = ids.into_iter().zip(ends);
        Ok(keys.map(|(id, ends)| Replaced { key_id: id.to_owned(), ends }).collect())
    }
}

fn next_version(connection: Connection) -> Connection {
    Connection { version: connection.version + 1, updated_at_ms: now_ms(), ..connection }
}
