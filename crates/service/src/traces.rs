//! OpenTelemetry traces of requests and records across all services.
//!
//! Tracing is off unless a collector's endpoint is set. A request that is not sampled costs only the
//! extraction of its trace id. The trace context travels in the W3C header `traceparent`: a client may send
//! one with its request, the gateway puts one into the Kafka record, and the worker that stores the record
//! continues that trace.
//!
//! The services that clients call sample by trace id alone, so all of them decide alike. The sampled flag in
//! a client's header is ignored, because the client does not bear the cost. The worker follows the decision
//! of the gateway.

use crate::connections::{self, TlsError, TrustedRoots};
use crate::faults::Faults;
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{HeaderMap, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use rustls::RootCertStore;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Name of the header of requests and records that carries the trace context.
pub const TRACEPARENT: &str = "traceparent";

/// Timeout of one request to the collector, and of the last export at shutdown.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum length of a collector's response in bytes.
const MAX_RESPONSE: usize = 1 << 20;

/// Settings of the trace export.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TraceSettings {
    /// OTLP/HTTP endpoint of the OpenTelemetry collector that receives traces, such as
    /// `http://collector:4318`. Tracing is off if it is empty.
    #[arg(long, env = "OTLP_ENDPOINT", default_value = "", hide_default_value = true, value_name = "URL")]
    pub otlp_endpoint: String,
    /// Share of requests to trace, from 0 to 1.
    #[arg(long, env = "TRACE_RATIO", default_value = "0.01", value_name = "NUMBER")]
    pub trace_ratio: String,
}

impl TraceSettings {
    /// Validates the settings without connecting to anything.
    pub fn check(&self, faults: &mut Faults) {
        let is_address = ["http://", "https://"].iter().any(|scheme| self.otlp_endpoint.starts_with(scheme));
        faults.check(
            self.otlp_endpoint.is_empty() || is_address,
            "--otlp-endpoint",
            "must begin with `http://` or `https://`",
        );
        faults.check(self.ratio().is_some(), "--trace-ratio", "must be a number from 0 to 1");
    }

    fn ratio(&self) -> Option<f64> {
        // `Default` leaves the text empty; the command line never does.
        if self.trace_ratio.is_empty() {
            return Some(0.0);
        }
        self.trace_ratio.trim().parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
    }
}

/// Selection of the traces to sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// This service samples by the ratio in the settings.
    ByRatio,
    /// This service samples what its caller sampled.
    FollowCaller,
}

/// Failure to set up the trace export.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// TLS to the collector cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The exporter cannot be created.
    #[error("the trace exporter cannot be created: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Creates spans and exports them; does nothing if tracing is off. Clones share the exporter.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Inner>>);

struct Inner {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
}

impl Traces {
    /// Starts exporting the spans of `service`. Must be called within the tokio runtime that sends them.
    pub fn start(
        service: &'static str,
        settings: &TraceSettings,
        roots: &TrustedRoots,
        sampling: Sampling,
    ) -> Result<Self, TraceError> {
        if settings.otlp_endpoint.is_empty() {
            return Ok(Self::default());
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(CollectorClient::new(&settings.otlp_endpoint, roots)?)
            .with_endpoint(format!("{}/v1/traces", settings.otlp_endpoint.trim_end_matches('/')))
            .with_timeout(TIMEOUT)
            .build()?;
        let sampler = match sampling {
            Sampling::ByRatio => Sampler::TraceIdRatioBased(settings.ratio().unwrap_or_default()),
            Sampling::FollowCaller => Sampler::ParentBased(Box::new(Sampler::AlwaysOff)),
        };
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_resource(Resource::builder().with_service_name(service).with_attribute(version).build())
            .with_sampler(sampler)
            .with_batch_exporter(exporter)
            .build();
        let tracer = provider.tracer("tidemark");
        tracing::info!(endpoint = settings.otlp_endpoint, "exporting traces");
        Ok(Self(Some(Arc::new(Inner { provider, tracer, propagator: TraceContextPropagator::new() }))))
    }

    /// Exports the remaining spans. Blocks for up to 5 s.
    pub fn stop(&self) {
        if let Some(inner) = &self.0
            && let Err(error) = inner.provider.shutdown_with_timeout(TIMEOUT)
        {
            tracing::warn!(%error, "trace export failed at shutdown; the last traces are lost");
        }
    }

    /// Starts the span of a request, if the request is sampled.
    pub fn request(&self, name: impl Into<Cow<'static, str>>, headers: &HeaderMap) -> Option<ActiveSpan> {
        let inner = self.0.as_ref()?;
        let parent = inner.propagator.extract_with_context(&Context::new(), &HeaderExtractor(headers));
        inner.start_span(SpanBuilder::from_name(name).with_kind(SpanKind::Server), &parent)
    }

    /// Parses the trace context in a record's header. Returns it if tracing is on and the record was sampled.
    pub fn record_context(&self, traceparent: &[u8]) -> Option<SpanContext> {
        let inner = self.0.as_ref()?;
        let header = HashMap::from([(TRACEPARENT.to_owned(), String::from_utf8(traceparent.to_vec()).ok()?)]);
        let context = inner.propagator.extract_with_context(&Context::new(), &header);
        Some(context.span().span_context().clone())
            .filter(|context| context.is_valid() && context.is_sampled())
    }

    /// Records a span in the trace of a record. The span started at `started` and ends now.
    pub fn record(
        &self,
        name: &'static str,
        record: &SpanContext,
        started: Instant,
        attributes: Vec<KeyValue>,
        error: Option<String>,
    ) {
        let Some(inner) = &self.0 else { return };
        let parent = Context::new().with_remote_span_context(record.clone());
        let started_at = SystemTime::now().checked_sub(started.elapsed()).unwrap_or_else(SystemTime::now);
        let span = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Consumer)
            .with_start_time(started_at)
            .with_attributes(attributes);
        let mut span = inner.tracer.build_with_context(span, &parent);
        if let Some(error) = error {
            span.set_status(Status::error(error));
        }
        span.end();
    }
}

