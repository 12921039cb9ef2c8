-- The compare-and-swap: of all rotations of one refresh token, one finds it unconsumed. KEYS: the shard, the record, the
-- entry of this token alone. ARGV: the id of this rotation, until when the family is kept, now, the leap of a clock.
local value = redis.call('GETRANGE', KEYS[2], 0, 61)
if value == '' then
  return 'unknown'
end
-- In the same step: a revocation of this token alone is seen here, or sees that the token was consumed.
if covers(KEYS[3], 't', 0) then
  return 'revoked'
end
local by = consumed_by(value)
if by == ARGV[1] then
  return 'first'
end
if by ~= UNCONSUMED then
  return 'consumed'
end
-- From now on the record is kept for as long as its family.
raise(tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]))
redis.call('SETRANGE', KEYS[2], 30, ARGV[1])
return 'first'
