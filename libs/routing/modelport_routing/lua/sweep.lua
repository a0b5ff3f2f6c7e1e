-- Drops tombstones at or below the floor, which now says the same; a bounded number at a time.
-- KEYS: epoch, floor, tombstones
-- ARGV: epoch, how many at most
-- Returns how many were looked at.
local epoch = ARGV[1]
if redis.call('GET', KEYS[1]) ~= epoch then return 0 end
local floor = of_epoch(redis.call('GET', KEYS[2]), epoch)
if not floor then return 0 end
local rows = redis.call('ZRANGE', KEYS[3], '-inf', floor, 'BYSCORE', 'LIMIT', 0, tonumber(ARGV[2]))
for _, row_key in ipairs(rows) do
  local row = parse(redis.call('GET', row_key))
  if row and row.operation == 'delete' then redis.call('DEL', row_key) end
  redis.call('ZREM', KEYS[3], row_key)
end
return #rows
