#!lua
-- Take or renew what one at a time holds, and record how far its walk is: both, or nothing.
-- KEYS: the lease, the walk. Both carry one hash tag.
-- ARGV: the holder, milliseconds until the lease runs out (0 gives it back), the walk ("" leaves it as it is).
-- Returns 1, or 0 where another one holds the lease.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
if ARGV[3] ~= '' then
  redis.call('SET', KEYS[2], ARGV[3])
end
return 1