impl Inner {
    fn start_span(self: &Arc<Self>, span: SpanBuilder, parent: &Context) -> Option<ActiveSpan> {
        let span = self.tracer.build_with_context(span, parent);
        // A span that is not sampled is not even propagated.
        span.is_recording().then(|| ActiveSpan { inner: self.clone(), context: parent.with_span(span) })
    }
}

/// A sampled span in progress. Dropping it ends the span.
pub struct ActiveSpan {
    inner: Arc<Inner>,
    context: Context,
}

impl ActiveSpan {
    /// Starts a child span for sending a record to `topic`.
    pub fn send(&self, topic: &str) -> Option<Self> {
        let span =
            SpanBuilder::from_name(format!("send {topic}")).with_kind(SpanKind::Producer).with_attributes([
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.operation.type", "send"),
                KeyValue::new("messaging.destination.name", topic.to_owned()),
            ]);
        self.inner.start_span(span, &self.context)
    }

    /// Returns the value of the `traceparent` header that makes this span the parent.
    pub fn traceparent(&self) -> Option<String> {
        let mut headers = HashMap::new();
        self.inner.propagator.inject_context(&self.context, &mut headers);
        headers.remove(TRACEPARENT)
    }

    /// Sets the result of a request: route, status and outcome (left out if empty).
    pub fn answered(&self, route: &str, status: StatusCode, outcome: &'static str) {
        let span = self.context.span();
        span.set_attribute(KeyValue::new("http.route", route.to_owned()));
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        if !outcome.is_empty() {
            span.set_attribute(KeyValue::new("tidemark.outcome", outcome));
        }
        if status.is_server_error() {
            span.set_status(Status::error(outcome));
        }
    }

    /// Marks the span as failed.
    pub fn failed(&self, error: String) {
        self.context.span().set_status(Status::error(error));
    }
}

/// HTTP client of the collector.
#[derive(Debug, Clone)]
struct CollectorClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// The exporter calls from a thread of its own, outside any runtime.
    runtime: tokio::runtime::Handle,
}

impl CollectorClient {
    fn new(endpoint: &str, trusted: &TrustedRoots) -> Result<Self, TlsError> {
        let roots = match endpoint.starts_with("https://") {
            true => trusted.store()?,
            false => RootCertStore::empty(),
        };
        let connector = connections::https(HttpConnector::new(), roots)?;
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, runtime: tokio::runtime::Handle::current() })
    }
}

#[async_trait]
impl HttpClient for CollectorClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let send = async move {
            let response = client.request(request.map(Full::new)).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_RESPONSE).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        };
        // The timer needs the runtime, too.
        let exported = self.runtime.spawn(async move {
            let result = tokio::time::timeout(TIMEOUT, send).await.map_err(HttpError::from).flatten();
            match &result {
                Ok(response) if !response.status().is_success() => {
                    tracing::warn!(
                        status = response.status().as_u16(),
                        "trace export failed: rejected by the collector"
                    );
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "trace export failed"),
            }
            result
        });
        exported.await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_traced_without_an_endpoint() {
        let traces =
            Traces::start("test", &TraceSettings::default(), &TrustedRoots::default(), Sampling::ByRatio)
                .expect("tracing that is off cannot fail");
        assert!(traces.request("r", &HeaderMap::new()).is_none());
        assert!(traces.record_context(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").is_none());
        traces.stop();
    }

    #[test]
    fn endpoint_and_ratio_are_validated() {
        let faults = |endpoint: &str, ratio: &str| {
            let mut faults = Faults::default();
            let settings =
                TraceSettings { otlp_endpoint: endpoint.to_owned(), trace_ratio: ratio.to_owned() };
            settings.check(&mut faults);
            faults.count()
        };
        assert_eq!(faults("", "0.01") + faults("http://c:4318", "1") + faults("https://c", "0"), 0);
        assert_eq!(
            [faults("c:4318", "0"), faults("", "2"), faults("", "x"), faults("c", "-1")],
            [1, 1, 1, 2]
        );
    }
}
