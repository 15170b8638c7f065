-- Advances the position of the projection.
--
-- Contract: the position never goes back, and it does not advance while a command holds the rebuild lease.
--
-- KEYS[1]  the position: a hash of log (log id), next (first offset that may not have been applied), filled ("1" once
--          the projection is complete), and the rebuild lease (rebuild_lease.lua): held, until
-- ARGV[1]  log id   ARGV[2]  expected next: the value that the caller wrote last   ARGV[3]  new next
-- ARGV[4]  "1" if the projection is complete
-- returns  1 if next is now at or above the new value; 0 if the projection must be filled again, because next is
--          below the expected value (Redis lost data), the log is another one, or the rebuild lease is held
local known = redis.call('HMGET', KEYS[1], 'log', 'next', 'until')
local held_until = tonumber(known[3] or '')
if held_until then
  local time = redis.call('TIME')
  if held_until > time[1] * 1000 + math.floor(time[2] / 1000) then
    return 0
  end
  redis.call('HDEL', KEYS[1], 'held', 'until')
end
local next = tonumber(known[2] or '')
if known[1] ~= ARGV[1] or not next or next < tonumber(ARGV[2]) then
  return 0
end
if next < tonumber(ARGV[3]) then
  redis.call('HSET', KEYS[1], 'next', ARGV[3])
end
if ARGV[4] == '1' then
  redis.call('HSET', KEYS[1], 'filled', '1')
end
return 1
