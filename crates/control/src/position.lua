-- Moves the mark up to which the projection is filled, never backwards.
--
-- KEYS[1]  the position: a hash of log (log id), next (first offset that may be missing), filled ("1" once complete), and
--          while someone fills it anew (hold.lua): held, until
-- ARGV[1]  log id   ARGV[2]  expected position: the writer's last known next   ARGV[3]  new next   ARGV[4]  "1" if complete
-- returns  1 if the mark stands at or after the new next; 0 if the store knows less than the writer was told before:
--          it lost its memory, follows another log, or is held, and must be filled again
local known = redis.call('HMGET', KEYS[1], 'log', 'next', 'until')
local hold_until = tonumber(known[3] or '')
if hold_until then
  local time = redis.call('TIME')
  if hold_until > time[1] * 1000 + math.floor(time[2] / 1000) then
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
