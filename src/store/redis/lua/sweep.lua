-- Removes what is due, of one of the two queues. KEYS: the shard. ARGV: now, how many rows to look at, letter of the queue, how
-- long something may be in flight, the open logins of all shards; then for each grant that was asked for: its id, and until
-- when it is kept (8 bytes, or '' where it is not known).
-- Answers {rows looked at, rows removed, 1 if more is due}.
local now, budget, set, flight, logins = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5]
local lists = string.lower(set)
local grants = {}
for n = 6, #ARGV, 2 do
  grants[ARGV[n]] = ARGV[n + 1] == '' and 0 or unpacked(ARGV[n + 1], 1)
end
local last = math.floor(now / WIDTH)
-- Records are found by whole slices. An entry that is looked at early must not go before a record of the slice that is not over.
local reached = set == 'R' and last * WIDTH or now
local looked, removed = 0, 0

local function first_slice()
  return redis.call('ZRANGEBYSCORE', tag .. set, '-inf', last, 'LIMIT', 0, 1)[1]
end

-- The rule of OpenLogins::until.
local function login_until(cutoff)
  local day, latest = math.floor(cutoff / DAY), nil
  for from = 1, #logins, 16 do
    if unpacked(logins, from) <= day then
      latest = math.max(latest or 0, unpacked(logins, from + 8))
    end
  end
  return latest
end

-- The rule of Lifetimes::entry_needed_until.
local function entry_due(key)
  local value = redis.call('GETRANGE', key, 0, 32)
  if value == '' then
    return nil
  end
  local till = unpacked(value, 9)
  local session_until = not is_named_once(string.sub(value, 33, 33)) and login_until(unpacked(value, 1))
  if session_until and outlives(session_until, flight) > till then
    till = outlives(session_until, flight)
    keep(key, till)
  end
  return till
end

-- When a row is due, as it is now; nothing if it is gone, false if its grant has to be asked first.
local function due_of(member)
  local kind, key = string.sub(member, 1, 1), tag .. member
  if kind == 'e' then
    return entry_due(key)
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
  if not is_due(due, now) or consumed_by(value) == UNCONSUMED then
    return due
  end
  -- It may be presented again for as long as its family lives.
  local kept = grants[grant_of(value)]
  if not kept then
    return false
  end
  if kept > due then
    local alone = tag .. 'e' .. string.sub(member, 2)
    if redis.call('EXISTS', alone) == 1 then
      keep(alone, outlives(kept, flight))
    end
    redis.call('SETRANGE', key, 10, packed(kept))
    lasts(key, forgotten(kept))
  end
  return math.max(due, kept)
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
  local list = tag .. lists .. slice
  local member = redis.call('LINDEX', list, 0)
  if not member then
    redis.call('ZREM', tag .. set, slice)
    slice = first_slice()
  else
    looked = looked + 1
    local due = due_of(member)
    if due == false then
      return {looked, removed, 1}
    elseif due and is_due(due, reached) then
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
while slice and redis.call('EXISTS', tag .. lists .. slice) == 0 do
  redis.call('ZREM', tag .. set, slice)
  slice = first_slice()
end
if set == 'Q' and not slice then
  drop_logins(now)
end
return {looked, removed, slice and 1 or 0}
