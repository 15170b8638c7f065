//! Runs the program against a scripted server and checks its requests, output and exit code.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

const KEY: &str = "tm_0123456789abcdef_of-the-project";
const OPERATOR: &str = "the-operators-own-token";

/// A received request.
#[derive(Debug)]
struct Request {
    line: String,
    headers: Vec<String>,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().filter_map(|line| line.split_once(": "));
        found.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Answers requests in order with these responses (status and body), and returns the requests through a
/// channel.
fn serve(responses: Vec<(u16, String)>) -> (String, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("local address"));
    let (sender, requests) = channel();
    thread::spawn(move || {
        for (status, body) in responses {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).expect("a head");
                match line.trim_end() {
                    "" => break,
                    text => lines.push(text.to_owned()),
                }
            }
            let mut request = Request { line: lines.remove(0), headers: lines, body: String::new() };
            let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
            reader.take(length).read_to_string(&mut request.body).expect("a body");
            let head = format!(
                "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\nlocation: /elsewhere\r\n\
                 content-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            // Fails if the client has disconnected. The client then reports the error itself.
            let _ = stream.write_all((head + &body).as_bytes());
            let _ = sender.send(request);
        }
    });
    (url, requests)
}

fn run(url: &str, arguments: &[&str]) -> Output {
    run_with(url, arguments, &[("TIDEMARK_TOKEN", KEY), ("OPERATOR_TOKEN", OPERATOR)])
}

