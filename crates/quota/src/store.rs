//! The hour in Redis: `count.lua` and where its keys are.

use super::counter::{Call, Reply, Seen};
use super::reserve::SHARE;
use super::reset;
use redis::aio::ConnectionLike;
use redis::{ErrorKind, RedisError, Script};
use redis_access::KeyNames;
use std::sync::LazyLock;

static COUNT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("count.lua")));

/// The keys of one project, made once.
#[derive(Debug, Clone)]
pub struct Keys {
    hour: String,
    given_back: String,
}

/// How much of an hour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Requests that are counted in the running hour, and what busy gateways have in reserve.
    pub requests: u64,
    /// When the next hour begins, Unix seconds.
    pub reset: u64,
}

impl Keys {
    /// The keys of `project_id` in the installation of `projection`.
    pub fn new(names: &KeyNames, project_id: &str) -> Self {
        Self { hour: names.key("quota", project_id), given_back: names.key("quota-given-back", project_id) }
    }

    /// Carries `call` out.
    pub async fn call(&self, redis: &mut impl ConnectionLike, call: &Call) -> Result<Reply, RedisError> {
        let Call { caller, number, limit, asked, ahead, .. } = *call;
        let Seen { hour, epoch, version, high } = call.seen;
        let mut invocation = COUNT.key(&self.hour);
        invocation.key(&self.given_back);
        for argument in [limit, asked, ahead, SHARE, hour, epoch, version, high, caller, number] {
            invocation.arg(argument);
        }
        for &number in &call.refunds {
            invocation.arg(number);
        }
        let answer: Vec<u64> = invocation.invoke_async(redis).await?;
        reply(&answer)
    }

    /// How much of the running hour is used; changes nothing.
    pub async fn used(&self, redis: &mut impl ConnectionLike) -> Result<Used, RedisError> {
        let call = Call {
            caller: 0,
            number: 0,
            limit: 0,
            asked: 0,
            ahead: 0,
            seen: Seen::default(),
            refunds: Vec::new(),
        };
        let reply = self.call(redis, &call).await?;
        Ok(Used { requests: reply.held, reset: reset(reply.seen.hour) })
    }
}

fn reply(answer: &[u64]) -> Result<Reply, RedisError> {
    let &[now_ms, hour, epoch, version, high, held, fresh, ref again @ ..] = answer else {
        return Err((ErrorKind::UnexpectedReturnType, "the quota script answered something else").into());
    };
    let seen = Seen { hour, epoch, version, high };
    Ok(Reply { now_ms, seen, held, fresh, again: again.to_vec() })
}

#[cfg(test)]
mod tests;
