-- Asks what a sweep has to know. KEYS: the shard. ARGV: now, how many rows.
-- Answers {1 if a token or session is due, ids of the grants that decide about those, 1 if an entry or grant record is due, the
-- latest time seen, what a clock that leaped showed or '', the open logins}.
local now = tonumber(ARGV[1])

local function first_slice(set)
  return redis.call('ZRANGEBYSCORE', tag .. set, '-inf', math.floor(now / WIDTH), 'LIMIT', 0, 1)[1]
end

local slice = first_slice('Q')
local grants = {}
if slice then
  for _, member in ipairs(redis.call('LRANGE', tag .. 'q' .. slice, 0, ARGV[2] - 1)) do
    if string.sub(member, 1, 1) == 't' then
      local value = redis.call('GETRANGE', tag .. member, 0, 61)
      if value ~= '' and is_due(unpacked(value, 11), now) and consumed_by(value) ~= UNCONSUMED then
        grants[#grants + 1] = grant_of(value)
      end
    end
  end
end
local meta = redis.call('HMGET', KEYS[1], 't', 'j', 'd')
return {slice and 1 or 0, grants, first_slice('R') and 1 or 0, meta[1] or '0', meta[2] or '', meta[3] or ''}
