-- Reads the claim on an idempotency key, and exchanges it if it is the one that the caller has read.
--
-- Contract: of the callers that have read the same claim, or none, one makes its change. Every caller receives the claim
-- after the change. The time is this server's (TIME): the callers' clocks do not matter.
--
-- KEYS[1]  the claim: a hash of attempt (UUID), state (held, unacknowledged or confirmed), batch (UUID), received (Unix
--          milliseconds), body (SHA-256, 32 bytes), accepted (number of metrics), at (time of the last change, Unix
--          milliseconds) and lease (time by which the holder has certainly ended, Unix milliseconds). It has the project
--          as hash tag and expires 25 hours after the last change.
-- ARGV[1]  "look", "put" or "drop"
-- ARGV[2]  attempt   ARGV[3]  state: the claim that the caller has read; both empty for none
-- ARGV[4]  attempt   ARGV[5]  state   ARGV[6]  batch   ARGV[7]  received   ARGV[8]  body   ARGV[9]  accepted
-- ARGV[10] length of the lease in milliseconds. ARGV[4] to ARGV[10] are what "put" writes.
-- returns  { 1 if the change was made, else 0; remaining milliseconds of the lease; attempt, state, batch, received,
--          body, accepted, each false where there is no claim }
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local known = redis.call('HMGET', KEYS[1], 'attempt', 'state')
local done = 0
if ARGV[1] ~= 'look' and (known[1] or '') == ARGV[2] and (known[2] or '') == ARGV[3] then
  done = 1
  if ARGV[1] == 'put' then
    redis.call('HSET', KEYS[1], 'attempt', ARGV[4], 'state', ARGV[5], 'batch', ARGV[6], 'received', ARGV[7],
      'body', ARGV[8], 'accepted', ARGV[9], 'at', now, 'lease', now + tonumber(ARGV[10]))
    redis.call('EXPIRE', KEYS[1], 90000)
  else
    redis.call('DEL', KEYS[1])
  end
end
local claim = redis.call('HMGET', KEYS[1], 'attempt', 'state', 'batch', 'received', 'body', 'accepted', 'lease')
local left = math.max(0, (tonumber(claim[7] or 0)) - now)
return { done, left, claim[1], claim[2], claim[3], claim[4], claim[5], claim[6] }
