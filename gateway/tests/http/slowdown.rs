//! Who tries keys waits for the answers; who has one does not, wherever the others sit.

use crate::support::{Connection, GOOD, ask, post, server};
use service::slowdown::tries::FREE;

fn with_key(key: &str) -> Vec<u8> {
    let request = String::from_utf8(post("", GOOD)).expect("it is text");
    request.replacen("Bearer good", &format!("Bearer {key}"), 1).into_bytes()
}

#[tokio::test]
async fn valid_and_revoked_keys_are_answered_while_a_wrong_one_from_the_same_address_waits() {
    let server = server().await;
    for _ in 0..FREE {
        assert_eq!(ask(&server, with_key("wrong")).await.summary(), "401 invalid_key");
    }
    assert_eq!(server.slowdown.delayed(), 0, "a few mistakes cost nothing");

    // The debt makes each of these wait longer than the one before.
    let mut waiting = Vec::new();
    for _ in 0..2 * FREE {
        let mut connection = Connection::to(&server).await;
        connection.write(with_key("wrong")).await;
        waiting.push(tokio::spawn(async move { connection.read().await }));
    }
    // A machine that stood still has forgiven some meanwhile.
    while server.slowdown.delayed() < u64::from(FREE) {
        tokio::task::yield_now().await;
    }
    let last = waiting.pop().expect("it was pushed");
    for (key, answer) in
        [("good", "200 1"), ("revoked", "401 revoked_key"), ("reader", "403 insufficient_scope")]
    {
        assert_eq!(ask(&server, with_key(key)).await.summary(), answer);
        assert!(!last.is_finished(), "the wrong key was answered before the {key} one");
    }
    let answer = last.await.expect("it is answered in the end");
    assert_eq!(answer.summary(), "401 invalid_key");
}
