#!lua
-- Keep an authentic event that moves no subscription, once.
-- KEYS: the event's mark, log, quarantine. All carry one hash tag.
-- ARGV: mark "<outcome> <delivery>", seconds to keep the mark, "1" for the quarantine, log fields and values...
-- Returns the mark that is held: ours, or that of the delivery that came first.
local held = redis.call('GET', KEYS[1])
if held then
  return held
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 4))
if ARGV[3] == '1' then
  redis.call('XADD', KEYS[3], '*', unpack(ARGV, 4))
end
return ARGV[1]
