-- Ends a reconciliation: raises the floor to its revision and, after a full one, sets the source's mark.
-- KEYS: epoch, incarnation, floor, complete, seen
-- ARGV: epoch, incarnation, revision, 'complete' or ''
local epoch = ARGV[1]
if redis.call('GET', KEYS[1]) ~= epoch then return 'no_epoch' end
if of_epoch(redis.call('GET', KEYS[2]), epoch) ~= ARGV[2] then return 'other_incarnation' end
local floor = tonumber(of_epoch(redis.call('GET', KEYS[3]), epoch) or '-1')
if tonumber(ARGV[3]) > floor then redis.call('SET', KEYS[3], epoch .. ' ' .. ARGV[3]) end
if ARGV[4] ~= '' and redis.call('GET', KEYS[4]) ~= epoch then redis.call('SET', KEYS[4], epoch) end
note_seen(KEYS[5], ARGV[2], tonumber(ARGV[3]))
return 'applied'
