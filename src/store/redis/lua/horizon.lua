-- h: the latest instant until which a record is kept that an entry of this shard may cover. It only grows, by a minute at
-- least: otherwise every single token would write it anew. t: the latest time that was seen, by the rule of SweepClock::note:
-- also by a minute at least, and never by a leap. `now` is 0 where the caller knows no time.
local function raise(kept, now, leap)
  kept = math.min(math.ceil(kept / 60000) * 60000, FAR)
  local known = redis.call('HMGET', KEYS[1], 'h', 't')
  if kept > (tonumber(known[1]) or 0) then
    redis.call('HSET', KEYS[1], 'h', kept)
  end
  local latest = tonumber(known[2]) or 0
  if (latest == 0 or now <= latest + leap) and now >= latest + 60000 then
    redis.call('HSET', KEYS[1], 't', now)
  end
end
