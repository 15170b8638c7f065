//! The quota check as the request handler sees it, and the quota headers of an answer.

use ::quota::{Charge, QuotaState, Quotas, Verdict};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// Requests per hour.
pub const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
/// Requests left in the hour.
pub const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// Start of the next hour, in Unix seconds.
pub const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Counts requests.
pub trait Quota: Send + Sync + 'static {
    /// Counts one request of a project that may make `limit` requests per hour.
    fn count(&self, project_id: &str, limit: u64) -> impl Future<Output = Verdict> + Send;
    /// Refunds the charge of a request, without waiting for Redis.
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

/// The quota charge of a request. It can be refunded at most once. Requests of a project without a limit have
/// no charge.
pub struct RefundableCharge<'a, Q> {
    quota: &'a Q,
    project_id: &'a str,
    charge: Option<Charge>,
}

impl<'a, Q: Quota> RefundableCharge<'a, Q> {
    pub fn new(quota: &'a Q, project_id: &'a str, charge: Option<Charge>) -> Self {
        Self { quota, project_id, charge }
    }

    /// Refunds the charge, unless it was refunded before.
    pub fn refund(&mut self) {
        if let Some(charge) = self.charge.take() {
            self.quota.refund(self.project_id, charge);
        }
    }
}

/// Adds the quota headers to an answer.
pub fn write_headers(quota_state: QuotaState, headers: &mut HeaderMap) {
    let values = [(LIMIT, quota_state.limit), (REMAINING, quota_state.remaining), (RESET, quota_state.reset)];
    for (name, number) in values {
        // Converting a number with `HeaderValue::from` allocates twice.
        if let Ok(value) = HeaderValue::from_str(itoa::Buffer::new().format(number)) {
            headers.insert(name, value);
        }
    }
}
