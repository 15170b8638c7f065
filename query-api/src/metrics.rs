//! Metrics of the query API: requests by route and status, and their durations.

use hyper::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Instant;

/// Labels of the request counter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: String,
    /// The path as in the OpenAPI document; `none` if no route matched.
    route: String,
    /// The HTTP status, or `abandoned` if the client disconnected before the answer.
    status: String,
}

/// Labels of the duration histogram.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

/// The metrics. Clones share their values.
#[derive(Clone)]
pub struct Metrics {
    requests: Family<Request, Counter>,
    request_seconds: Family<Route, Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        // 1 ms to 33 s.
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 16));
        Self { requests: Family::default(), request_seconds: Family::new_with_constructor(seconds) }
    }
}

impl Metrics {
    /// Adds the metrics to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("tidemark_query");
        registry.register("requests", "Requests by method, route and status", self.requests.clone());
        let durations =
            [("request_duration", "From a request's head to its answer", self.request_seconds.clone())];
        for (name, help, family) in durations {
            registry.register_with_unit(name, help, Unit::Seconds, family);
        }
    }

    /// Returns the counter of a request that started at `started`.
    pub fn begin(&self, method: &Method, route: &str, started: Instant) -> RequestInFlight {
        // Clients choose the method, so unknown methods share one label value.
        let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        let method = if known.contains(method) { method.as_str() } else { "other" };
        let (method, route) = (method.to_owned(), route.to_owned());
        RequestInFlight { metrics: self.clone(), method, route, started, status: None }
    }
}

/// A request in flight. It is counted on drop, so that cancelled requests are counted too.
pub struct RequestInFlight {
    metrics: Metrics,
    method: String,
    route: String,
    started: Instant,
    status: Option<StatusCode>,
}

impl RequestInFlight {
    /// Sets the status of the answer and counts the request.
    pub fn end(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        let (method, route) = (std::mem::take(&mut self.method), std::mem::take(&mut self.route));
        let seconds = self.started.elapsed().as_secs_f64();
        self.metrics.request_seconds.get_or_create(&Route { route: route.clone() }).observe(seconds);
        let status = self.status.map_or_else(|| "abandoned".to_owned(), |status| status.as_str().to_owned());
        self.metrics.requests.get_or_create(&Request { method, route, status }).inc();
    }
}
