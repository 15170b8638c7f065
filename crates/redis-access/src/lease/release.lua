-- Releases a lease.
--
-- Contract: only the holder ends a lease. A lease that expired and was acquired by another candidate stays.
--
-- KEYS[1]  the lease: a string that names its holder
-- ARGV[1]  the candidate that releases it
-- returns  1 if the lease was released, 0 if the candidate did not hold it any more
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
