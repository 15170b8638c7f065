//! Traces, in OpenTelemetry's terms: where the time of a request goes, over all services that it goes through.
//!
//! They are off unless an address is set that they go to, and then cost what is sampled: a request that is not is asked
//! for its trace's id, and no more. The context travels in the W3C header `traceparent`: a client may send one with its
//! request, a gateway sends one with the record, and whoever stores the record goes on with that trace.
//!
//! Which requests are sampled is decided by the trace's id alone, alike in every service that clients reach: what a client
//! asks for does not count, for it pays nothing. A worker goes on with what was sampled before it.

use crate::connections::{self, NoTls};
use crate::settings::Faults;
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

/// The header of requests and records.
pub const TRACEPARENT: &str = "traceparent";

/// How long the collector may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// No answer of a collector is longer.
const LONGEST_ANSWER: usize = 1 << 20;

/// Where traces go, and which.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TraceSettings {
    /// Where traces go: an OpenTelemetry collector over HTTP, such as `http://collector:4318`. Without it there are none.
    #[arg(long, env = "OTLP_ENDPOINT", default_value = "", hide_default_value = true, value_name = "URL")]
    pub otlp_endpoint: String,
    /// Which part of all requests is traced, 0 to 1.
    #[arg(long, env = "TRACE_RATIO", default_value = "0.01", value_name = "NUMBER")]
    pub trace_ratio: String,
}

impl TraceSettings {
    /// Checks what can be checked without reaching anything.
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
        // What was made without a command line has none.
        if self.trace_ratio.is_empty() {
            return Some(0.0);
        }
        self.trace_ratio.trim().parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
    }
}

/// Who decides what is traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// This service, by the ratio.
    Here,
    /// The service before it.
    Before,
}

/// Why there can be no traces.
#[derive(Debug, thiserror::Error)]
pub enum NoTraces {
    /// TLS cannot be spoken.
    #[error(transparent)]
    NoTls(#[from] NoTls),
    /// The exporter was not made.
    #[error("traces cannot be sent: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Makes traces, or none. Clones share where they go.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Inner>>);

struct Inner {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
}

impl Traces {
    /// Sends the spans of `service` where the settings say; must be called within the runtime that sends them.
    pub fn start(
        service: &'static str,
        settings: &TraceSettings,
        decided: Decided,
    ) -> Result<Self, NoTraces> {
        if settings.otlp_endpoint.is_empty() {
            return Ok(Self::default());
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender::new(&settings.otlp_endpoint)?)
            .with_endpoint(format!("{}/v1/traces", settings.otlp_endpoint.trim_end_matches('/')))
            .with_timeout(TIMEOUT)
            .build()?;
        let sampler = match decided {
            Decided::Here => Sampler::TraceIdRatioBased(settings.ratio().unwrap_or_default()),
            Decided::Before => Sampler::ParentBased(Box::new(Sampler::AlwaysOff)),
        };
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_resource(Resource::builder().with_service_name(service).with_attribute(version).build())
            .with_sampler(sampler)
            .with_batch_exporter(exporter)
            .build();
        let tracer = provider.tracer("tidemark");
        tracing::info!(endpoint = settings.otlp_endpoint, "traces are sent");
        Ok(Self(Some(Arc::new(Inner { provider, tracer, propagator: TraceContextPropagator::new() }))))
    }

    /// Sends what is left. Blocks for a few seconds at most.
    pub fn stop(&self) {
        if let Some(inner) = &self.0
            && let Err(error) = inner.provider.shutdown_with_timeout(TIMEOUT)
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }

    /// Begins the span of a request, if it is traced.
    pub fn request(&self, name: impl Into<Cow<'static, str>>, headers: &HeaderMap) -> Option<Trace> {
        let inner = self.0.as_ref()?;
        let parent = inner.propagator.extract_with_context(&Context::new(), &HeaderExtractor(headers));
        inner.begin(SpanBuilder::from_name(name).with_kind(SpanKind::Server), &parent)
    }

    /// What a record's header says, if the record is traced here and before.
    pub fn of_record(&self, traceparent: &[u8]) -> Option<SpanContext> {
        let inner = self.0.as_ref()?;
        let header = HashMap::from([(TRACEPARENT.to_owned(), String::from_utf8(traceparent.to_vec()).ok()?)]);
        let context = inner.propagator.extract_with_context(&Context::new(), &header);
        Some(context.span().span_context().clone())
            .filter(|context| context.is_valid() && context.is_sampled())
    }

    /// Notes a span of a record's trace that began at `begun` and ends now.
    pub fn record(
        &self,
        name: &'static str,
        record: &SpanContext,
        begun: Instant,
        attributes: Vec<KeyValue>,
        error: Option<String>,
    ) {
        let Some(inner) = &self.0 else { return };
        let parent = Context::new().with_remote_span_context(record.clone());
        let begun_at = SystemTime::now().checked_sub(begun.elapsed()).unwrap_or_else(SystemTime::now);
        let span = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Consumer)
            .with_start_time(begun_at)
            .with_attributes(attributes);
        let mut span = inner.tracer.build_with_context(span, &parent);
        if let Some(error) = error {
            span.set_status(Status::error(error));
        }
        span.end();
    }
}

impl Inner {
    fn begin(self: &Arc<Self>, span: SpanBuilder, parent: &Context) -> Option<Trace> {
        let span = self.tracer.build_with_context(span, parent);
        // What is not sampled leaves no trace at all.
        span.is_recording().then(|| Trace { inner: self.clone(), context: parent.with_span(span) })
    }
}

/// A span under way. One that is dropped ends.
pub struct Trace {
    inner: Arc<Inner>,
    context: Context,
}

impl Trace {
    /// Begins the span of a record that is sent to `topic`.
    pub fn send(&self, topic: &str) -> Option<Self> {
        let span =
            SpanBuilder::from_name(format!("send {topic}")).with_kind(SpanKind::Producer).with_attributes([
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.operation.type", "send"),
                KeyValue::new("messaging.destination.name", topic.to_owned()),
            ]);
        self.inner.begin(span, &self.context)
    }

