#!lua
-- What a person or a later delivery does about an event in the quarantine, and the record of it: both, or nothing.
-- KEYS: the event's place in the quarantine, quarantine, audit, the event's mark. All carry one hash tag.
-- ARGV: event, why it stays (or "" to let it go), seconds to keep the mark, audit fields and values...
-- Returns 1, or 0 where the event is not in the quarantine.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
if ARGV[2] ~= '' then
  redis.call('HINCRBY', KEYS[1], 'attempts', 1)
  redis.call('HSET', KEYS[1], 'why', ARGV[2])
else
  redis.call('SET', KEYS[4], 'quarantined ' .. redis.call('HGET', KEYS[1], 'delivery'), 'NX')
  redis.call('EXPIRE', KEYS[4], ARGV[3])
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
end
redis.call('XADD', KEYS[3], '*', unpack(ARGV, 4))
return 1
