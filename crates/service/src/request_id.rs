//! Request ids: unique and cheap to make. They carry no information.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Response header with the request's id.
const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Identifies one request in responses and logs. Displayed as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId {
    process: u64,
    number: u64,
}

static PROCESS: LazyLock<(u64, AtomicU64)> = LazyLock::new(|| {
    let (process, start) = uuid::Uuid::new_v4().as_u64_pair();
    (process, AtomicU64::new(start))
});

impl RequestId {
    /// Returns a new id. A counter makes it unique within the process; a random prefix tells processes apart.
    pub fn next() -> Self {
        let (process, counter) = &*PROCESS;
        Self { process: *process, number: mix(counter.fetch_add(1, Ordering::Relaxed)) }
    }

    /// Sets the `X-Request-Id` response header.
    pub fn write(self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_bytes(&self.digits()) {
            headers.insert(HEADER, id);
        }
    }

    fn digits(self) -> [u8; 32] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let value = u128::from(self.process) << 64 | u128::from(self.number);
        std::array::from_fn(|i| HEX[(value >> (124 - 4 * i) & 0xf) as usize])
    }
}

/// Scatters consecutive numbers without collisions (it is a bijection): the finalizer of SplitMix64.
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.process, self.number)
    }
}

impl serde::Serialize for RequestId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
