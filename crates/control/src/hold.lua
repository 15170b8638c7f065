-- Holds the projection back while it is filled anew: until it is let go, nobody can mark it as filled.
--
-- KEYS[1]  the position: a hash of log, next, filled, and while it is held: held (by whom), until (Unix milliseconds by
--          this server's clock)
-- ARGV[1]  "begin", "renew" or "release"   ARGV[2]  who holds   ARGV[3]  for how many milliseconds   ARGV[4]  log id
-- returns  1 if it was done; 0 if another one holds it, or this one's time is over
--
-- "begin" forgets how far the projection was filled. A hold ends by itself, so that one who died holds nobody back.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held, hold_until
if redis.call('TYPE', KEYS[1]).ok == 'hash' then
  local known = redis.call('HMGET', KEYS[1], 'held', 'until')
  held, hold_until = known[1], tonumber(known[2] or '')
end
local running = held and hold_until and hold_until > now
if ARGV[1] == 'begin' then
  if running and held ~= ARGV[2] then
    return 0
  end
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'log', ARGV[4], 'next', '0', 'held', ARGV[2], 'until', now + tonumber(ARGV[3]))
  return 1
end
if not running or held ~= ARGV[2] then
  return 0
end
if ARGV[1] == 'renew' then
  redis.call('HSET', KEYS[1], 'until', now + tonumber(ARGV[3]))
else
  redis.call('HDEL', KEYS[1], 'held', 'until')
end
return 1
