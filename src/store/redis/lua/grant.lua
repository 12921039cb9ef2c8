-- A grant record: until when a token of the grant is recorded (8 bytes), a mark of whose it is (16), and, once a refresh token
-- of it was rotated, the family: its generation (8), and when that began (8).
local UNOWNED = string.rep('\0', 16)

-- Whether the grant is this owner's. It is if it is not known, or was lost and came back with a rotation.
local function is_owned_by(key, owner)
  local known = redis.call('GETRANGE', key, 8, 23)
  return known == '' or known == UNOWNED or known == owner
end

-- Until when it is kept, the generation of its family and when that began, both 0 where there is none, and its owner.
local function grant_at(key)
  local known = redis.call('GET', key)
  if not known then
    return 0, 0, 0, UNOWNED
  end
  local kept, owner = unpacked(known, 1), string.sub(known, 9, 24)
  if #known < 40 then
    return kept, 0, 0, owner
  end
  return kept, unpacked(known, 25), unpacked(known, 33), owner
end

local function write_grant(key, id, kept, generation, began, owner)
  local is_new = redis.call('EXISTS', key) == 0
  local family = generation > 0 and packed(generation) .. packed(began) or ''
  redis.call('SET', key, packed(kept) .. owner .. family, 'PXAT', forgotten_last(kept))
  if is_new then
    remind('g' .. id, kept)
  end
end

-- Keeps a grant until `kept` at least, and makes it this owner's.
local function keep_grant(key, id, kept, owner)
  local known, generation, began, known_owner = grant_at(key)
  if known < kept or known_owner ~= owner then
    write_grant(key, id, math.max(known, kept), generation, began, owner)
  end
end
