//! Commands on one entity are serialized, and a late command does nothing.

use crate::support::{Caller, Stack, shared, start_stack, text};
use control::commands::lock::Times;
use control::commands::{CommandError, Commands, ExpectedVersion};
use serde_json::json;
use std::time::Duration;

async fn connection(stack: &Stack) -> (String, Caller, String, Caller) {
    let (project, manager) = stack.project().await;
    let (status, created) = manager.post("/api/v1/connections", &json!({"name": "Cron"})).await;
    assert_eq!(status, 201, "{created}");
    let key = stack.client(&text(&created, "apiKey"));
    (project, manager, format!("/api/v1/connections/{}", text(&created, "connectionId")), key)
}

/// Waits until at most `most` of the keys are valid, and returns the valid ones.
async fn valid_keys(keys: &[Caller], most: usize) -> Vec<&Caller> {
    loop {
        let mut valid = Vec::new();
        for key in keys {
            if key.is_valid().await {
                valid.push(key);
            }
        }
        if valid.len() <= most {
            return valid;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_rotations_leave_exactly_one_valid_key() {
    let stack = shared();
    let (_, manager, path, first) = connection(stack).await;
    let (rotation, nothing) = (format!("{path}/rotate"), json!({}));
    let rotate = || manager.post(&rotation, &nothing);
    for _ in 0..3 {
        let (a, b, c) = tokio::join!(rotate(), rotate(), rotate());
        let mut keys = Vec::new();
        for (status, rotated) in [a, b, c] {
            assert_eq!(status, 200, "{rotated}");
            keys.push(stack.client(&text(&rotated, "apiKey")));
        }
        let left = valid_keys(&keys, 1).await;
        assert_eq!(left.len(), 1);
        let hint = text(&manager.ok(&path).await, "keyHint");
        let key = left[0].key.as_deref().expect("a key");
        assert!(key.ends_with(hint.trim_start_matches('…')), "the valid key is the current one");
    }
    first.await_revocation().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn later_of_concurrent_rotation_and_revocation_wins() {
    let stack = shared();
    let (_, manager, path, _) = connection(stack).await;
    for _ in 0..5 {
        let (rotate, revoke) = (format!("{path}/rotate"), format!("{path}/revoke"));
        let nothing = json!({});
        let (rotated, revoked) =
            tokio::join!(manager.post(&rotate, &nothing), manager.post(&revoke, &nothing));
        assert_eq!((rotated.0, revoked.0), (200, 204));
        let active = manager.ok(&path).await["state"] == "active";
        let key = [stack.client(&text(&rotated.1, "apiKey"))];
        assert_eq!(valid_keys(&key, usize::from(active)).await.len(), usize::from(active));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_changes_are_all_applied() {
    let stack = shared();
    let (_, manager, path, _) = connection(stack).await;
    let rename = |name: &'static str| {
        let (manager, path) = (&manager, &path);
        async move { manager.patch(path, &json!({"name": name})).await.0 }
    };
    let statuses = tokio::join!(rename("a"), rename("b"), rename("c"), rename("d"));
    assert_eq!(statuses, (200, 200, 200, 200));
    assert_eq!(manager.ok(&path).await["version"], 5);

    // Only one of several changes with the same expected version is made.
    let request = || manager.request(reqwest::Method::PATCH, &path).header("If-Match", "\"5\"");
    let change = |name: &'static str| crate::support::read(request().json(&json!({"name": name})));
    let (a, b) = tokio::join!(change("e"), change("f"));
    let mut statuses = [a.0, b.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    assert_eq!(manager.ok(&path).await["version"], 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn late_command_publishes_nothing_and_releases_its_lock() {
    let stack = start_stack().await;
    let (project, manager, path, key) = connection(&stack).await;
    let id = path.rsplit('/').next().expect("an id");
    let topics = proto::topics::Topics::new(&stack.namespace);
    let before = control::control_log::end_offset(&stack.brokers, &topics).await.expect("Kafka runs");
    let commands =
        Commands::new(&stack.brokers, &stack.namespace, stack.redis.clone()).expect("valid settings");
    let late = commands.with_lock_times(Times { publish_until: Duration::ZERO, ..Times::default() });
    let any = ExpectedVersion::Any;
    let renamed = late.rename_connection(&project, id, "late".to_owned(), &any).await;
    assert!(matches!(renamed, Err(CommandError::TooLate)), "{renamed:?}");
    assert!(matches!(late.rotate(&project, id, Duration::ZERO).await, Err(CommandError::TooLate)));
    assert!(matches!(late.revoke_connection(&project, id).await, Err(CommandError::TooLate)));
    assert!(matches!(late.remove_connection(&project, id).await, Err(CommandError::TooLate)));
    assert!(matches!(late.remove_project(&project).await, Err(CommandError::TooLate)));
    let after = control::control_log::end_offset(&stack.brokers, &topics).await.expect("Kafka runs");
    assert_eq!(before, after);
    assert!(key.is_valid().await);
    assert_eq!(manager.patch(&path, &json!({"name": "in time"})).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn command_waits_for_the_lock_or_reports_busy() {
    let stack = shared();
    let (project, manager, path, _) = connection(stack).await;
    let id = path.rsplit('/').next().expect("an id");
    let lock = format!("tidemark-{}:lock:{{{id}}}", stack.namespace);
    let mut redis = stack.redis.clone();
    redis::cmd("SET")
        .arg(&lock)
        .arg("somebody")
        .arg("PX")
        .arg(60_000)
        .query_async::<()>(&mut redis)
        .await
        .expect("Redis runs");
    let commands =
        Commands::new(&stack.brokers, &stack.namespace, stack.redis.clone()).expect("valid settings");
    let impatient = commands.with_lock_times(Times { wait: Duration::ZERO, ..Times::default() });
    let busy = impatient.revoke_connection(&project, id).await;
    assert!(matches!(busy, Err(CommandError::Busy)), "{busy:?}");
    let patch = json!({"name": "b"});
    let (renamed, ()) = tokio::join!(manager.patch(&path, &patch), async {
        let holder: String =
            redis::cmd("GET").arg(&lock).query_async(&mut stack.redis.clone()).await.expect("Redis runs");
        assert_eq!(holder, "somebody", "only the holder releases the lock");
        redis::cmd("DEL").arg(&lock).query_async::<()>(&mut stack.redis.clone()).await.expect("Redis runs");
    });
    assert_eq!(renamed.0, 200, "{}", renamed.1);
}
