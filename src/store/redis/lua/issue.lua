-- Announces tokens to their targets, records them, or both. KEYS: the shard; the entries of the targets; then for each token
-- its record and the entry of it alone. ARGV: latest expiry of the tokens, latest instant at which Redis forgets one, login,
-- letters of the targets' kinds; then for each token: id, record, instant at which Redis forgets it.
-- Answers {number of a token that is another grant's or 0, letter of what covers them or ''}.
local expiry, forgotten, login, kinds = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
-- First: an entry that is written from now on is kept for as long as they are.
raise(expiry, forgotten)
local by = ''
for n = 1, (#KEYS - 1 - #kinds) / 2 do
  local key, id, value = 2 * n + #kinds, ARGV[2 + 3 * n], ARGV[3 + 3 * n]
  local ttl = tonumber(ARGV[4 + 3 * n])
  if not put(KEYS[key], id, value, ttl) then
    return {n, ''}
  end
  if holds(KEYS[key + 1], 0, unpacked(value, 3), ttl) and by == '' then
    by = 't'
  end
end
for n = 1, #kinds do
  local kind = string.sub(kinds, n, n)
  if holds(KEYS[n + 1], granted_for(kind, login), expiry, forgotten) and by == '' then
    by = kind
  end
end
return {0, by}
