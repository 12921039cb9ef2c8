-- Announces tokens to their targets, records them, or both; all or nothing. KEYS: the shard; the entries of the targets; the
-- record of the grant, where it is in this shard; then for each token its record and the entry of it alone. ARGV: until when
-- the last of them is kept, login, letters of the targets' kinds, how long something may be in flight, now, the leap of a
-- clock, id of the grant, owner of the grant or '' where its record is elsewhere; then for each token: id, record.
-- Answers {what came of it ('done', or 'known' where every token was recorded before), letter of what covers them or ''}.
local kept, login, kinds, flight = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local grant, owner = ARGV[7], ARGV[8]
local first = 2 + #kinds
if owner ~= '' then
  if not is_owned_by(KEYS[first], owner) then
    return {'foreign', ''}
  end
  first = first + 1
end
local tokens = {}
for n = 1, (#ARGV - 8) / 2 do
  local key = first + 2 * (n - 1)
  tokens[n] = {KEYS[key], KEYS[key + 1], ARGV[7 + 2 * n], ARGV[8 + 2 * n]}
end
if is_taken(tokens) then
  return {'taken', ''}
end
-- An entry that is written from now on is kept for longer than they are.
raise(kept, tonumber(ARGV[5]), tonumber(ARGV[6]))
if owner ~= '' then
  keep_grant(KEYS[first - 1], grant, kept, owner)
end
local is_covered, is_new = put(tokens, flight)
local by = is_covered and 't' or ''
for n = 1, #kinds do
  local kind = string.sub(kinds, n, n)
  if holds(KEYS[n + 1], kind, login, kept, flight) and by == '' then
    by = kind
  end
end
return {is_new and 'done' or 'known', by}
