-- The compare-and-swap: of all rotations of one refresh token, one finds it unconsumed. KEYS: the shard, the record, the
-- entry of this token alone. ARGV: now, the id of this rotation.
local value = redis.call('GET', KEYS[2])
if not value then
  return 'unknown'
end
-- In the same step: whoever revokes this token alone either is seen here, or sees there that it was consumed.
if redis.call('EXISTS', KEYS[3]) == 1 then
  return 'revoked'
end
local by = consumed_by(value)
if by == ARGV[2] then
  return 'first'
end
if by ~= UNCONSUMED then
  return 'consumed'
end
if unpacked(value, 3) <= tonumber(ARGV[1]) then
  return 'expired'
end
redis.call('SETRANGE', KEYS[2], 30, ARGV[2])
return 'first'
