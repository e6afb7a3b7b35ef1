#!lua
-- What follows from one event, from another policy or from a person's word, into one customer's records: all of it,
-- or nothing.
-- The rules are in Python; this only compares and writes.
-- KEYS: hot record, log, changes, due, then other records and lists as the counts below say, then the audit where there
--       is something for it. All carry one hash tag.
-- ARGV: version expected, due expected (or ""), member of due, channel, what is published there, hot record,
--       number of other records, each one's text,
--       number of marks, each one's score (or "" to take it off its list) and member,
--       number of log fields and values, these,
--       number of audit fields and values, these,
--       changes...
-- Returns 1, or 0 where the version is another one, or somebody has told what the clock changed: read again.
local held = redis.call('GET', KEYS[1])
local version = held and string.match(held, '^{"version":(%d+)') or '0'
if version ~= ARGV[1] then
  return 0
end
local due = redis.call('ZSCORE', KEYS[4], ARGV[3])
if tonumber(due or '') ~= tonumber(ARGV[2]) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[6])
local key, arg = 5, 7
local function count()
  arg = arg + 1
  return tonumber(ARGV[arg - 1])
end
for _ = 1, count() do
  redis.call('SET', KEYS[key], ARGV[arg])
  key, arg = key + 1, arg + 1
end
for _ = 1, count() do
  if ARGV[arg] == '' then
    redis.call('ZREM', KEYS[key], ARGV[arg + 1])
  else
    redis.call('ZADD', KEYS[key], ARGV[arg], ARGV[arg + 1])
  end
  key, arg = key + 1, arg + 2
end
local function append(stream)
  local fields = count()
  if fields > 0 then
    redis.call('XADD', stream, '*', unpack(ARGV, arg, arg + fields - 1))
  end
  arg = arg + fields
end
append(KEYS[2])
append(KEYS[key])
for i = arg, #ARGV do
  redis.call('XADD', KEYS[3], '*', 'change', ARGV[i])
end
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1
