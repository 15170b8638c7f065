-- Applies one event of the control log to its entity in the projection.
--
-- Contract: an older event never overwrites a newer one of the same log; an event of another log always applies. A
-- removed entity keeps its l and o, so that an older event that arrives late cannot restore it.
--
-- KEYS[1]  the entity: a hash of v (state), l (log id), o (offset)
-- ARGV[1]  log id   ARGV[2]  offset   ARGV[3]  "1" if the event has a state, "0" if it removes the entity
-- ARGV[4]  state
-- returns  1 if the event was applied, 0 if the same or a later event of this log had been applied before
local known = redis.call('HMGET', KEYS[1], 'l', 'o')
if known[1] == ARGV[1] and known[2] and tonumber(known[2]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('HSET', KEYS[1], 'l', ARGV[1], 'o', ARGV[2])
if ARGV[3] == '1' then
  redis.call('HSET', KEYS[1], 'v', ARGV[4])
else
  redis.call('HDEL', KEYS[1], 'v')
end
return 1
