-- Shared by the scripts below; Redis 7.0 commands only. The rules are docs/propagation.md, rules 11 to 14.

-- A row is "<epoch> <source> <revision> <seq> <put|delete>", its index entries as JSON, the payload. One that
-- cannot be read counts as absent.
local function parse(row)
  if not row then return nil end
  local epoch, source, revision, seq, operation, index =
    string.match(row, '^(%S+) (%S+) (%d+) (%d+) (%a+)[^\n]*\n([^\n]*)\n')
  if not epoch then return nil end
  return {
    epoch = epoch, source = source, revision = tonumber(revision), seq = seq, operation = operation, index = index,
  }
end

-- Floors and incarnations belong to an epoch: "<epoch> <value>".
local function of_epoch(value, epoch)
  if not value then return nil end
  local its_epoch, its_value = string.match(value, '^(%S+) (%S+)$')
  if its_epoch ~= epoch then return nil end
  return its_value
end

local function index_entries(line)
  local ok, entries = pcall(cjson.decode, line)
  if ok and type(entries) == 'table' then return entries end
  return {}
end

local function drop_index(row)
  if not row then return end
  for _, entry in ipairs(index_entries(row.index)) do redis.call('HDEL', entry[1], entry[2]) end
end

local function store(row_key, head_key, tombstones_key, epoch, source, revision, operation, index, payload)
  local seq = string.format('%.0f', redis.call('INCR', head_key))
  redis.call('SET', row_key, table.concat({ epoch, source, revision, seq, operation }, ' ')
    .. '\n' .. index .. '\n' .. payload)
  if operation == 'delete' then
    redis.call('ZADD', tombstones_key, revision, row_key)
  else
    redis.call('ZREM', tombstones_key, row_key)
  end
  return seq
end

-- Whoever restores a backup takes a source back to before this: "<incarnation> <revision>", of no epoch.
local function note_seen(seen_key, incarnation, revision)
  local its_incarnation, its_revision = string.match(redis.call('GET', seen_key) or '', '^(%S+) (%d+)$')
  if its_incarnation == incarnation and tonumber(its_revision) >= revision then return end
  redis.call('SET', seen_key, string.format('%s %.0f', incarnation, revision))
end
