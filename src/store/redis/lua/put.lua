-- Recording tokens, each of which is {key, key of the entry for it alone, id, record}.

-- Whether one of them has the value of a token of another grant or of another kind, which may be one of them.
local function is_taken(tokens)
  local seen = {}
  for _, token in ipairs(tokens) do
    local key, value = token[1], token[4]
    local known = seen[key] or redis.call('GETRANGE', key, 0, 61)
    if known ~= '' then
      if string.sub(known, 2, 2) ~= string.sub(value, 2, 2) or grant_of(known) ~= grant_of(value) then
        return true
      end
    end
    seen[key] = value
  end
  return false
end

-- Records them; a record that is there stays as it is. Whether an entry for one of them alone covers it.
local function put(tokens, flight)
  local is_covered, is_new = false, false
  for _, token in ipairs(tokens) do
    local key, alone, id, value = unpack(token)
    local due = unpacked(value, 11)
    if redis.call('EXISTS', key) == 0 then
      redis.call('SET', key, value, 'PXAT', forgotten(due))
      remind('t' .. id, due)
      is_new = true
    end
    is_covered = holds(alone, 't', 0, due, flight) or is_covered
  end
  return is_covered, is_new
end
