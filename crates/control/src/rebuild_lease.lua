-- Acquires, renews or releases the rebuild lease of the projection.
--
-- Contract: the lease has at most one holder at a time and expires by itself, so a crashed holder blocks others only
-- until then. While it is held, advance.lua does not mark the projection as filled. Acquiring it resets the position.
--
-- KEYS[1]  the position: a hash of log (log id), next, filled (see advance.lua), and the lease: held (its holder),
--          until (its expiry, Unix milliseconds by this server's clock)
-- ARGV[1]  "acquire", "renew" or "release"   ARGV[2]  the caller   ARGV[3]  the lease's length in milliseconds
-- ARGV[4]  log id
-- returns  1 if it was done; 0 if another caller holds the lease or, for "renew" and "release", if it has expired
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held, held_until
if redis.call('TYPE', KEYS[1]).ok == 'hash' then
  local known = redis.call('HMGET', KEYS[1], 'held', 'until')
  held, held_until = known[1], tonumber(known[2] or '')
end
local active = held and held_until and held_until > now
if ARGV[1] == 'acquire' then
  if active and held ~= ARGV[2] then
    return 0
  end
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'log', ARGV[4], 'next', '0', 'held', ARGV[2], 'until', now + tonumber(ARGV[3]))
  return 1
end
if not active or held ~= ARGV[2] then
  return 0
end
if ARGV[1] == 'renew' then
  redis.call('HSET', KEYS[1], 'until', now + tonumber(ARGV[3]))
else
  redis.call('HDEL', KEYS[1], 'held', 'until')
end
return 1
