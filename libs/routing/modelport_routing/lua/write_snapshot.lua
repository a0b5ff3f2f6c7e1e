-- Guarded writes of rows of one snapshot, many at a time: what is absent is judged by the snapshot's revision.
-- KEYS: epoch, head, incarnation, floor, tombstones, seen, then the rows
-- ARGV: source, incarnation, epoch, snapshot revision, then for each row: revision, index, payload
-- Returns each row's outcome, or a single one that ends the attempt.
local epoch = ARGV[3]
if redis.call('GET', KEYS[1]) ~= epoch then return 'no_epoch' end
local incarnation = of_epoch(redis.call('GET', KEYS[3]), epoch)
if not incarnation then return 'not_open' end
if incarnation ~= ARGV[2] then return 'other_incarnation' end
local floor = tonumber(of_epoch(redis.call('GET', KEYS[4]), epoch) or '-1')
local is_below = tonumber(ARGV[4]) < floor

local outcomes = {}
local newest = 0
for at = 7, #KEYS do
  local first = 5 + 3 * (at - 7)
  local revision = tonumber(ARGV[first])
  local entries = index_entries(ARGV[first + 1])
  local row = parse(redis.call('GET', KEYS[at]))
  local is_current = row and row.epoch == epoch
  if is_current and row.revision >= revision then
    -- The same revision: the row is right, its index entries may have been lost.
    if row.revision == revision then
      for _, entry in ipairs(entries) do
        if redis.call('HGET', entry[1], entry[2]) ~= entry[3] then
          redis.call('HSET', entry[1], entry[2], entry[3])
        end
      end
    end
    outcomes[#outcomes + 1] = 'old'
  elseif not is_current and is_below then
    outcomes[#outcomes + 1] = 'below_floor'
  else
    drop_index(row)
    for _, entry in ipairs(entries) do redis.call('HSET', entry[1], entry[2], entry[3]) end
    store(KEYS[at], KEYS[2], KEYS[5], epoch, ARGV[1], ARGV[first], 'put', ARGV[first + 1], ARGV[first + 2])
    if revision > newest then newest = revision end
    outcomes[#outcomes + 1] = 'applied'
  end
end
if newest > 0 then note_seen(KEYS[6], incarnation, newest) end
return outcomes
