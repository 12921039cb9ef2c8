-- A token record, counted from 1 as Lua does: version (1), kind (2), expiry (3), due (11), login (19), generation (27,
-- 4 bytes), the rotation that consumed it (31, 16 bytes, zeros while there was none), id of the grant (47, 16 bytes),
-- number of targets (63), the targets, 17 bytes each (64), length of what is the token's own (2 bytes), that, and then the
-- grant, both of which only the caller reads.
local UNCONSUMED = string.rep('\0', 16)

local function consumed_by(value)
  return string.sub(value, 31, 46)
end

local function grant_of(value)
  return string.sub(value, 47, 62)
end

-- Records that name no target are of a layout with several shards: no script can tell what covers them.
local function names_targets(value)
  return string.byte(value, 63) > 0
end
