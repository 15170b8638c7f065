-- Takes a lease, or makes one last longer.
--
-- Promise: a lease has one holder at a time, and ends by itself.
--
-- KEYS[1]  the lease: a string, who holds it
-- ARGV[1]  who wants it   ARGV[2]  for how many milliseconds from now
-- returns  1 if it is that one's now: it was before, or nobody's; 0 if another one holds it
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
