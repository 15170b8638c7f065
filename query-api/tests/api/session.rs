//! Sessions of browsers.

use crate::support::{Caller, OPERATOR, read, refused, send, serve, settings, shared, text, until};
use control::token::Token;
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

const SESSION: &str = "/api/v1/session";

fn anonymous() -> Caller {
    Caller { url: shared().url.clone(), key: None }
}

/// Signs in; returns the answer and the `Set-Cookie` header.
async fn sign_in(key: &str) -> (Value, String) {
    let response = send(anonymous().request(Method::POST, SESSION).json(&json!({"key": key}))).await;
    assert_eq!(response.status(), 200);
    let cookie = response.headers().get(SET_COOKIE).expect("a cookie").to_str().expect("text").to_owned();
    (response.json().await.expect("JSON"), cookie)
}

/// Returns a request with the cookie.
fn with(cookie: &str, method: Method, path: &str) -> RequestBuilder {
    let pair = cookie.split(';').next().expect("a value");
    anonymous().request(method, path).header(COOKIE, pair)
}

#[tokio::test(flavor = "multi_thread")]
async fn session_has_the_rights_of_its_key_and_ends_with_it() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    let (_, created) = manager.post("/api/v1/keys", &json!({"name": "me", "scopes": ["manage"]})).await;
    let (session, cookie) = sign_in(&text(&created, "key")).await;
    let expected = json!({"projectId": project, "name": "Test", "plan": "pro", "scopes": ["read", "manage"]});
    assert_eq!(session, expected);
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=604800"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure") && !cookie.contains(&text(&created, "key")));
    assert_eq!(read(with(&cookie, Method::GET, SESSION)).await, (200, expected.clone()));
    assert_eq!(manager.ok(SESSION).await, expected);
    assert_eq!(read(with(&cookie, Method::GET, "/api/v1/metrics")).await.0, 200);
    let post = with(&cookie, Method::POST, "/api/v1/connections").json(&json!({"name": "Cron"}));
    assert_eq!(read(post).await.0, 201);
    // The header takes precedence over the cookie.
    let both = with(&cookie, Method::GET, SESSION).bearer_auth("nonsense");
    refused(read(both).await, 401, "invalid_key");

    assert_eq!(manager.delete(&format!("/api/v1/keys/{}", text(&created, "keyId"))).await.0, 204);
    until("the session is over", || async { read(with(&cookie, Method::GET, SESSION)).await.0 != 200 }).await;
    refused(read(with(&cookie, Method::GET, SESSION)).await, 401, "revoked_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_requires_the_read_scope() {
    let stack = shared();
    let (_, manager) = stack.project().await;
    let (_, connection) = manager.post("/api/v1/connections", &json!({"name": "Cron"})).await;
    let sign_in = |key: Value| async move { anonymous().post(SESSION, &json!({"key": key})).await };
    refused(sign_in(connection["apiKey"].clone()).await, 403, "insufficient_scope");
    refused(sign_in(json!(OPERATOR)).await, 403, "insufficient_scope");
    refused(sign_in(json!(Token::generate().reveal())).await, 401, "invalid_key");
    refused(sign_in(json!("")).await, 401, "invalid_key");
    refused(sign_in(Value::Null).await, 400, "invalid_parameter");
    refused(sign_in(json!(5)).await, 400, "invalid_parameter");
    refused(anonymous().get(SESSION).await, 401, "missing_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_cookie_is_refused() {
    let (_, manager) = shared().project().await;
    let (_, cookie) = sign_in(manager.key.as_deref().expect("a key")).await;
    let sealed = cookie.split(';').next().expect("a value");
    let (key_id, rest) = sealed.split_once('.').expect("an id");
    let longer = rest.replacen('1', "2", 1);
    for forged in [
        format!("{key_id}.{longer}"),
        format!("{key_id}x.{rest}"),
        "tidemark_session=".to_owned(),
        "tidemark_session=a.b.c".to_owned(),
    ] {
        if forged != sealed {
            let answer = refused(read(with(&forged, Method::GET, SESSION)).await, 401, "invalid_key");
            assert!(text(&answer, "message").contains("sign in again"), "{forged}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_from_other_sites_are_refused() {
    let (_, manager) = shared().project().await;
    let (_, cookie) = sign_in(manager.key.as_deref().expect("a key")).await;
    let post = |site: &str| {
        let post = with(&cookie, Method::POST, "/api/v1/connections").header("Sec-Fetch-Site", site);
        read(post.json(&json!({"name": "Cron"})))
    };
    for site in ["cross-site", "same-site"] {
        refused(post(site).await, 401, "missing_key");
        let sign_in = anonymous().request(Method::POST, SESSION).header("Sec-Fetch-Site", site);
        let sign_in = sign_in.json(&json!({"key": manager.key.as_deref()}));
        refused(read(sign_in).await, 401, "missing_key");
    }
    assert_eq!(post("same-origin").await.0, 201);
    assert_eq!(manager.ok("/api/v1/connections").await["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_session_is_refused_by_every_replica() {
    let stack = shared();
    let (_, manager) = stack.project().await;
    let key = manager.key.as_deref().expect("a key");
    let (other, _) = serve(&settings(&stack.namespace)).await;
    let elsewhere = Caller { url: other, key: None };
    let (_, cookie) = sign_in(key).await;
    // The seal covers key and expiry only, so two sessions of the same millisecond are the same session.
    let mut second = sign_in(key).await.1;
    while second == cookie {
        second = sign_in(key).await.1;
    }
    let at = |replica: &Caller, cookie: &str| {
        let pair = cookie.split(';').next().expect("a value").to_owned();
        replica.request(Method::GET, SESSION).header(COOKIE, pair)
    };
    until("the other replica is ready", || async { send(at(&elsewhere, &cookie)).await.status() == 200 })
        .await;
    let foreign = with(&cookie, Method::DELETE, SESSION).header("Sec-Fetch-Site", "cross-site");
    assert_eq!(read(foreign).await.0, 204);
    assert_eq!(read(at(&anonymous(), &cookie)).await.0, 200, "another site cannot end a session");

    assert_eq!(read(with(&cookie, Method::DELETE, SESSION)).await.0, 204);
    for replica in [anonymous(), elsewhere] {
        let answer = refused(read(at(&replica, &cookie)).await, 401, "invalid_key");
        assert!(text(&answer, "message").contains("has ended"), "{answer}");
        assert_eq!(read(at(&replica, &second)).await.0, 200);
    }
    assert_eq!(
        read(with(&cookie, Method::DELETE, SESSION)).await.0,
        204,
        "ending a session twice is not an error"
    );
    // Redis contains a hash of the cookie, not the cookie.
    let value = second.split(['=', ';']).nth(1).expect("a value").to_owned();
    assert_eq!(read(with(&second, Method::DELETE, SESSION)).await.0, 204);
    let names: Vec<String> = redis::cmd("KEYS")
        .arg(format!("tidemark-{}:session-ended:*", stack.namespace))
        .query_async(&mut stack.redis.clone())
        .await
        .expect("Redis answers");
    let (key_id, _) = value.split_once('.').expect("an id");
    assert!(names.len() >= 2 && names.iter().all(|name| !name.contains(key_id)), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_clears_cookie_and_https_makes_it_secure() {
    let (_, manager) = shared().project().await;
    let response = send(anonymous().request(Method::DELETE, SESSION)).await;
    assert_eq!(response.status(), 204);
    let line = response.headers().get(SET_COOKIE).expect("a cookie").to_str().expect("text").to_owned();
    assert!(line.starts_with("tidemark_session=;") && line.contains("Max-Age=0"), "{line}");
    let sign_in = anonymous().request(Method::POST, SESSION).header("X-Forwarded-Proto", "https");
    let response = send(sign_in.json(&json!({"key": manager.key.as_deref()}))).await;
    let line = response.headers().get(SET_COOKIE).expect("a cookie").to_str().expect("text").to_owned();
    assert!(line.ends_with("; Secure"), "{line}");
}
