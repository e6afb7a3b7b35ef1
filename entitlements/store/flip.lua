#!lua
-- What the clock has changed of one customer's answers, told once: all of it, or nothing.
-- KEYS: hot record, changes, due. All carry one hash tag.
-- ARGV: version expected, due expected, member of due, the next due (or ""), channel, what is published there,
--       changes...
-- Returns 1, or 0 where somebody else wrote or told it.
local held = redis.call('GET', KEYS[1])
local version = held and string.match(held, '^{"version":(%d+)') or '0'
local due = redis.call('ZSCORE', KEYS[3], ARGV[3])
if version ~= ARGV[1] or not due or tonumber(due) ~= tonumber(ARGV[2]) then
  return 0
end
if ARGV[4] == '' then
  redis.call('ZREM', KEYS[3], ARGV[3])
else
  redis.call('ZADD', KEYS[3], ARGV[4], ARGV[3])
end
for i = 7, #ARGV do
  redis.call('XADD', KEYS[2], '*', 'change', ARGV[i])
end
redis.call('PUBLISH', ARGV[5], ARGV[6])
return 1
