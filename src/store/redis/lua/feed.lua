-- A part of one shard's feed. KEYS: the shard, the feed. ARGV: place after which to begin, how many entries,
-- a random epoch.
-- Answers {epoch, last place swept, last place written, places and entries in turn}.
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'f', 'l')
if not meta[1] then
  meta[1] = ARGV[3]
  redis.call('HSET', KEYS[1], 'epoch', ARGV[3])
end
local found = {}
for _, line in ipairs(redis.call('XRANGE', KEYS[2], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])) do
  local value = redis.call('GET', tag .. 'e' .. line[2][2])
  found[#found + 1] = line[1]
  found[#found + 1] = value or ''
end
return {meta[1], meta[2] or '0-0', meta[3] or '0-0', found}
