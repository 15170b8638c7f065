//! What the query API counts: requests by route and status, and how long they and their queries took.

use hyper::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Instant;

/// The labels of requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: String,
    /// As it is in the OpenAPI document; `none` where there is no route.
    route: String,
    /// The HTTP status, or `abandoned` if the client left before it.
    status: String,
}

/// The label of durations.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

/// The metrics. Clones share them.
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
    /// Adds them to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("tidemark_query");
        registry.register("requests", "Requests by method, route and status", self.requests.clone());
        let durations =
            [("request_duration", "From a request's head to its answer", self.request_seconds.clone())];
        for (name, help, family) in durations {
            registry.register_with_unit(name, help, Unit::Seconds, family);
        }
    }

    /// Begins to count a request.
    pub fn begin(&self, method: &Method, route: &str, begun: Instant) -> Count {
        // Methods are the client's to choose; labels are not.
        let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        let method = if known.contains(method) { method.as_str() } else { "other" };
        let (method, route) = (method.to_owned(), route.to_owned());
        Count { metrics: self.clone(), method, route, begun, status: None }
    }
}

/// A request under way: counted when it is dropped, so that none is forgotten.
pub struct Count {
    metrics: Metrics,
    method: String,
    route: String,
    begun: Instant,
    status: Option<StatusCode>,
}

impl Count {
    /// The request was answered.
    pub fn end(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        let (method, route) = (std::mem::take(&mut self.method), std::mem::take(&mut self.route));
        let seconds = self.begun.elapsed().as_secs_f64();
        self.metrics.request_seconds.get_or_create(&Route { route: route.clone() }).observe(seconds);
        let status = self.status.map_or_else(|| "abandoned".to_owned(), |status| status.as_str().to_owned());
        self.metrics.requests.get_or_create(&Request { method, route, status }).inc();
    }
}
