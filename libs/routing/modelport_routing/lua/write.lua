-- The guarded write: moves a key's revision forward, never back.
-- KEYS: epoch, head, incarnation, floor, tombstones, row, seen
-- ARGV: source, incarnation, revision, operation, index, payload, wanted epoch or ''
-- Returns the outcome.
local epoch = redis.call('GET', KEYS[1])
if not epoch or (ARGV[7] ~= '' and ARGV[7] ~= epoch) then return 'no_epoch' end

local incarnation = of_epoch(redis.call('GET', KEYS[3]), epoch)
if not incarnation then return 'not_open' end
if incarnation ~= ARGV[2] then return 'other_incarnation' end

local revision = tonumber(ARGV[3])
local row = parse(redis.call('GET', KEYS[6]))
if row and row.epoch == epoch then
  if row.revision >= revision then return 'old' end
else
  local floor = tonumber(of_epoch(redis.call('GET', KEYS[4]), epoch) or '-1')
  if revision <= floor then return 'below_floor' end
end

drop_index(row)
for _, entry in ipairs(index_entries(ARGV[5])) do redis.call('HSET', entry[1], entry[2], entry[3]) end
store(KEYS[6], KEYS[2], KEYS[5], epoch, ARGV[1], ARGV[3], ARGV[4], ARGV[5], ARGV[6])
note_seen(KEYS[7], incarnation, revision)
return 'applied'
