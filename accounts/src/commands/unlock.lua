-- Gives a lock back.
--
-- Promise: a lock is removed only by the one who took it. One that ended by itself and was taken by somebody else stays.
--
-- KEYS[1]  the lock: a string, the token of the one who holds it, that ends by itself
-- ARGV[1]  the token of the one who gives it back
-- returns  1 if it was given back, 0 if it was not held by that one any more
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
