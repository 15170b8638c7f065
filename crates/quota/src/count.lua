-- Counts requests of one project in the running clock hour, refunds numbers and prefetches numbers.
--
-- Contract: each of the numbers 1, 2, … up to the limit is held by at most one request, and no more than the limit are
-- held, over all callers. Refunded numbers are reissued before new ones, the highest first, so that the number of
-- remaining requests that clients see stays closest to the truth. A refused request takes no number. Numbers are
-- prefetched only while they are a small part of what is left.
-- The hour is this server's (TIME). An hour that has begun does not end because the clock was set back by less.
--
-- KEYS[1]  the hour: a hash of hour (Unix hours), epoch (identifies this memory of the hour; microseconds), version
--          (number of changes in this epoch), high (the highest number ever issued), and by-CALLER for each caller
--          that refunded: the number of its last refunding call
-- KEYS[2]  refunded numbers, a sorted set. Both keys have the project as hash tag.
-- ARGV[1]  limit   ARGV[2]  requests to be counted   ARGV[3]  numbers to prefetch; with ARGV[2] at most 1000
-- ARGV[4]  at most 1/ARGV[4] of what is left is prefetched
-- ARGV[5]  hour   ARGV[6]  epoch   ARGV[7]  version   ARGV[8]  high: the last state that this caller has seen, 0 if none
-- ARGV[9]  the caller   ARGV[10]  the sequence number of its call: 1, 2, …
-- ARGV[11…] refunded numbers, issued in the caller's hour and epoch. They are ignored if either has passed, or if this
--          call or a later one was executed before: a client may repeat a call whose answer was lost.
-- returns  { now in Unix milliseconds, hour, epoch, version, high, count of held numbers, count of newly issued numbers
--          (they end at high), the reissued numbers … }
--
-- A server that lost its latest writes (a failover) learns from the callers what they have seen: high takes the maximum,
-- and an epoch or version that went back starts a new epoch, greater than both. In it no number counts as refunded,
-- because refunded numbers may have been reissued.
local time = redis.call('TIME')
local limit, asked = tonumber(ARGV[1]), tonumber(ARGV[2])
local prefetch, share = tonumber(ARGV[3]), tonumber(ARGV[4])
local seen_hour, seen_epoch = tonumber(ARGV[5]), tonumber(ARGV[6])
local seen_version, seen_high = tonumber(ARGV[7]), tonumber(ARGV[8])
local stored = redis.call('HMGET', KEYS[1], 'hour', 'epoch', 'version', 'high')
local stored_hour = tonumber(stored[1])

local hour = math.floor(tonumber(time[1]) / 3600)
if stored_hour == hour + 1 or seen_hour == hour + 1 then
  hour = hour + 1
end

local started = stored_hour == hour
local epoch, version, high = 0, 0, 0
if started then
  epoch, version, high = tonumber(stored[2]), tonumber(stored[3]), tonumber(stored[4])
end
local lost, changed = false, false
if seen_hour == hour then
  lost = started and (seen_epoch > epoch or (seen_epoch == epoch and seen_version > version))
  changed = lost or seen_high > high
  high = math.max(high, seen_high)
end

local refunded = 0
if started and not lost then
  if #ARGV > 10 and seen_hour == hour and seen_epoch == epoch then
    local by = 'by-' .. ARGV[9]
    if tonumber(ARGV[10]) > (tonumber(redis.call('HGET', KEYS[1], by)) or 0) then
      redis.call('HSET', KEYS[1], by, ARGV[10])
      for i = 11, #ARGV do
        redis.call('ZADD', KEYS[2], ARGV[i], ARGV[i])
      end
      redis.call('EXPIRE', KEYS[2], 10800)
      changed = true
    end
  end
  refunded = redis.call('ZCARD', KEYS[2])
end

local held = high - refunded
local granted = math.max(0, math.min(asked, limit - held))
granted = granted + math.max(0, math.min(prefetch, math.floor((limit - held - granted) / share)))
local reissued = {}
if granted > 0 and refunded > 0 then
  reissued = redis.call('ZREVRANGEBYSCORE', KEYS[2], ARGV[1], '-inf', 'LIMIT', 0, granted)
  if #reissued > 0 then
    redis.call('ZREM', KEYS[2], unpack(reissued))
  end
end
-- Where numbers above the limit are held, as after a change to a smaller plan, refunded numbers below it suffice.
local new_numbers = granted - #reissued
high = high + new_numbers

if changed or granted > 0 then
  if lost or not started then
    redis.call('DEL', KEYS[1], KEYS[2])
    epoch = math.max(tonumber(time[1]) * 1000000 + tonumber(time[2]), epoch + 1, seen_epoch + 1)
    version = 0
  end
  version = version + 1
  -- Lua would format a number as large as the epoch with an exponent.
  local name = string.format('%.0f', epoch)
  redis.call('HSET', KEYS[1], 'hour', hour, 'epoch', name, 'version', version, 'high', high)
  if lost or not started then
    -- Longer than any hour, so it never ends one early.
    redis.call('EXPIRE', KEYS[1], 10800)
  end
end

local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local answer = { now, hour, epoch, version, high, held + granted, new_numbers }
for i = 1, #reissued do
  answer[7 + i] = tonumber(reissued[i])
end
return answer
