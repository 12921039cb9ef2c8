-- h: the latest expiry of any token or session under a target of this shard. z: the latest instant at which Redis itself
-- forgets one of them. Both only grow.
local function raise(expiry, ttl)
  local known = redis.call('HMGET', KEYS[1], 'h', 'z')
  if expiry > (tonumber(known[1]) or 0) then
    redis.call('HSET', KEYS[1], 'h', expiry)
  end
  if ttl > (tonumber(known[2]) or 0) then
    redis.call('HSET', KEYS[1], 'z', ttl)
  end
end
