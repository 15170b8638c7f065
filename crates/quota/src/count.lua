-- Counts requests of one project in the running clock hour, and takes counts back.
--
-- Promise: of the numbers 1, 2, … up to the limit each is held by one request at most, and no more than the limit are
-- held, over all callers. A number that was given back is given out again before a fresh one, the highest first: then
-- what a client is told to remain is closest to the truth. What is refused takes no number. Numbers for requests that
-- are still to come are given out only while they are few beside what is left.
-- The hour is this server's (TIME), and an hour that was begun does not end because a clock was set back by less.
--
-- KEYS[1]  the hour: a hash of hour (Unix hours), epoch (names this memory of the hour; microseconds), version (how
--          often it was changed in this epoch), high (the highest number ever given out), and by-CALLER for each
--          that gave something back: its last call that did
-- KEYS[2]  the numbers given back, a sorted set. Both keys have the project as hash tag.
-- ARGV[1]  limit   ARGV[2]  how many requests are to be counted   ARGV[3]  how many numbers are wanted for requests to
--          come; 0 to 1000 with those   ARGV[4]  one of so many parts of what is left is the most that is given ahead
-- ARGV[5]  hour   ARGV[6]  epoch   ARGV[7]  version   ARGV[8]  high: the last that this caller has seen, 0 for nothing
-- ARGV[9]  the caller   ARGV[10]  its call: 1, 2, …
-- ARGV[11…] numbers to take back, given out in the caller's hour and epoch; they are ignored if either has passed, or
--          if this call or a later one was here before: a client may send a call again whose answer was lost
-- returns  { now in Unix milliseconds, hour, epoch, version, high, how many numbers are held, how many of those given
--          out now are fresh (they end at high), the others, … }
--
-- A server that lost its last writes (a failover) is told by the callers what they have seen: high takes the maximum,
-- and an epoch or version that went back begins a new epoch, greater than both, in which nothing counts as given back,
-- for it may have been given out again.
local time = redis.call('TIME')
local limit, asked = tonumber(ARGV[1]), tonumber(ARGV[2])
local ahead, share = tonumber(ARGV[3]), tonumber(ARGV[4])
local seen_hour, seen_epoch = tonumber(ARGV[5]), tonumber(ARGV[6])
local seen_version, seen_high = tonumber(ARGV[7]), tonumber(ARGV[8])
local stored = redis.call('HMGET', KEYS[1], 'hour', 'epoch', 'version', 'high')
local stored_hour = tonumber(stored[1])

local hour = math.floor(tonumber(time[1]) / 3600)
if stored_hour == hour + 1 or seen_hour == hour + 1 then
  hour = hour + 1
end

local begun = stored_hour == hour
local epoch, version, high = 0, 0, 0
if begun then
  epoch, version, high = tonumber(stored[2]), tonumber(stored[3]), tonumber(stored[4])
end
local lost, changed = false, false
if seen_hour == hour then
  lost = begun and (seen_epoch > epoch or (seen_epoch == epoch and seen_version > version))
  changed = lost or seen_high > high
  high = math.max(high, seen_high)
end

local given_back = 0
if begun and not lost then
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
  given_back = redis.call('ZCARD', KEYS[2])
end

local held = high - given_back
local granted = math.max(0, math.min(asked, limit - held))
granted = granted + math.max(0, math.min(ahead, math.floor((limit - held - granted) / share)))
local again = {}
if granted > 0 and given_back > 0 then
  again = redis.call('ZREVRANGEBYSCORE', KEYS[2], ARGV[1], '-inf', 'LIMIT', 0, granted)
  if #again > 0 then
    redis.call('ZREM', KEYS[2], unpack(again))
  end
end
-- Where numbers above the limit are held, as after a change to a smaller plan, those given back below it suffice.
local fresh = granted - #again
high = high + fresh

if changed or granted > 0 then
  if lost or not begun then
    redis.call('DEL', KEYS[1], KEYS[2])
    epoch = math.max(tonumber(time[1]) * 1000000 + tonumber(time[2]), epoch + 1, seen_epoch + 1)
    version = 0
  end
  version = version + 1
  -- Lua would write a number as great as the epoch with an exponent.
  local name = string.format('%.0f', epoch)
  redis.call('HSET', KEYS[1], 'hour', hour, 'epoch', name, 'version', version, 'high', high)
  if lost or not begun then
    -- Longer than any hour that was begun lasts, so it never ends one.
    redis.call('EXPIRE', KEYS[1], 10800)
  end
end

local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local answer = { now, hour, epoch, version, high, held + granted, fresh }
for i = 1, #again do
  answer[7 + i] = tonumber(again[i])
end
return answer
