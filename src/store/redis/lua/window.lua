-- A family of refresh tokens: due (8 bytes), generation (8), when that began (8). Advances it to the generation of the
-- successors, or only asks: whether a rotation that comes second is within the grace window.
local function window(key, id, advances, generation, now, grace, due)
  local known = redis.call('GET', key)
  local present, began, kept = -1, 0, 0
  if known then
    kept, present, began = unpacked(known, 1), unpacked(known, 9), unpacked(known, 17)
  end
  if advances and present < generation then
    present, began = generation, now
  end
  local open = known and present == generation and grace > 0 and now < began + grace
  if advances or open then
    local value = packed(math.max(due, kept)) .. packed(present) .. packed(began)
    local ttl = math.min(due + MARGIN, FAR)
    if known then
      redis.call('SETRANGE', key, 0, value)
      lasts(key, ttl)
    else
      redis.call('SET', key, value, 'PXAT', ttl)
      remind('n' .. id, due)
    end
  end
  return open
end
