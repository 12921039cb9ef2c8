-- h: the latest expiry of any token or session under a target of this shard. z: the latest instant at which Redis itself
-- forgets one of them. Both only grow, by a minute at least: otherwise every single token would write them anew.
local function raise(expiry, ttl)
  expiry, ttl = math.min(math.ceil(expiry / 60000) * 60000, FAR), math.min(math.ceil(ttl / 60000) * 60000, FAR)
  local known = redis.call('HMGET', KEYS[1], 'h', 'z')
  if expiry > (tonumber(known[1]) or 0) then
    redis.call('HSET', KEYS[1], 'h', expiry)
  end
  if ttl > (tonumber(known[2]) or 0) then
    redis.call('HSET', KEYS[1], 'z', ttl)
  end
end
