-- Removes a key that a finished snapshot did not name, where the snapshot can know.
-- KEYS: epoch, head, incarnation, tombstones, row
-- ARGV: epoch, source, incarnation, the snapshot's revision
local epoch = ARGV[1]
if redis.call('GET', KEYS[1]) ~= epoch then return 'no_epoch' end
if of_epoch(redis.call('GET', KEYS[3]), epoch) ~= ARGV[3] then return 'other_incarnation' end
local raw = redis.call('GET', KEYS[5])
local row = parse(raw)
if not row or row.epoch ~= epoch then
  -- Left by another epoch, or not a row at all: nothing in it is comparable with this snapshot.
  if not raw then return 'old' end
  if row and row.source ~= ARGV[2] then return 'old' end
  drop_index(row)
  redis.call('DEL', KEYS[5])
  redis.call('ZREM', KEYS[4], KEYS[5])
  redis.call('INCR', KEYS[2])
  return 'applied'
end
if row.source ~= ARGV[2] or row.operation == 'delete' or row.revision > tonumber(ARGV[4]) then return 'old' end
drop_index(row)
store(KEYS[5], KEYS[2], KEYS[4], epoch, ARGV[2], ARGV[4], 'delete', '[]', '')
return 'applied'
