-- Removes what is due. KEYS: the shard. ARGV: now, how many rows to look at; then for each grant that was asked for: its id,
-- and when its family is due (8 bytes, or '' where there is none).
-- Answers {rows looked at, rows removed, 1 if more is due}.
local now, budget = tonumber(ARGV[1]), tonumber(ARGV[2])
local families = {}
for n = 3, #ARGV, 2 do
  families[ARGV[n]] = ARGV[n + 1] == '' and 0 or unpacked(ARGV[n + 1], 1)
end
local last = math.floor(now / WIDTH)
local looked, removed = 0, 0

local function first_slice()
  return redis.call('ZRANGEBYSCORE', tag .. 'Q', '-inf', last, 'LIMIT', 0, 1)[1]
end

-- When a row is due, as it stands now; nothing if it is gone, false if that has to be asked first.
local function due_of(member)
  local kind, key = string.sub(member, 1, 1), tag .. member
  if kind == 'e' then
    local value = redis.call('GETRANGE', key, 8, 15)
    return value ~= '' and unpacked(value, 1) or nil
  end
  if kind ~= 't' then
    local value = redis.call('GETRANGE', key, 0, 7)
    return value ~= '' and unpacked(value, 1) or nil
  end
  local value = redis.call('GETRANGE', key, 0, 61)
  if value == '' then
    return nil
  end
  local due = unpacked(value, 11)
  if due > now or consumed_by(value) == UNCONSUMED then
    return due
  end
  -- It may come back for as long as its family lives.
  local family = families[grant_of(value)]
  if not family then
    return false
  end
  if family > due then
    redis.call('SETRANGE', key, 10, packed(family))
    lasts(key, math.min(family + MARGIN, FAR))
  end
  return math.max(due, family)
end

local function remove(member)
  local key = tag .. member
  if string.sub(member, 1, 1) == 'e' then
    local place = redis.call('GETRANGE', key, 16, 31)
    local ms, n = unpacked(place, 1), unpacked(place, 9)
    redis.call('XDEL', tag .. 'x', string.format('%.0f-%.0f', ms, n))
    local swept_ms, swept_n = string.match(redis.call('HGET', KEYS[1], 'f') or '0-0', '^(%d+)-(%d+)$')
    swept_ms, swept_n = tonumber(swept_ms), tonumber(swept_n)
    if ms > swept_ms or (ms == swept_ms and n > swept_n) then
      redis.call('HSET', KEYS[1], 'f', string.format('%.0f-%.0f', ms, n))
    end
  end
  redis.call('UNLINK', key)
end

local slice = first_slice()
while slice and looked < budget do
  local list = tag .. 'q' .. slice
  local member = redis.call('LINDEX', list, 0)
  if not member then
    redis.call('ZREM', tag .. 'Q', slice)
    slice = first_slice()
  else
    looked = looked + 1
    local due = due_of(member)
    if due == false then
      return {looked, removed, 1}
    elseif due and due <= now then
      remove(member)
      removed = removed + 1
    elseif due then
      remind(member, due)
    end
    -- Last: where one of these fails, because the slot is moving, the row is looked at again.
    redis.call('LPOP', list)
  end
end
-- A list whose last row was just taken is no more to be done.
while slice and redis.call('EXISTS', tag .. 'q' .. slice) == 0 do
  redis.call('ZREM', tag .. 'Q', slice)
  slice = first_slice()
end
return {looked, removed, slice and 1 or 0}
