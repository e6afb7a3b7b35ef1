#!lua flags=no-writes
-- Some members of a sorted set behind a place, from the greatest score down, and within a score from the last name up.
-- KEYS: the set. ARGV: how many at most, the place's score (+inf for the beginning) and member.
-- Returns members and their scores in turn. The place need not be in the set (any more).
local set, most, score, member = KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[3]

local function before(one, other)  -- Lua's own comparison goes by the server's locale, the set's by bytes
  for i = 1, math.min(#one, #other) do
    local a, b = one:byte(i), other:byte(i)
    if a ~= b then
      return a < b
    end
  end
  return #one < #other
end

local low = redis.call('ZCOUNT', set, '(' .. score, '+inf')
local high = low + redis.call('ZCOUNT', set, score, score)
while low < high do
  local middle = math.floor((low + high) / 2)
  if before(redis.call('ZRANGE', set, middle, middle, 'REV')[1], member) then
    high = middle
  else
    low = middle + 1
  end
end
return redis.call('ZRANGE', set, low, low + most - 1, 'REV', 'WITHSCORES')
