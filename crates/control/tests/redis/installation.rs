//! An installation in Redis with its own namespace, and a key cache.

use control::control_log::Event;
use control::keys::{KeyCache, KeyCacheSettings};
use control::projection::Projection;
use control::token::Token;
use proto::Message;
use proto::control::EntityKey;
use proto::v1::{ApiKey, Entity, Scope, entity::Kind};
use redis::aio::MultiplexedConnection;
use redis_access::testing::{connection, namespace, url};
use service::connections::RedisEndpoint;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Id of the log that is applied.
pub const LOG: &str = "log";

/// An installation with one project and one key, and a key cache.
pub struct Installation {
    pub redis: MultiplexedConnection,
    pub projection: Projection,
    next: i64,
    pub key_id: String,
    pub token: String,
    pub keys: KeyCache,
    _stop: DropGuard,
}

impl Installation {
    pub async fn new() -> Self {
        let namespace = namespace();
        let mut redis = connection().await;
        let projection = Projection::new(&namespace);
        projection.reset(&mut redis, LOG).await.expect("Redis runs");
        let filled = projection.advance(&mut redis, LOG, 0, 0, true).await;
        assert!(filled.expect("Redis runs"));
        let stop = CancellationToken::new();
        let keys = KeyCache::start(
            &RedisEndpoint::new(&url()),
            &namespace,
            KeyCacheSettings::default(),
            stop.clone(),
        );
        let keys = keys.expect("a valid address");
        let token = Token::generate();
        let key = ApiKey {
            key_id: token.key_id().to_owned(),
            project_id: "prj_a".to_owned(),
            scopes: vec![Scope::Ingest.into()],
            secret_hash: token.hash().to_vec(),
            ..ApiKey::default()
        };
        let (key_id, token) = (token.key_id().to_owned(), token.reveal());
        let mut installation =
            Self { redis, projection, next: 0, key_id, token, keys, _stop: stop.drop_guard() };
        installation.apply(Kind::ApiKey(key)).await;
        installation
    }

    pub async fn apply(&mut self, kind: Kind) {
        let entity = Entity { kind: Some(kind) };
        assert!(self.apply_at(self.next, entity).await, "the event is newer than the applied one");
        self.next += 1;
    }

    /// Applies an event with this offset. Returns whether it was newer.
    pub async fn apply_at(&mut self, offset: i64, entity: Entity) -> bool {
        let event = Event { offset, key: EntityKey::of(&entity), value: Some(entity.encode_to_vec()) };
        self.projection.apply(&mut self.redis, LOG, &event).await.expect("Redis runs")
    }
}
