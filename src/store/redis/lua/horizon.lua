-- h: the latest instant until which a record is kept that an entry of this shard may cover. It only grows, by a minute at
-- least: otherwise every single token would write it anew. `now` is 0 where the caller knows no time.
local function raise(kept, now, leap)
  kept = math.min(math.ceil(kept / 60000) * 60000, FAR)
  local known = redis.call('HMGET', KEYS[1], 'h', 't', 'j')
  if kept > (tonumber(known[1]) or 0) then
    redis.call('HSET', KEYS[1], 'h', kept)
  end
  note(known[2], known[3], now, leap)
end
