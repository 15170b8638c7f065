//! Clients that guess keys get delayed answers. Clients with a valid or revoked key never do, even from the
//! same address.

use crate::support::{Connection, VALID_BATCH, ask, post, server};
use service::auth_throttle::FREE_ATTEMPTS;

fn with_key(key: &str) -> Vec<u8> {
    let request = String::from_utf8(post("", VALID_BATCH)).expect("valid UTF-8");
    request.replacen("Bearer good", &format!("Bearer {key}"), 1).into_bytes()
}

#[tokio::test]
async fn only_answers_to_unknown_keys_are_delayed() {
    let server = server().await;
    for _ in 0..FREE_ATTEMPTS {
        assert_eq!(ask(&server, with_key("wrong")).await.summary(), "401 invalid_key");
    }
    assert_eq!(server.auth_throttle.delayed(), 0, "a few wrong keys are not delayed");

    // Each of these waits longer than the one before.
    let mut waiting = Vec::new();
    for _ in 0..2 * FREE_ATTEMPTS {
        let mut connection = Connection::to(&server).await;
        connection.write(with_key("wrong")).await;
        waiting.push(tokio::spawn(async move { connection.read().await }));
    }
    // Not all of them are delayed on a machine that was paused: past tries are forgiven with time.
    while server.auth_throttle.delayed() < u64::from(FREE_ATTEMPTS) {
        tokio::task::yield_now().await;
    }
    let last = waiting.pop().expect("not empty");
    for (key, answer) in
        [("good", "200 1"), ("revoked", "401 revoked_key"), ("reader", "403 insufficient_scope")]
    {
        assert_eq!(ask(&server, with_key(key)).await.summary(), answer);
        assert!(!last.is_finished(), "the unknown key was answered before the {key} key");
    }
    let answer = last.await.expect("an answer");
    assert_eq!(answer.summary(), "401 invalid_key");
}
