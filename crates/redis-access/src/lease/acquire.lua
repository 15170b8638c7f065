-- Acquires or renews a lease.
--
-- Contract: a lease has at most one holder at a time and expires by itself.
--
-- KEYS[1]  the lease: a string that names its holder
-- ARGV[1]  the candidate   ARGV[2]  the lease's length in milliseconds from now
-- returns  1 if the candidate now holds the lease, 0 if another one does
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
