#!lua
-- Take what is due off one partition's queue for a while: who takes it and dies leaves it to the next.
-- KEYS: the queue (a sorted set by when each is due), how often each was taken (a hash). Both carry one hash tag.
-- ARGV: now, when it is due again, how many at most.
-- Returns members and how often each was taken, this time included: one after the other.
local found = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])) do
  redis.call('ZADD', KEYS[1], ARGV[2], member)
  found[#found + 1] = member
  found[#found + 1] = redis.call('HINCRBY', KEYS[2], member, 1)
end
return found
