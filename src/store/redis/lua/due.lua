-- Says what time it is, and asks what a sweep would have to look up elsewhere. KEYS: the shard. ARGV: now, how many rows.
-- Answers {1 if something is due, ids of the grants whose families decide}.
local now = tonumber(ARGV[1])
-- An entry may be stamped last week in a store where nothing lives: what is in flight is in flight from now on.
raise(now, now)
local slices = redis.call('ZRANGEBYSCORE', tag .. 'Q', '-inf', math.floor(now / WIDTH), 'LIMIT', 0, 1)
if #slices == 0 then
  return {0, {}}
end
local grants = {}
local members = redis.call('LRANGE', tag .. 'q' .. slices[1], 0, ARGV[2] - 1)
for _, member in ipairs(members) do
  if string.sub(member, 1, 1) == 't' then
    local value = redis.call('GETRANGE', tag .. member, 0, 61)
    if value ~= '' and unpacked(value, 11) <= now and consumed_by(value) ~= UNCONSUMED then
      grants[#grants + 1] = grant_of(value)
    end
  end
end
return {1, grants}
