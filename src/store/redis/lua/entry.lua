-- An entry: cutoff (8 bytes), until (8), place in the feed (16), and then what only readers of the feed look at.

-- Whether the entry at `key` covers what was granted at `granted`; 0 where the name alone decides.
local function covers(key, granted)
  local value = redis.call('GETRANGE', key, 0, 7)
  return value ~= '' and granted <= unpacked(value, 1)
end

-- The same, and an entry that does is kept until `hold`, and by Redis until `ttl`.
local function holds(key, granted, hold, ttl)
  local value = redis.call('GETRANGE', key, 0, 15)
  if value == '' or granted > unpacked(value, 1) then
    return false
  end
  if hold > unpacked(value, 9) then
    redis.call('SETRANGE', key, 8, packed(hold))
  end
  lasts(key, ttl + FLIGHT)
  -- Its line in the feed as well. Readers can do without it where the slot is moving and that key is elsewhere.
  local line = redis.pcall('PEXPIRETIME', tag .. 'x')
  if type(line) == 'number' and line < ttl + FLIGHT then
    redis.pcall('PEXPIREAT', tag .. 'x', ttl + FLIGHT)
  end
  return true
end

-- What an entry's cutoff is compared with, by the letter of its kind. A token, grant or session is named once and never
-- again: there the name alone decides.
local function granted_for(kind, login)
  local named = kind == 't' or kind == 'g' or kind == 's'
  return named and 0 or login
end
