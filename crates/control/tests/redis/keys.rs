//! Revocation, expiry and removal take effect in the key cache.

use crate::installation::Installation;
use control::keys::AuthError;
use proto::control::EntityKind;
use proto::v1::{Connection, Entity, Expiry, Removal, Revocation, entity::Kind};
use redis_access::testing::until;

impl Installation {
    async fn is_valid(&self) -> bool {
        self.keys.authenticate(&self.token).await.is_ok()
    }

    async fn wait_until_revoked(&self) {
        until("the key is revoked", async || {
            let revoked = self.keys.authenticate(&self.token).await == Err(AuthError::Revoked);
            revoked.then_some(())
        })
        .await;
    }

    fn expiry(&self, expires_at_ms: i64) -> Kind {
        Kind::Expiry(Expiry { key_id: self.key_id.clone(), expires_at_ms })
    }
}

/// Returns an installation whose key is already cached.
async fn with_cached_key() -> Installation {
    let installation = Installation::new().await;
    until("the key is valid", async || installation.is_valid().await.then_some(())).await;
    installation
}

#[tokio::test]
async fn revoked_key_is_rejected_although_it_was_cached() {
    let mut installation = with_cached_key().await;
    let revoked = Revocation { key_id: installation.key_id.clone(), revoked_at_ms: service::clock::now_ms() };
    installation.apply(Kind::Revocation(revoked)).await;
    installation.wait_until_revoked().await;
}

#[tokio::test]
async fn replaced_key_is_rejected_from_its_expiry_without_another_event() {
    let mut installation = with_cached_key().await;
    let tomorrow = service::clock::now_ms() + 86_400_000;
    installation.apply(installation.expiry(tomorrow)).await;
    assert!(installation.is_valid().await);
    installation.apply(installation.expiry(service::clock::now_ms() + 300)).await;
    installation.wait_until_revoked().await;
}

#[tokio::test]
async fn removal_rejects_the_keys_of_its_project_only() {
    let mut installation = with_cached_key().await;
    for other in ["prj_b", "con_a"] {
        let removal =
            Removal { removed_id: other.to_owned(), project_id: "prj_b".to_owned(), removed_at_ms: 1 };
        installation.apply(Kind::Removal(removal)).await;
    }
    assert!(installation.is_valid().await);
    let project = "prj_a".to_owned();
    installation
        .apply(Kind::Removal(Removal { removed_id: project.clone(), project_id: project, removed_at_ms: 1 }))
        .await;
    installation.wait_until_revoked().await;
}

#[tokio::test]
async fn revalidation_fails_for_expired_and_unknown_keys() {
    let mut installation = with_cached_key().await;
    assert_eq!(installation.keys.revalidate("nobody").await, Err(AuthError::Unknown));
    assert!(installation.keys.revalidate(&installation.key_id).await.is_ok());
    installation.apply(installation.expiry(service::clock::now_ms())).await;
    until("revalidation fails", async || {
        (installation.keys.revalidate(&installation.key_id).await == Err(AuthError::Revoked)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn older_event_does_not_overwrite_a_newer_one() {
    let mut installation = with_cached_key().await;
    let named = |name: &str| {
        let connection =
            Connection { connection_id: "con_a".to_owned(), name: name.to_owned(), ..Connection::default() };
        Entity { kind: Some(Kind::Connection(connection)) }
    };
    assert!(installation.apply_at(9, named("new")).await);
    for late in [8, 9] {
        assert!(!installation.apply_at(late, named("old")).await);
    }
    let entities = [(EntityKind::Connection, "con_a")];
    let ([found], _) = installation
        .projection
        .read(&mut installation.redis.clone(), entities, None)
        .await
        .expect("Redis runs");
    assert_eq!(found, named("new").kind);
}
