//! The hour in Redis: the script `count.lua` and its keys.

use super::counter::{Call, Reply, Seen};
use super::model::reset;
use super::reserve::SHARE;
use redis::aio::ConnectionLike;
use redis::{ErrorKind, RedisError, Script};
use redis_access::KeyNames;
use std::sync::LazyLock;

static COUNT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("count.lua")));

/// Redis keys of one project.
#[derive(Debug, Clone)]
pub struct Keys {
    hour: String,
    refunded: String,
}

/// Used part of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Requests counted in the running hour, including numbers that gateways have prefetched.
    pub requests: u64,
    /// Start of the next hour, Unix seconds.
    pub reset: u64,
}

impl Keys {
    /// Returns the keys of `project_id`.
    pub fn new(names: &KeyNames, project_id: &str) -> Self {
        Self { hour: names.key("quota", project_id), refunded: names.key("quota-given-back", project_id) }
    }

    /// Executes `call`.
    pub async fn call(&self, redis: &mut impl ConnectionLike, call: &Call) -> Result<Reply, RedisError> {
        let Call { caller, number, limit, asked, prefetch, .. } = *call;
        let Seen { hour, epoch, version, high } = call.seen;
        let mut invocation = COUNT.key(&self.hour);
        invocation.key(&self.refunded);
        for argument in [limit, asked, prefetch, SHARE, hour, epoch, version, high, caller, number] {
            invocation.arg(argument);
        }
        for &number in &call.refunds {
            invocation.arg(number);
        }
        let answer: Vec<u64> = invocation.invoke_async(redis).await?;
        reply(&answer)
    }

    /// Returns how much of the running hour is used. Changes nothing.
    pub async fn used(&self, redis: &mut impl ConnectionLike) -> Result<Used, RedisError> {
        let call = Call {
            caller: 0,
            number: 0,
            limit: 0,
            asked: 0,
            prefetch: 0,
            seen: Seen::default(),
            refunds: Vec::new(),
        };
        let reply = self.call(redis, &call).await?;
        Ok(Used { requests: reply.held, reset: reset(reply.seen.hour) })
    }
}

fn reply(answer: &[u64]) -> Result<Reply, RedisError> {
    let &[now_ms, hour, epoch, version, high, held, fresh, ref reissued @ ..] = answer else {
        return Err((ErrorKind::UnexpectedReturnType, "unexpected answer of the quota script").into());
    };
    let seen = Seen { hour, epoch, version, high };
    Ok(Reply { now_ms, seen, held, fresh, reissued: reissued.to_vec() })
}

#[cfg(test)]
mod tests;
