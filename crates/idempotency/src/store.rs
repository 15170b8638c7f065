//! Claims in Redis: `exchange.lua`, where its keys are, and how long it is waited for.

use super::{Away, Batch, Change, Claim, Exchanged, Ids, Seen, State, Version};
use redis::aio::ConnectionLike;
use redis::{ErrorKind, RedisError, Script};
use redis_access::CircuitBreakers;
use redis_access::KeyNames;
use redis_access::Redis;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use uuid::Uuid;

static EXCHANGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("exchange.lua")));

/// How long Redis may take to answer; then requests go on without claims.
const ANSWER: Duration = Duration::from_millis(500);

/// The claims of an installation. Clones share the connection. While Redis does not answer it is left alone most of the
/// time, so that requests do not wait for it one after the other.
#[derive(Clone)]
pub struct Claims(Arc<Inner>);

struct Inner {
    redis: Redis,
    names: KeyNames,
    /// How long a claim is held at most.
    lease: Duration,
    breakers: CircuitBreakers,
    started: Instant,
}

impl Claims {
    /// The claims of the installation `namespace`; who holds one has surely ended after `lease`. Fails only if the
    /// address cannot be read. Connects with the first call.
    pub fn new(redis_url: &str, namespace: &str, lease: Duration) -> Result<Self, RedisError> {
        let redis = redis_access::connect(redis_url)?;
        Ok(Self(Arc::new(Inner {
            breakers: CircuitBreakers::of(&redis),
            redis,
            names: KeyNames::new(namespace),
            lease,
            started: Instant::now(),
        })))
    }

    /// Makes `change` to the claim on a project's key, if it is as the change expects.
    pub async fn exchange(&self, project_id: &str, key: &str, change: Change) -> Result<Exchanged, Away> {
        let inner = &self.0;
        let part = inner.breakers.part(project_id);
        if !inner.breakers.may_ask(part, inner.elapsed_ms()) {
            return Err(Away);
        }
        let name = name(&inner.names, project_id, key);
        let mut redis = inner.redis.clone();
        let asked = exchange(&mut redis, &name, change, inner.lease);
        let failure = match tokio::time::timeout(ANSWER, asked).await {
            Ok(Ok(exchanged)) => {
                if inner.breakers.answered(part, inner.elapsed_ms()) {
                    tracing::info!("claims on idempotency keys are kept in Redis again");
                }
                return Ok(exchanged);
            }
            Ok(Err(error)) => error.to_string(),
            Err(late) => late.to_string(),
        };
        if inner.breakers.failed(part, inner.elapsed_ms()) {
            tracing::warn!(
                error = failure,
                "claims on idempotency keys cannot be kept in Redis: going on without"
            );
        }
        Err(Away)
    }
}

impl Inner {
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }
}

/// Where the claim on a key is. The key is hashed: whatever it holds, the name needs no escaping and stays short.
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
    let (word, expected, claim) = match &change {
        Change::Look => ("look", None, None),
        Change::Put { expected, claim } => ("put", expected.as_ref(), Some(claim)),
        Change::Drop(version) => ("drop", Some(version), None),
    };
    invocation.arg(word);
    match expected {
        Some(Version { attempt, state }) => invocation.arg(attempt.to_string()).arg(state.word()),
        None => invocation.arg("").arg(""),
    };
    if let Some(Claim { version, batch }) = claim {
        invocation.arg(version.attempt.to_string()).arg(version.state.word());
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
        let state = State::named(&state?)?;
        let version = Version { attempt: Uuid::parse_str(&attempt).ok()?, state };
        let ids = Ids { batch_id: Uuid::parse_str(&batch?).ok()?, received_at_ms: received? };
        Some(Claim { version, batch: Batch { ids, body_hash: body?.try_into().ok()?, accepted: accepted? } })
    };
    match claim() {
        Some(claim) => Ok(Some(claim)),
        None => Err((ErrorKind::UnexpectedReturnType, "a claim in Redis cannot be read").into()),
    }
}

#[cfg(test)]
mod tests;