fn run_with(url: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_tidemarkctl"))
        .args(arguments)
        .env_remove("TIDEMARK_TOKEN")
        .env_remove("OPERATOR_TOKEN")
        .env("QUERY_URL", url)
        .env("NO_PROXY", "127.0.0.1")
        .envs(environment.iter().copied())
        .output()
        .expect("the program starts");
    for text in [stdout(&output), stderr(&output)] {
        assert!(!text.contains(KEY) && !text.contains(OPERATOR), "a token was printed: {text}");
    }
    output
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn ok(body: &Value) -> (u16, String) {
    (200, body.to_string())
}

#[test]
fn commands_send_one_request_with_the_right_token() {
    let no_body = Value::Null;
    let cases: &[(&[&str], &str, Value, &str)] = &[
        (
            &["project", "create", "My Shop", "--plan", "pro"],
            "POST /projects",
            json!({"name": "My Shop", "plan": "pro"}),
            OPERATOR,
        ),
        (&["project", "show", "prj_1"], "GET /projects/prj_1", no_body.clone(), OPERATOR),
        (
            &["project", "set-plan", "prj_1", "free"],
            "PATCH /projects/prj_1",
            json!({"plan": "free"}),
            OPERATOR,
        ),
        (&["project", "rename", "prj_1", "New"], "PATCH /projects/prj_1", json!({"name": "New"}), OPERATOR),
        (
            &["plan", "set", "team", "--requests-per-hour", "none", "--alerts"],
            "PUT /plans/team",
            json!({"requestsPerHour": null, "alerts": true}),
            OPERATOR,
        ),
        (
            &["plan", "set", "team", "--requests-per-hour", "5"],
            "PUT /plans/team",
            json!({"requestsPerHour": 5, "alerts": false}),
            OPERATOR,
        ),
        (&["connection", "create", "Cron"], "POST /connections", json!({"name": "Cron"}), KEY),
        (&["connection", "show", "con_1"], "GET /connections/con_1", no_body.clone(), KEY),
        (&["connection", "rename", "con_1", "New"], "PATCH /connections/con_1", json!({"name": "New"}), KEY),
        (
            &["connection", "rotate", "con_1"],
            "POST /connections/con_1/rotate",
            json!({"graceSeconds": 0}),
            KEY,
        ),
        (
            &["connection", "rotate", "con_1", "--grace", "10m"],
            "POST /connections/con_1/rotate",
            json!({"graceSeconds": 600}),
            KEY,
        ),
        (
            &["key", "create", "Reports", "--scope", "read", "--scope", "ingest"],
            "POST /keys",
            json!({"name": "Reports", "scopes": ["read", "ingest"]}),
            KEY,
        ),
    ];
    for (arguments, call, body, token) in cases {
        let (url, requests) = serve(vec![ok(&json!({"name": "as it is"}))]);
        let output = run(&url, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        let request = requests.recv().expect("a request");
        let (method, path) = call.split_once(' ').expect("a method and a path");
        assert_eq!(request.line, format!("{method} /api/v1{path} HTTP/1.1"), "{arguments:?}");
        assert_eq!(request.header("authorization"), Some(&*format!("Bearer {token}")), "{arguments:?}");
        let sent = if request.body.is_empty() { Value::Null } else { request.body.parse().expect("JSON") };
        assert_eq!(&sent, body, "{arguments:?}");
    }
}

#[test]
fn commands_without_a_response_body_print_a_message() {
    for (arguments, call, message) in [
        (&["connection", "revoke", "con_1"][..], "POST /api/v1/connections/con_1/revoke", "con_1 is revoked"),
        (&["connection", "delete", "con_1", "--yes"], "DELETE /api/v1/connections/con_1", "con_1 is deleted"),
        (&["key", "delete", "abc"], "DELETE /api/v1/keys/abc", "abc is deleted"),
        (&["project", "delete", "prj_1", "--yes"], "DELETE /api/v1/projects/prj_1", "prj_1 is deleted"),
    ] {
        let (url, requests) = serve(vec![(204, String::new()), (204, String::new())]);
        let output = run(&url, arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(requests.recv().expect("a request").line, format!("{call} HTTP/1.1"));
        assert!(stdout(&output).contains(message), "{}", stdout(&output));
        let output = run(&url, &[arguments, &["--json"]].concat());
        assert!(output.status.success() && stdout(&output).is_empty(), "{}", stdout(&output));
    }
}

#[test]
fn list_requests_all_pages() {
    let page = |name: &str, next: Value| ok(&json!({"items": [{"connectionId": name}], "nextCursor": next}));
    let pages = || vec![page("con_a", json!("a+b&c")), page("con_b", Value::Null)];
    let (url, requests) = serve([pages(), pages()].concat());
    let output = run(&url, &["connection", "list"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let listed: Vec<String> = stdout(&output).lines().map(|line| line[..10].trim().to_owned()).collect();
    assert_eq!(listed, ["CONNECTION", "con_a", "con_b"]);
    assert_eq!(requests.recv().expect("a request").line, "GET /api/v1/connections?limit=1000 HTTP/1.1");
    let second = requests.recv().expect("a second request").line;
    assert_eq!(second, "GET /api/v1/connections?limit=1000&cursor=a%2Bb%26c HTTP/1.1");

    let output = run(&url, &["connection", "list", "--json"]);
    let all: Value = stdout(&output).parse().expect("one document");
    let expected =
        json!({"items": [{"connectionId": "con_a"}, {"connectionId": "con_b"}], "nextCursor": null});
    assert_eq!(all, expected);
}

#[test]
fn json_option_prints_the_response_unchanged() {
    let body = "{\"name\" :  \"Unchanged\",\"new\":1.50}";
    let (url, _requests) = serve(vec![(200, body.to_owned())]);
    let output = run(&url, &["project", "show", "prj_1", "--json"]);
    assert_eq!(stdout(&output), format!("{body}\n"));
}

#[test]
fn usage_prints_quota_outcomes_connections_and_notices() {
    let response = json!({
        "quota": {"limit": 100, "used": 7, "resetAt": 1_790_002_800_000_i64},
        "items": [{"timestamp": 1_790_000_000_000_i64, "connectionId": "con_1", "outcome": "accepted", "requests": 7, "metrics": 70}],
        "connections": [{"connectionId": "con_1", "name": "Cron", "lastUsedAt": 1_790_000_000_000_i64, "addresses": ["192.0.2.1", "192.0.2.2"]}],
        "notices": [{"kind": "new_address", "at": 1_790_000_000_000_i64, "connectionId": "con_1", "message": "Seen from a new address.", "evidence": {}}],
    });
    let (url, requests) = serve(vec![ok(&response)]);
    let output = run(&url, &["usage", "--since", "2h", "--interval", "minute"]);
    let printed = stdout(&output);
    for part in ["100", "accepted", "192.0.2.1, 192.0.2.2", "Seen from a new address."] {
        assert!(printed.contains(part), "{part} is missing in: {printed}");
    }
    let line = requests.recv().expect("a request").line;
    let number = |name: &str| -> i64 {
        let rest = line.split_once(name).expect("the parameter is in the request").1;
        rest.split(['&', ' ']).next().and_then(|digits| digits.parse().ok()).expect("a number")
    };
    assert_eq!(number("endDate=") - number("startDate="), 2 * 3600 * 1000);
    assert!(line.contains("interval=minute"), "{line}");
}

#[test]
fn rejection_is_printed_with_request_id_and_advice() {
    let rejection = |code: &str, more: Value| {
        let mut body = json!({"error": code, "message": "The request was rejected.", "requestId": "req-1"});
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        body.to_string()
    };
    let two = json!({"details": [{"field": "name", "message": "must not be empty"}, {"field": "plan", "message": "is unknown"}]});
    for (status, body, advice) in [
        (401, rejection("revoked_key", json!({})), "TIDEMARK_TOKEN"),
        (403, rejection("insufficient_scope", json!({})), "scope `manage`"),
        (404, rejection("not_found", json!({})), "`list` prints"),
        (503, rejection("unavailable", json!({"retryAfter": 3})), "try again in 3 s"),
        (400, rejection("invalid_parameter", two), "name: must not be empty\n       plan: is unknown"),
    ] {
        let (url, _requests) = serve(vec![(status, body)]);
        let output = run(&url, &["connection", "show", "con_1"]);
        let printed = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{printed}");
        assert!(stdout(&output).is_empty());
        for part in ["The request was rejected.", "req-1", advice] {
            assert!(printed.contains(part), "{part} is missing in: {printed}");
        }
    }
}

#[test]
fn responses_of_other_servers_are_reported_as_such() {
    let html = "<html>A proxy's page</html>".to_owned();
    for (status, body) in [(200, html.clone()), (502, html), (200, "[]".to_owned()), (302, String::new())] {
        let (url, _requests) = serve(vec![(status, body)]);
        let output = run(&url, &["connection", "list"]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains("is not one of Tidemark's API"), "{status}: {}", stderr(&output));
    }
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let output = run(&format!("http://{closed}"), &["connection", "list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("QUERY_URL"), "{}", stderr(&output));
}

#[test]
fn wrong_usage_sends_nothing() {
    let nobody = "http://127.0.0.1:9";
    let tokens = [("TIDEMARK_TOKEN", KEY), ("OPERATOR_TOKEN", OPERATOR)];
    let no_tokens = [];
    for (arguments, environment, message) in [
        (&["connection", "list"][..], &no_tokens[..], "TIDEMARK_TOKEN"),
        (&["project", "create", "Shop", "--plan", "pro"], &no_tokens, "OPERATOR_TOKEN"),
        (&["project", "delete", "prj_1"], &tokens, "--yes"),
        (&["connection", "delete", "con_1"], &tokens, "--yes"),
        (&["connection", "rotate", "con_1", "--grace", "soon"], &tokens, "10m"),
        (&["connection", "show", "../keys"], &tokens, "letters"),
        (&["key", "create", "Reports"], &tokens, "--scope"),
        (&["plan", "set", "free", "--requests-per-hour", "many"], &tokens, "none"),
        (&["connection", "list", "--url", "localhost"], &tokens, "http://"),
        (&["usage", "--since", "100years"], &tokens, "1970"),
    ] {
        let output = run_with(nobody, arguments, environment);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn help_recommends_the_environment_and_shows_no_token() {
    let output = run("http://127.0.0.1:9", &["--help"]);
    assert!(output.status.success());
    let help = stdout(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("list of processes") && help.contains("set TIDEMARK_TOKEN"), "{help}");
}
