//! Traces: one of a request goes from the client over the gateway and Kafka to the insert, and to a collector.
//!
//! What may never happen: a part of the way is missing or hangs in another trace, or anything is traced that was not asked
//! for.

use e2e::receiver::Receiver;
use e2e::{Installation, Result, client, wait};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use proto::Message as _;
use reqwest::StatusCode;
use serde_json::json;

/// A span, and the service that sent it.
struct Sent {
    service: String,
    span: Span,
}

impl Sent {
    fn attribute(&self, name: &str) -> String {
        let found = self.span.attributes.iter().find(|attribute| attribute.key == name);
        match found.and_then(|attribute| attribute.value.as_ref()?.value.clone()) {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            _ => String::new(),
        }
    }
}

/// All spans that a collector has.
fn spans(collector: &Receiver) -> Result<Vec<Sent>> {
    let mut spans = Vec::new();
    for request in collector.requests() {
        assert!(request.path.ends_with("/v1/traces"), "{}", request.path);
        assert_eq!(request.header("content-type"), "application/x-protobuf");
        for of_service in ExportTraceServiceRequest::decode(&*request.body)?.resource_spans {
            let attributes = of_service.resource.unwrap_or_default().attributes;
            let name = attributes.into_iter().find(|attribute| attribute.key == "service.name");
            let service = match name.and_then(|name| name.value?.value) {
                Some(Value::StringValue(name)) => name,
                _ => String::new(),
            };
            for span in of_service.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans.push(Sent { service: service.clone(), span });
            }
        }
    }
    Ok(spans)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_from_the_client_over_kafka_to_the_insert() -> Result<()> {
    let collector = Receiver::start().await?;
    let settings = [("OTLP_ENDPOINT", collector.url.as_str()), ("TRACE_RATIO", "1")];
    let installation = Installation::start_with("traces", 1, 1, &settings).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let body = json!({"projectId": project.project_id, "metrics": [{"metricId": "m", "value": 1}]});
    let request = reqwest::Client::new()
        .post(client.webhook(0))
        .bearer_auth(&project.api_key)
        .header("content-type", "application/json")
        .header("idempotency-key", "traced")
        .header("traceparent", format!("00-{trace}-{parent}-01"))
        .body(body.to_string());
    client::expect(request.send().await?, StatusCode::OK).await?;

    let [ingest, send, store] = wait::until("the whole way is traced", async || {
        let spans = spans(&collector)?;
        let find = |service: &str, name: &str| {
            let of_trace = spans.iter().filter(|sent| hex(&sent.span.trace_id) == trace);
            let mut found = of_trace.filter(|sent| sent.service == service && sent.span.name == name);
            found.next().map(|sent| Sent { service: sent.service.clone(), span: sent.span.clone() })
        };
        let send = format!("send {}", installation.topics().metrics);
        let way = [
            find("tidemark-gateway", "ingest"),
            find("tidemark-gateway", &send),
            find("tidemark-ingest-worker", "store"),
        ];
        let [Some(ingest), Some(send), Some(store)] = way else { return Ok(None) };
        Ok(Some([ingest, send, store]))
    })
    .await?;
    assert_eq!(hex(&ingest.span.parent_span_id), parent);
    assert_eq!(send.span.parent_span_id, ingest.span.span_id);
    assert_eq!(store.span.parent_span_id, send.span.span_id);
    assert_eq!(ingest.attribute("http.response.status_code"), "200");
    assert_eq!(ingest.attribute("tidemark.outcome"), "accepted");
    assert_eq!(store.attribute("tidemark.block.rows"), "1");
    let begun = [&ingest, &send, &store].map(|sent| sent.span.start_time_unix_nano);
    assert!(begun.is_sorted(), "{begun:?}");

    client.read("/api/v1/metrics/m", &project.manage_key).await?;
    wait::until("a read is traced", async || {
        let spans = spans(&collector)?;
        let read = spans.iter().find(|sent| sent.attribute("http.route") == "/api/v1/metrics/{metricId}");
        Ok(read.map(|sent| assert_eq!(sent.service, "tidemark-query-api")))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sampled_is_not_traced_whatever_the_client_says() -> Result<()> {
    let collector = Receiver::start().await?;
    let settings = [("OTLP_ENDPOINT", collector.url.as_str()), ("TRACE_RATIO", "0")];
    let mut installation = Installation::start_with("untraced", 1, 1, &settings).await?;
    let client = installation.client();
    let project = client.project("unlimited").await?;
    let body = json!({"projectId": project.project_id, "metrics": [{"metricId": "m", "value": 1}]});
    let request = reqwest::Client::new()
        .post(client.webhook(0))
        .bearer_auth(&project.api_key)
        .header("content-type", "application/json")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .body(body.to_string());
    client::expect(request.send().await?, StatusCode::OK).await?;
    wait::until("the point is stored", async || {
        let answer = client.get("/api/v1/metrics/m", &project.manage_key).await?;
        Ok((answer.status() == StatusCode::OK).then_some(()))
    })
    .await?;
    // Whatever they have to send, they send before they end.
    installation.gateways[0].terminate().await?;
    installation.workers[0].terminate().await?;
    installation.query.terminate().await?;
    assert_eq!(spans(&collector)?.len(), 0);
    Ok(())
}
