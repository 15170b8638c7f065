use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

fn client(allowed: &str) -> Client {
    Client::new(Allowed::parse(allowed).expect("networks")).expect("a client")
}

fn target(text: &str) -> Target {
    Target::parse(text).expect("a target")
}

/// Starts a receiver that answers each connection with the next of `answers`. Returns its port, and the requests that it
/// received.
async fn receiver(answers: Vec<String>) -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serve = async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = String::new();
            let mut buffer = [0; 4096];
            while !request.ends_with("{}") {
                let length = stream.read(&mut buffer).await.expect("a request");
                request += std::str::from_utf8(&buffer[..length]).expect("text");
            }
            stream.write_all(answer.as_bytes()).await.expect("an answer");
            requests.push(request);
        }
        requests
    };
    (port, tokio::spawn(serve))
}

fn answer(status: &str, header: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{header}content-length: 2\r\nconnection: close\r\n\r\nok")
}

async fn post(client: &Client, url: &str) -> Outcome {
    client.post(&target(url), &HeaderMap::new(), Bytes::from_static(b"{}")).await
}

fn status(outcome: Outcome) -> u16 {
    match outcome {
        Outcome::Answered(status, _) => status.as_u16(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn post_arrives_with_headers_and_body() {
    let (port, requests) = receiver(vec![answer("204 No Content", "")]).await;
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", HeaderValue::from_static("a-1"));
    let url = target(&format!("http://127.0.0.1:{port}/in?token=x"));
    let outcome = client("127.0.0.0/8").post(&url, &headers, Bytes::from_static(b"{}")).await;
    assert_eq!(status(outcome), 204);
    let requests = requests.await.expect("requests");
    let request = requests[0].to_ascii_lowercase();
    assert!(request.starts_with("post /in?token=x http/1.1\r\n"), "{request}");
    for line in [
        &format!("host: 127.0.0.1:{port}\r\n"),
        "content-type: application/json\r\n",
        "webhook-id: a-1\r\n",
        "content-length: 2\r\n",
    ] {
        assert!(request.contains(line), "{line} is missing in {request}");
    }
}

#[tokio::test]
async fn private_address_is_refused_in_every_notation() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let client = client("");
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0"] {
        assert_eq!(post(&client, &format!("http://{host}:{port}/")).await, Outcome::Refused, "{host}");
    }
    let called = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(called.is_err(), "no connection was made");
    assert!(client.refuses(&target("http://127.0.0.1/")) && !client.refuses(&target("http://localhost/")));
}

#[tokio::test]
async fn redirect_to_a_private_address_is_refused() {
    let to = |location: &str| answer("307 Temporary Redirect", &format!("location: {location}\r\n"));
    for location in ["http://10.0.0.1/", "http://[fd00::1]/", "http://169.254.169.254/latest/meta-data"] {
        let (port, _) = receiver(vec![to(location)]).await;
        let outcome = post(&client("127.0.0.1"), &format!("http://127.0.0.1:{port}/")).await;
        assert_eq!(outcome, Outcome::Refused, "{location}");
    }
}

#[tokio::test]
async fn redirects_that_keep_the_method_are_followed_three_times() {
    let (end, requests) = receiver(vec![answer("200 OK", "")]).await;
    let location = format!("location: http://127.0.0.1:{end}/there\r\n");
    let (begin, _) = receiver(vec![answer("308 Permanent Redirect", &location)]).await;
    assert_eq!(status(post(&client("127.0.0.1"), &format!("http://127.0.0.1:{begin}/")).await), 200);
    assert!(requests.await.expect("requests")[0].starts_with("POST /there "));

    let (port, _) = receiver(vec![answer("302 Found", "location: /there\r\n")]).await;
    assert_eq!(post(&client("127.0.0.1"), &format!("http://127.0.0.1:{port}/")).await, Outcome::BadRedirect);
    let round = answer("307 Temporary Redirect", "location: /round\r\n");
    let (port, requests) = receiver(vec![round; 4]).await;
    assert_eq!(post(&client("127.0.0.1"), &format!("http://127.0.0.1:{port}/")).await, Outcome::BadRedirect);
    assert_eq!(requests.await.expect("requests").len(), 4);
}

#[tokio::test]
async fn requested_delay_is_returned() {
    let (port, _) = receiver(vec![answer("429 Too Many Requests", "retry-after: 3\r\n")]).await;
    let outcome = post(&client("127.0.0.1"), &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(outcome, Outcome::Answered(StatusCode::TOO_MANY_REQUESTS, Some(Duration::from_secs(3))));
}

#[tokio::test]
async fn unreachable_or_non_http_receiver_is_a_broken_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let client = client("127.0.0.1");
    assert!(matches!(post(&client, &format!("http://127.0.0.1:{port}/")).await, Outcome::Broken(_)));
    let (port, _) = receiver(vec!["what?\r\n".to_owned()]).await;
    assert!(matches!(post(&client, &format!("http://127.0.0.1:{port}/")).await, Outcome::Broken(_)));
}
