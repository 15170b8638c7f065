//! The quota check: what it needs, and what answers say about it.

use accounts::quota::{Charge, Quotas, Standing, Verdict};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// The header with the requests per hour.
pub const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
/// The header with the requests that are left in the hour.
pub const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// The header with the Unix second at which the next hour begins.
pub const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Where requests are counted.
pub trait Quota: Send + Sync + 'static {
    /// Counts one request of a project that may make `limit` of them per hour.
    fn count(&self, project_id: &str, limit: u64) -> impl Future<Output = Verdict> + Send;
    /// Gives back what a request held. Does not wait.
    fn refund(&self, project_id: &str, charge: Charge);
}

impl Quota for Quotas {
    fn count(&self, project_id: &str, limit: u64) -> impl Future<Output = Verdict> + Send {
        self.count(project_id, limit)
    }

    fn refund(&self, project_id: &str, charge: Charge) {
        self.refund(project_id, charge);
    }
}

/// What a request holds of its project's hour, to be given back once at most; nothing where there is no limit.
pub struct Held<'a, Q> {
    quota: &'a Q,
    project_id: &'a str,
    charge: Option<Charge>,
}

impl<'a, Q: Quota> Held<'a, Q> {
    /// What a request of `project_id` holds.
    pub fn new(quota: &'a Q, project_id: &'a str, charge: Option<Charge>) -> Self {
        Self { quota, project_id, charge }
    }

    /// Gives it back.
    pub fn give_back(&mut self) {
        if let Some(charge) = self.charge.take() {
            self.quota.refund(self.project_id, charge);
        }
    }
}

/// Says in an answer where its project stands.
pub fn write(standing: Standing, headers: &mut HeaderMap) {
    for (name, number) in [(LIMIT, standing.limit), (REMAINING, standing.remaining), (RESET, standing.reset)]
    {
        // `HeaderValue::from` a number allocates twice.
        if let Ok(value) = HeaderValue::from_str(itoa::Buffer::new().format(number)) {
            headers.insert(name, value);
        }
    }
}
