-- A whole rotation, where all of it is in one shard. KEYS: the shard, the record of the token, the entry of it alone; then for
-- each successor its record and the entry of it alone. ARGV: now, the id of this rotation, id of the client that asks, grace,
-- for how long a family is kept, latest expiry of the successors, latest instant at which Redis forgets one; then for each
-- successor: id, kind and expiry and due (17 bytes), what is its own, instant at which Redis forgets it.
-- Answers {what came of it, the record, letter of what covers it or ''}.
local now, grace, kept = tonumber(ARGV[1]), tonumber(ARGV[4]), tonumber(ARGV[5])
local expiry, forgotten = tonumber(ARGV[6]), tonumber(ARGV[7])
local value = redis.call('GET', KEYS[2])
if not value then
  return {'unknown', '', ''}
end
if string.sub(value, 2, 2) ~= 'r' then
  return {'other kind', '', ''}
end
if not names_targets(value) then
  return redis.error_reply('CORRUPT a token record that names no target')
end
local login, rest = unpacked(value, 19), 64 + 17 * string.byte(value, 63)
local by = covers(KEYS[3], 0) and 't' or ''
local is_clients = false
for from = 64, rest - 1, 17 do
  local kind, id = string.sub(value, from, from), string.sub(value, from + 1, from + 16)
  is_clients = is_clients or (kind == 'c' and id == ARGV[3])
  if by == '' and covers(tag .. 'e' .. id, granted_for(kind, login)) then
    by = kind
  end
end
if not is_clients then
  return {'foreign', '', ''}
end
if by ~= '' then
  return {'revoked', '', by}
end

local consumer, grant = consumed_by(value), grant_of(value)
local generation = struct.unpack('>I4', value, 27) + 1
local is_expired = unpacked(value, 3) <= now
local due = math.min(math.max(expiry, unpacked(value, 3)) + kept, FAR)
local outcome = 'first'
if consumer == UNCONSUMED then
  if is_expired then
    return {'expired', '', ''}
  end
  window(tag .. 'n' .. grant, grant, true, generation, now, grace, due)
  redis.call('SETRANGE', KEYS[2], 30, ARGV[2])
elseif consumer ~= ARGV[2] then
  if not window(tag .. 'n' .. grant, grant, false, generation, now, grace, due) then
    return {'reused', value, ''}
  end
  if is_expired then
    return {'expired', '', ''}
  end
  outcome = 'again'
end

raise(expiry, forgotten)
local own_length = struct.unpack('>I2', value, rest)
local before, after = string.sub(value, 19, 26), string.sub(value, 47, rest - 1)
local of_grant = string.sub(value, rest + 2 + own_length)
for n = 1, (#KEYS - 3) / 2 do
  local at = 4 + 4 * n
  local id, head, own, ttl = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local record = string.sub(value, 1, 1) .. head .. before .. struct.pack('>I4', generation) .. UNCONSUMED .. after .. own .. of_grant
  if not put(KEYS[2 + 2 * n], id, record, ttl) then
    return {'conflict', '', ''}
  end
  if holds(KEYS[3 + 2 * n], 0, unpacked(record, 3), ttl) then
    by = 't'
  end
end
if by ~= '' then
  return {'revoked', '', by}
end
return {outcome, value, ''}
