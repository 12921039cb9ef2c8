-- The record of a token and what covers it, where all of it is in one shard. KEYS: the shard, the record.
-- ARGV: the token's id. Answers {record, letter of what covers it or ''}, or nothing.
local value = redis.call('GET', KEYS[2])
if not value then
  return false
end
if not names_targets(value) then
  return redis.error_reply('CORRUPT a token record that names no target')
end
if covers(tag .. 'e' .. ARGV[1], 't', 0) then
  return {value, 't'}
end
local login = unpacked(value, 19)
for from = 64, 63 + 17 * string.byte(value, 63), 17 do
  local kind = string.sub(value, from, from)
  if covers(tag .. 'e' .. string.sub(value, from + 1, from + 16), kind, login) then
    return {value, kind}
  end
end
return {value, ''}
