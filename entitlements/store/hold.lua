#!lua
-- Record a run of a replay, and take or renew what only one run at a time holds: both, or nothing.
-- KEYS: the lease, the runs (a hash by id). Both carry one hash tag.
-- ARGV: the run's id, the run, milliseconds until the lease runs out (0 gives it back, -1 needs none).
-- Returns 1, or 0 where another run holds the lease: then nothing but an end is recorded.
local lease = tonumber(ARGV[3])
local holder = redis.call('GET', KEYS[1])
if lease > 0 and holder and holder ~= ARGV[1] then
  return 0
end
if lease > 0 then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', lease)
elseif holder == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
