//! Claims in Redis: the script `exchange.lua`, its keys and its time limit.

use super::model::{Batch, Change, Claim, Exchanged, Ids, Seen, State, Unavailable, Version};
use redis::aio::ConnectionLike;
use redis::{ErrorKind, RedisError, Script};
use redis_access::CircuitBreakers;
use redis_access::KeyNames;
use redis_access::Redis;
use service::connections::RedisEndpoint;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use uuid::Uuid;

static EXCHANGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("exchange.lua")));

/// Time limit of a call to Redis, after which requests continue without claims.
const CALL_TIMEOUT: Duration = Duration::from_millis(500);

/// The claims of an installation. Clones share the connection. While Redis is unavailable, circuit breakers keep requests
/// from waiting for it.
#[derive(Clone)]
pub struct Claims(Arc<Inner>);

struct Inner {
    redis: Redis,
    names: KeyNames,
    /// Maximum time for which a claim is held.
    lease: Duration,
    breakers: CircuitBreakers,
    started: Instant,
}

impl Claims {
    /// Creates the claims of the installation `namespace`. A holder has certainly ended after `lease`. Fails only if the
    /// address is invalid. Connects with the first call.
    pub fn new(redis: &RedisEndpoint, namespace: &str, lease: Duration) -> Result<Self, RedisError> {
        let redis = redis_access::connect(redis)?;
        Ok(Self(Arc::new(Inner {
            breakers: CircuitBreakers::of(&redis),
            redis,
            names: KeyNames::new(namespace),
            lease,
            started: Instant::now(),
        })))
    }

    /// Applies `change` to the claim on a project's key if the claim is as the change expects.
    pub async fn exchange(
        &self,
        project_id: &str,
        key: &str,
        change: Change,
    ) -> Result<Exchanged, Unavailable> {
        let inner = &self.0;
        let part = inner.breakers.part(project_id);
        if !inner.breakers.may_call(part, inner.elapsed_ms()) {
            return Err(Unavailable);
        }
        let name = name(&inner.names, project_id, key);
        let mut redis = inner.redis.clone();
        let asked = exchange(&mut redis, &name, change, inner.lease);
        let failure = match tokio::time::timeout(CALL_TIMEOUT, asked).await {
            Ok(Ok(exchanged)) => {
                if inner.breakers.succeeded(part, inner.elapsed_ms()) {
                    tracing::info!("idempotency claims resumed: Redis available");
                }
                return Ok(exchanged);
            }
            Ok(Err(error)) => error.to_string(),
            Err(elapsed) => elapsed.to_string(),
        };
        if inner.breakers.failed(part, inner.elapsed_ms()) {
            tracing::warn!(error = failure, "idempotency claims skipped: Redis unavailable");
        }
        Err(Unavailable)
    }
}

impl Inner {
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }
}

/// Returns the name of the claim on a key. The key is hashed, so that the name needs no escaping and stays short.
fn name(names: &KeyNames, project_id: &str, key: &str) -> String {
    let mut name = names.key("claim", project_id);
    name.push(':');
    for byte in &Sha256::digest(key)[..16] {
        // Writing to memory does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

async fn exchange(
    redis: &mut impl ConnectionLike,
    name: &str,
    change: Change,
    lease: Duration,
) -> Result<Exchanged, RedisError> {
    let mut invocation = EXCHANGE.key(name);
    let (operation, expected, claim) = match &change {
        Change::Read => ("look", None, None),
        Change::Put { expected, claim } => ("put", expected.as_ref(), Some(claim)),
        Change::Drop(version) => ("drop", Some(version), None),
    };
    invocation.arg(operation);
    match expected {
        Some(Version { attempt, state }) => invocation.arg(attempt.to_string()).arg(state.as_str()),
        None => invocation.arg("").arg(""),
    };
    if let Some(Claim { version, batch }) = claim {
        invocation.arg(version.attempt.to_string()).arg(version.state.as_str());
        invocation.arg(batch.ids.batch_id.to_string()).arg(batch.ids.received_at_ms);
        invocation.arg(&batch.body_hash[..]).arg(batch.accepted);
        invocation.arg(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
    }
    let (done, lease_left_ms, fields): (i64, u64, Fields) = {
        let (done, left, attempt, state, batch, received, body, accepted) =
            invocation.invoke_async(redis).await?;
        (done, left, (attempt, state, batch, received, body, accepted))
    };
    Ok(Exchanged { done: done == 1, seen: Seen { claim: claim_in(fields)?, lease_left_ms } })
}

type Fields = (Option<String>, Option<String>, Option<String>, Option<i64>, Option<Vec<u8>>, Option<u32>);

fn claim_in(fields: Fields) -> Result<Option<Claim>, RedisError> {
    let (attempt, state, batch, received, body, accepted) = fields;
    let Some(attempt) = attempt else { return Ok(None) };
    let claim = || {
        let state = State::parse(&state?)?;
        let version = Version { attempt: Uuid::parse_str(&attempt).ok()?, state };
        let ids = Ids { batch_id: Uuid::parse_str(&batch?).ok()?, received_at_ms: received? };
        Some(Claim { version, batch: Batch { ids, body_hash: body?.try_into().ok()?, accepted: accepted? } })
    };
    match claim() {
        Some(claim) => Ok(Some(claim)),
        None => Err((ErrorKind::UnexpectedReturnType, "malformed claim in Redis").into()),
    }
}

#[cfg(test)]
mod tests;
