-- Gives a lease back.
--
-- Promise: a lease is ended only by the one who holds it. One that ended by itself and was taken by somebody else stays.
--
-- KEYS[1]  the lease: a string, who holds it
-- ARGV[1]  who gives it back
-- returns  1 if it was given back, 0 if it was not held by that one any more
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
