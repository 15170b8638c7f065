//! Traces: the trace of a request covers gateway, Kafka and insert, and is exported to a collector.
//!
//! Invariants: no span is missing or part of another trace; nothing is traced that was not sampled.

use crate::support::wait_for_metric;
use e2e::{Client, Installation, Project, Receiver, Result, client, wait};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use proto::Message as _;
use reqwest::StatusCode;
use serde_json::json;

/// A span and the service that exported it.
#[derive(Clone)]
struct ServiceSpan {
    service: String,
    span: Span,
}

impl ServiceSpan {
    fn attribute(&self, name: &str) -> String {
        let found = self.span.attributes.iter().find(|attribute| attribute.key == name);
        match found.and_then(|attribute| attribute.value.as_ref()?.value.clone()) {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            _ => String::new(),
        }
    }
}

/// Returns all spans that the collector has received.
fn spans(collector: &Receiver) -> Result<Vec<ServiceSpan>> {
    let mut spans = Vec::new();
    for request in collector.requests() {
        assert!(request.path.ends_with("/v1/traces"), "{}", request.path);
        assert_eq!(request.header("content-type"), "application/x-protobuf");
        for resource_spans in ExportTraceServiceRequest::decode(&*request.body)?.resource_spans {
            let attributes = resource_spans.resource.unwrap_or_default().attributes;
            let name = attributes.into_iter().find(|attribute| attribute.key == "service.name");
            let service = match name.and_then(|name| name.value?.value) {
                Some(Value::StringValue(name)) => name,
                _ => String::new(),
            };
            for span in resource_spans.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans.push(ServiceSpan { service: service.clone(), span });
            }
        }
    }
    Ok(spans)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sends a batch with a `traceparent` and an idempotency key; it must be accepted.
async fn send(client: &Client, project: &Project, traceparent: &str) -> Result<()> {
    let body = json!({"projectId": project.project_id, "metrics": [{"metricId": "m", "value": 1}]});
    let request = reqwest::Client::new()
        .post(client.webhook(0))
        .bearer_auth(&project.api_key)
        .header("content-type", "application/json")
        .header("idempotency-key", "traced")
        .header("traceparent", traceparent)
        .body(body.to_string());
    client::expect(request.send().await?, StatusCode::OK).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn trace_covers_gateway_kafka_and_insert() -> Result<()> {
    let collector = Receiver::start().await?;
    let settings = [("OTLP_ENDPOINT", collector.url.as_str()), ("TRACE_RATIO", "1")];
    let installation = Installation::start_with("traces", 1, 1, &settings).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    send(&client, &project, &format!("00-{trace}-{parent}-01")).await?;
    wait_for_metric(&client, &project, "m").await?;

    // The services export their spans periodically: all are awaited together.
    let send_name = format!("send {}", installation.topics().metrics);
    let [ingest, send, store, read] = wait::until("the spans of all services are exported", async || {
        let spans = spans(&collector)?;
        let find = |service: &str, name: &str| {
            let mut of_trace = spans.iter().filter(|it| hex(&it.span.trace_id) == trace);
            of_trace.find(|it| it.service == service && it.span.name == name).cloned()
        };
        let found = [
            find("tidemark-gateway", "ingest"),
            find("tidemark-gateway", &send_name),
            find("tidemark-ingest-worker", "store"),
            spans.iter().find(|it| it.attribute("http.route") == "/api/v1/metrics/{metricId}").cloned(),
        ];
        let [Some(ingest), Some(send), Some(store), Some(read)] = found else { return Ok(None) };
        Ok(Some([ingest, send, store, read]))
    })
    .await?;
    assert_eq!(hex(&ingest.span.parent_span_id), parent);
    assert_eq!(send.span.parent_span_id, ingest.span.span_id);
    assert_eq!(store.span.parent_span_id, send.span.span_id);
    assert_eq!(ingest.attribute("http.response.status_code"), "200");
    assert_eq!(ingest.attribute("tidemark.outcome"), "accepted");
    assert_eq!(store.attribute("tidemark.block.rows"), "1");
    let starts = [&ingest, &send, &store].map(|it| it.span.start_time_unix_nano);
    assert!(starts.is_sorted(), "{starts:?}");
    assert_eq!(read.service, "tidemark-query-api");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unsampled_requests_are_not_traced() -> Result<()> {
    let collector = Receiver::start().await?;
    let settings = [("OTLP_ENDPOINT", collector.url.as_str()), ("TRACE_RATIO", "0")];
    let mut installation = Installation::start_with("untraced", 1, 1, &settings).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    // The client's sampled flag is ignored.
    send(&client, &project, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").await?;
    wait_for_metric(&client, &project, "m").await?;
    // The services export their remaining spans when they shut down.
    installation.gateways[0].terminate().await?;
    installation.workers[0].terminate().await?;
    installation.query.terminate().await?;
    assert_eq!(spans(&collector)?.len(), 0);
    Ok(())
}
