-- Begins an epoch on this very server, if the present one is still the one the caller saw.
-- KEYS: epoch
-- ARGV: the epoch the caller saw or '', a random part for the new one
-- Returns the epoch that now stands.
local epoch = redis.call('GET', KEYS[1]) or ''
if epoch ~= ARGV[1] then return epoch end
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
epoch = run_id .. ':' .. ARGV[2]
redis.call('SET', KEYS[1], epoch)
return epoch
