-- An entry: cutoff (8 bytes), until (8), place in the feed (16), letter of its kind (1), and then what only readers of the
-- feed look at.

-- The rule of TargetKind::is_named_once: a token, grant or session is named once and never again.
local function is_named_once(kind)
  return kind == 't' or kind == 'g' or kind == 's'
end

-- The rule of covering::covers: whether the entry at `key` covers what was authenticated at `login`.
local function covers(key, kind, login)
  local cutoff = redis.call('GETRANGE', key, 0, 7)
  return cutoff ~= '' and (is_named_once(kind) or login <= unpacked(cutoff, 1))
end

-- The rule of Lifetimes::entry_outlives: until when an entry is kept that covers a record which is kept until `kept`.
local function outlives(kept, flight)
  return kept + math.max(flight, 1)
end

-- Keeps the entry at `key` until `till` at least.
local function keep(key, till)
  if till > unpacked(redis.call('GETRANGE', key, 8, 15), 1) then
    redis.call('SETRANGE', key, 8, packed(till))
  end
  local ttl = forgotten_last(till)
  lasts(key, ttl)
  -- Its line in the feed as well. Readers can do without it where the slot is moving and that key is elsewhere.
  local line = redis.pcall('PEXPIRETIME', tag .. 'x')
  if type(line) == 'number' and line < ttl then
    redis.pcall('PEXPIREAT', tag .. 'x', ttl)
  end
end

-- Whether the entry at `key` covers a record which is kept until `kept`. If it does, it outlives that record.
local function holds(key, kind, login, kept, flight)
  if not covers(key, kind, login) then
    return false
  end
  keep(key, outlives(kept, flight))
  return true
end
