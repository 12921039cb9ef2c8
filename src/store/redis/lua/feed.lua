-- A part of one shard's feed. KEYS: the shard, the feed. ARGV: place after which to begin, how many entries,
-- a random epoch.
-- Answers {epoch, last place swept, last place written, places and ids and entries in threes}. An entry is '' where it was
-- not found: its key is not declared, so while the slot moves it may be on the other node, and that it is not here is no
-- fact. The caller looks again, by a call of its own for that key.
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'f', 'l')
if not meta[1] then
  meta[1] = ARGV[3]
  redis.call('HSET', KEYS[1], 'epoch', ARGV[3])
end
local found = {}
for _, line in ipairs(redis.call('XRANGE', KEYS[2], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])) do
  local id = line[2][2]
  -- An error too: that the key is elsewhere.
  local value = redis.pcall('GET', tag .. 'e' .. id)
  found[#found + 1] = line[1]
  found[#found + 1] = id
  found[#found + 1] = type(value) == 'string' and value or ''
end
return {meta[1], meta[2] or '0-0', meta[3] or '0-0', found}
