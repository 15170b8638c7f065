//! Request ids: unique, cheap, without meaning.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names the request in answers.
const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Names one request in answers and logs. Prints as 32 hexadecimal digits.
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
    /// A new one: no two of a process are equal, and processes differ by a random number.
    pub fn next() -> Self {
        let (process, counter) = &*PROCESS;
        Self { process: *process, number: mixed(counter.fetch_add(1, Ordering::Relaxed)) }
    }

    /// Puts it among the headers of an answer.
    pub fn write(self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_bytes(&self.digits()) {
            headers.insert(HEADER, id);
        }
    }

    /// Its digits.
    fn digits(self) -> [u8; 32] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let value = u128::from(self.process) << 64 | u128::from(self.number);
        std::array::from_fn(|i| HEX[(value >> (124 - 4 * i) & 0xf) as usize])
    }
}

/// Spreads neighbours apart and maps no two numbers to one: the finalizer of SplitMix64.
fn mixed(number: u64) -> u64 {
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
