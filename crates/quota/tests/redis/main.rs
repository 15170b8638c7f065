//! Quotas of several gateways on a real Redis, each test in its own namespace.

mod quota;