    /// The header that carries it on.
    pub fn traceparent(&self) -> Option<String> {
        let mut headers = HashMap::new();
        self.inner.propagator.inject_context(&self.context, &mut headers);
        headers.remove(TRACEPARENT)
    }

    /// Notes how a request was answered.
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

    /// Notes why it failed.
    pub fn failed(&self, error: String) {
        self.context.span().set_status(Status::error(error));
    }
}

/// Posts to the collector.
#[derive(Debug, Clone)]
struct Sender {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// The exporter has a thread of its own, which is in no runtime.
    runtime: tokio::runtime::Handle,
}

impl Sender {
    fn new(endpoint: &str) -> Result<Self, NoTls> {
        let roots = match endpoint.starts_with("https://") {
            true => connections::current().roots()?,
            false => RootCertStore::empty(),
        };
        let connector = connections::https(HttpConnector::new(), roots)?;
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, runtime: tokio::runtime::Handle::current() })
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let send = async move {
            let answer = client.request(request.map(Full::new)).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        };
        // The timer too needs the runtime.
        let sent = self.runtime.spawn(async move {
            let sent = tokio::time::timeout(TIMEOUT, send).await.map_err(HttpError::from).flatten();
            match &sent {
                Ok(answer) if !answer.status().is_success() => {
                    tracing::warn!(status = answer.status().as_u16(), "the collector refuses traces");
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "traces were not sent"),
            }
            sent
        });
        sent.await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_address_nothing_is_traced() {
        let traces =
            Traces::start("test", &TraceSettings::default(), Decided::Here).expect("nothing to fail");
        assert!(traces.request("r", &HeaderMap::new()).is_none());
        assert!(traces.of_record(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").is_none());
        traces.stop();
    }

    #[test]
    fn an_address_and_a_ratio_are_checked() {
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
