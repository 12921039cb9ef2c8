-- A whole rotation, where all of it is in one shard. KEYS: the shard, the record of the token, the entry of it alone; then for
-- each successor its record and the entry of it alone. ARGV: now, the id of this rotation, id of the client that asks, grace,
-- for how long a family is kept after its latest expiry, latest expiry of the successors, until when the last of them is
-- kept, how long something may be in flight, the leap of a clock; then for each successor: id, kind and expiry and due (17
-- bytes), generation and mark (20 bytes) where it was consumed already or '', what is its own.
-- Answers {what came of it, the record, letter of what covers it or ''}.
local now, grace, flight = tonumber(ARGV[1]), tonumber(ARGV[4]), tonumber(ARGV[8])
local value = redis.call('GET', KEYS[2])
if not value then
  return {'unknown', '', ''}
end
-- The rule of rotation::decide, in the order of its checks.
if string.sub(value, 2, 2) ~= 'r' then
  return {'other kind', '', ''}
end
if not names_targets(value) then
  return redis.error_reply('CORRUPT a token record that names no target')
end
local login, rest = unpacked(value, 19), 64 + 17 * string.byte(value, 63)
local by = covers(KEYS[3], 't', 0) and 't' or ''
local is_clients = false
for from = 64, rest - 1, 17 do
  local kind, id = string.sub(value, from, from), string.sub(value, from + 1, from + 16)
  is_clients = is_clients or (kind == 'c' and id == ARGV[3])
  if by == '' and covers(tag .. 'e' .. id, kind, login) then
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
local token_generation, expiry = struct.unpack('>I4', value, 27), unpacked(value, 3)
local kept, generation, began, owner = grant_at(tag .. 'g' .. grant)
-- A rotation that is sent again, because its answer was lost, finds itself.
local is_first = consumer == UNCONSUMED or consumer == ARGV[2]
if not is_first and not is_in_grace(token_generation, generation, began, now, grace) then
  return {'reused', value, ''}
end
if expiry <= now then
  return {'expired', '', ''}
end

-- The token is kept for as long as its family, once it is consumed.
local family_kept = math.max(tonumber(ARGV[6]), expiry) + tonumber(ARGV[5])
kept = math.min(math.max(kept, family_kept, tonumber(ARGV[7])), FAR)
raise(kept, now, tonumber(ARGV[9]))
if is_first then
  generation, began = family_after(generation, began, generation_after(token_generation), now)
  redis.call('SETRANGE', KEYS[2], 30, ARGV[2])
end
write_grant(tag .. 'g' .. grant, grant, kept, generation, began, owner)

local own_length = struct.unpack('>I2', value, rest)
local version, before, after = string.sub(value, 1, 1), string.sub(value, 19, 26), string.sub(value, 47, rest - 1)
local of_grant = string.sub(value, rest + 2 + own_length)
local unconsumed = struct.pack('>I4', generation_after(token_generation)) .. UNCONSUMED
local tokens = {}
for n = 1, (#KEYS - 3) / 2 do
  local at = 6 + 4 * n
  local mark = ARGV[at + 2] == '' and unconsumed or ARGV[at + 2]
  local record = version .. ARGV[at + 1] .. before .. mark .. after .. ARGV[at + 3] .. of_grant
  tokens[n] = {KEYS[2 + 2 * n], KEYS[3 + 2 * n], ARGV[at], record}
end
if is_taken(tokens) then
  return {'conflict', '', ''}
end
if put(tokens, flight) then
  return {'revoked', '', 't'}
end
return {is_first and 'first' or 'again', value, ''}
