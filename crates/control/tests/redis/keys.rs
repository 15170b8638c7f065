//! What ends a key, and how soon that is known.

use crate::world::World;
use control::keys::AuthError;
use proto::control::EntityKind;
use proto::v1::{Connection, Entity, Expiry, Removal, Revocation, entity::Kind};
use redis_access::testing::until;

impl World {
    async fn is_good(&self) -> bool {
        self.keys.authenticate(&self.token).await.is_ok()
    }

    async fn is_refused(&self) {
        until("the key is refused", async || {
            let refused = self.keys.authenticate(&self.token).await == Err(AuthError::Revoked);
            refused.then_some(())
        })
        .await;
    }

    fn expiry(&self, expires_at_ms: i64) -> Kind {
        Kind::Expiry(Expiry { key_id: self.key_id.clone(), expires_at_ms })
    }
}

/// A world whose key was used: it is known from memory.
async fn world() -> World {
    let world = World::new().await;
    until("the key is good", async || world.is_good().await.then_some(())).await;
    world
}

#[tokio::test]
async fn a_revoked_key_is_refused_although_it_was_good_before() {
    let mut world = world().await;
    let revoked = Revocation { key_id: world.key_id.clone(), revoked_at_ms: service::clock::now_ms() };
    world.apply(Kind::Revocation(revoked)).await;
    world.is_refused().await;
}

#[tokio::test]
async fn a_replaced_key_is_refused_from_its_moment_on_without_another_event() {
    let mut world = world().await;
    let day = service::clock::now_ms() + 86_400_000;
    world.apply(world.expiry(day)).await;
    assert!(world.is_good().await);
    world.apply(world.expiry(service::clock::now_ms() + 300)).await;
    world.is_refused().await;
}

#[tokio::test]
async fn the_keys_of_a_removed_project_are_refused_and_others_are_not() {
    let mut world = world().await;
    for other in ["prj_b", "con_a"] {
        let removal =
            Removal { removed_id: other.to_owned(), project_id: "prj_b".to_owned(), removed_at_ms: 1 };
        world.apply(Kind::Removal(removal)).await;
    }
    assert!(world.is_good().await);
    let project = "prj_a".to_owned();
    world
        .apply(Kind::Removal(Removal { removed_id: project.clone(), project_id: project, removed_at_ms: 1 }))
        .await;
    world.is_refused().await;
}

#[tokio::test]
async fn a_session_ends_with_its_key_and_an_unknown_one_never_begins() {
    let mut world = world().await;
    assert_eq!(world.keys.still_good("nobody").await, Err(AuthError::Unknown));
    assert!(world.keys.still_good(&world.key_id).await.is_ok());
    world.apply(world.expiry(service::clock::now_ms())).await;
    until("the session is refused", async || {
        (world.keys.still_good(&world.key_id).await == Err(AuthError::Revoked)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_old_event_never_beats_a_new_one() {
    let mut world = world().await;
    let named = |name: &str| {
        let connection =
            Connection { connection_id: "con_a".to_owned(), name: name.to_owned(), ..Connection::default() };
        Entity { kind: Some(Kind::Connection(connection)) }
    };
    assert!(world.apply_at(9, named("new")).await);
    for late in [8, 9] {
        assert!(!world.apply_at(late, named("old")).await);
    }
    let wanted = [(EntityKind::Connection, "con_a")];
    let ([found], _) =
        world.projection.read(&mut world.redis.clone(), wanted, None).await.expect("Redis runs");
    assert_eq!(found, named("new").kind);
}
