#!lua
-- Keep an authentic event that moves no subscription, once.
-- KEYS: the event's mark, log, quarantine, the event's place in the quarantine. All carry one hash tag.
-- ARGV: mark "<outcome> <delivery>", seconds to keep the mark,
--       score in the quarantine (or "" to stay out of it), event, log fields and values...
-- Returns the mark that is held: ours, or that of the delivery that came first. What was quarantined and is understood
-- when it comes again is news.
local quarantining = ARGV[3] ~= ''
local held = redis.call('GET', KEYS[1])
if not held and redis.call('EXISTS', KEYS[4]) == 1 then -- it has waited for longer than marks are kept
  held = 'quarantined ' .. redis.call('HGET', KEYS[4], 'delivery')
end
if held and (quarantining or string.sub(held, 1, 12) ~= 'quarantined ') then
  return held
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 5))
if quarantining then
  redis.call('ZADD', KEYS[3], ARGV[3], ARGV[4])
  redis.call('HSET', KEYS[4], unpack(ARGV, 5))
end
return ARGV[1]
