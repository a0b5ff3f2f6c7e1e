-- Opens a source within an epoch: from now on its live writes count. Whatever was refused before was committed
-- before, so a snapshot that is begun after this holds it. Until the mark stands nobody believes in absence, so
-- the floor may already be the source's revision: a redelivered creation of something since removed is refused.
-- KEYS: epoch, incarnation, floor, seen
-- ARGV: epoch, incarnation, revision
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'no_epoch' end
local incarnation = of_epoch(redis.call('GET', KEYS[2]), ARGV[1])
if incarnation then
  if incarnation == ARGV[2] then return 'applied' end
  return 'other_incarnation'
end
redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. ARGV[2])
redis.call('SET', KEYS[3], ARGV[1] .. ' ' .. ARGV[3])
note_seen(KEYS[4], ARGV[2], tonumber(ARGV[3]))
return 'applied'
