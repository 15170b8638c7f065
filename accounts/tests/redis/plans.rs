//! What a key says of its project's plan, and how soon.

use crate::{connection, namespace, until, url};
use accounts::control_log::Event;
use accounts::keys::{KeyCache, KeyCacheSettings};
use accounts::projection::Projection;
use accounts::token::Token;
use proto::Message;
use proto::control::EntityKey;
use proto::v1::{ApiKey, Entity, Plan, ProjectPlan, Scope, entity::Kind};
use redis::aio::MultiplexedConnection;
use tokio_util::sync::{CancellationToken, DropGuard};

const LOG: &str = "log";

/// An installation with one project and one key, and a cache of its keys.
struct World {
    redis: MultiplexedConnection,
    projection: Projection,
    next: i64,
    token: String,
    keys: KeyCache,
    _stop: DropGuard,
}

impl World {
    async fn new() -> Self {
        let namespace = namespace();
        let mut redis = connection().await;
        let projection = Projection::new(&namespace);
        projection.begin(&mut redis, LOG).await.expect("Redis runs");
        let filled = projection.advance(&mut redis, LOG, 0, 0, true).await;
        assert!(filled.expect("Redis runs"));
        let stop = CancellationToken::new();
        let keys = KeyCache::start(&url(), &namespace, KeyCacheSettings::default(), stop.clone());
        let keys = keys.expect("it is an address");
        let token = Token::generate();
        let key = ApiKey {
            key_id: token.key_id().to_owned(),
            project_id: "prj_a".to_owned(),
            scopes: vec![Scope::Ingest.into()],
            secret_hash: token.hash().to_vec(),
            ..ApiKey::default()
        };
        let mut world =
            Self { redis, projection, next: 0, token: token.reveal(), keys, _stop: stop.drop_guard() };
        world.apply(Kind::ApiKey(key)).await;
        world
    }

    async fn apply(&mut self, kind: Kind) {
        let entity = Entity { kind: Some(kind) };
        let event =
            Event { offset: self.next, key: EntityKey::of(&entity), value: Some(entity.encode_to_vec()) };
        assert!(self.projection.apply(&mut self.redis, LOG, &event).await.expect("Redis runs"));
        self.next += 1;
    }

    async fn choose(&mut self, plan: &str) {
        let choice = ProjectPlan { project_id: "prj_a".to_owned(), plan: plan.to_owned() };
        self.apply(Kind::ProjectPlan(choice)).await;
    }

    async fn define(&mut self, plan: &str, requests_per_hour: Option<u64>) {
        self.apply(Kind::Plan(Plan { name: plan.to_owned(), requests_per_hour, alerts: true })).await;
    }

    async fn limit_becomes(&self, limit: Option<u64>) {
        until(&format!("the limit is {limit:?}"), async || {
            let key = self.keys.authenticate(&self.token).await.ok()?;
            (key.requests_per_hour == limit).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_project_has_the_limit_of_the_plan_that_it_chose_last() {
    let mut world = World::new().await;
    for (plan, limit) in
        [("free", Some(100)), ("pro", Some(1_000)), ("scale", Some(10_000)), ("unlimited", None)]
    {
        world.choose(plan).await;
        world.limit_becomes(limit).await;
    }
}

#[tokio::test]
async fn plans_are_data() {
    let mut world = World::new().await;
    world.choose("pro").await;
    world.limit_becomes(Some(1_000)).await;
    for limit in [Some(7), None, Some(8)] {
        world.define("pro", limit).await;
        world.limit_becomes(limit).await;
    }
    world.choose("wholesale").await;
    world.limit_becomes(Some(100)).await;
    world.define("wholesale", Some(9)).await;
    world.limit_becomes(Some(9)).await;
}

#[tokio::test]
async fn a_project_without_a_plan_is_on_the_free_one() {
    let mut world = World::new().await;
    world.limit_becomes(Some(100)).await;
    world.define("free", Some(11)).await;
    world.limit_becomes(Some(11)).await;
}
